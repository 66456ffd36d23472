"""What the verbs take that act on devices that come, go or change."""

from __future__ import annotations

import argparse

from midlayer.frontends.cli.options.declaring import Verbs


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    verify = verbs.add("verify", "verify", "verify", "ask devices whether they still are who they were")
    verify.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3; all by default")
    guard = verbs.add(
        "guard", "guard", "guard", "run a command, and undo it if the device was swapped", json=False
    )
    guard.add_argument("device", metavar="DEVICE", help="2:0:1:0, or sg3")
    guard.add_argument("--rollback", metavar="CMD", help="what undoes the command; no shell reads it")
    guard.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="-- COMMAND [ARGUMENT …]")
    quarantined = verbs.add("quarantined", "quarantine", "quarantined", "list the devices in quarantine")
    quarantined.add_argument("--probe", metavar="DEVICE", help="ask this one at once; 2:0:1:0")
    trigger = verbs.add("trigger", "trigger", "trigger", "have agents and rules look at devices again")
    trigger.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3; all by default")
    trigger.add_argument("-c", "--action", choices=("add", "change", "remove"), default="change")
    trigger.add_argument("-a", "--attr-match", action="append", default=[], metavar="ATTR[=PATTERN]")
    trigger.add_argument("-A", "--attr-nomatch", action="append", default=[], metavar="ATTR[=PATTERN]")
    trigger.add_argument("-S", "--subsystem-nomatch", action="append", default=[], metavar="PATTERN")
    trigger.add_argument("-p", "--property-match", action="append", default=[], metavar="KEY=PATTERN")
    trigger.add_argument("-y", "--sysname-match", action="append", default=[], metavar="PATTERN")
    trigger.add_argument(
        "--name-match", action="append", default=[], metavar="NODE",
        help="/dev/sg3, or a link that rules gave",
    )  # fmt: skip
    trigger.add_argument("-g", "--tag-match", action="append", default=[], metavar="TAG")
    trigger.add_argument(
        "-b", "--parent-match", action="append", default=[], metavar="PARENT",
        help="host2, target2:0:1, or its path below /sys",
    )  # fmt: skip
    trigger.add_argument("-w", "--settle", action="store_true", help="wait until agents and rules have run")
    trigger.add_argument("-n", "--dry-run", action="store_true", help="do nothing; with --verbose, say which")
    trigger.add_argument("-v", "--verbose", action="store_true", help="print the paths of what fits")
    monitor = verbs.add("monitor", "monitor", "monitor", "print events in udevadm's form", json=False)
    monitor.add_argument("-p", "--property", action="store_true", help="with all properties")
    for verb in (trigger, monitor):
        verb.add_argument("-s", "--subsystem-match", action="append", default=[], metavar="PATTERN")
    verbs.add("reload", "reload", "reload", "read the configuration again: agents, quarantine and rules")
