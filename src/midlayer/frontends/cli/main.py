"""The ``midlayer`` command: what it takes, and where each verb is done.

Only the verb that was asked for is imported, so that the command starts quickly.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from midlayer.errors import CommandError, MidlayerError, UsageError
from midlayer.frontends.cli.options import add_all, by_subject
from midlayer.frontends.cli.options.declaring import Parser, Verbs
from midlayer.version import VERSION

_AT_THE_END = """\
Begin with:  midlayer up --config examples/default.toml --show
More:        midlayer VERB --help; exit statuses are those of sg3_utils(8)"""
_MOST_SECONDS = 86400.0
_DEVICE_HELP = "2:0:1:0, sg3, /dev/sg3, iscsi://host/iqn/lun, or virtual:disk?size=1G"


_EXAMPLES = {
    "up": "midlayer up --config examples/default.toml --show",
    "exec": "midlayer exec --config examples/default.toml -- lsscsi -g",
    "events": "midlayer events --follow --since 120",
    "guard": "midlayer guard sg3 --rollback 'umount /mnt' -- mount /dev/sdb1 /mnt",
    "trigger": "midlayer trigger --subsystem-match=scsi_generic --attr-match=vendor=ACME --verbose",
    "plug": "midlayer plug 'virtual:disk?size=1G&serial=HELLO'",
    "rescan": "midlayer rescan --plan --remove",
    "target": "midlayer target add iqn.2026-11.com.example:disk 0:0:0:0",
    "discover": "midlayer discover 192.0.2.1",
    "vpd": "midlayer vpd --page 83 sg3",
    "capture": "midlayer capture /dev/sg3 --mask-serials -o array.json",
    "fault": "midlayer fault add device=0:0:0:0 opcode=READ lba=4096+8 sense=3/11/00 once=true",
    "scenario": "midlayer scenario run examples/scenario.toml",
    "rules": "midlayer rules test /dev/sda --action=change --rules ./rules.d",
    "check": "midlayer rules check ./rules.d",
    "test": "midlayer rules test /dev/sda --action=change --rules ./rules.d",
    "info": "midlayer info -a /dev/sg0",
    "dd": "midlayer dd if=/dev/sg1 of=disk.img bs=512 thr=8 time=1",
    "logs": "midlayer logs --page 0d sg3",
    "persist": "midlayer persist sg3 --out register --new-key 0xabc",
    "eh": "midlayer eh status 2:0:1:0 --follow",
    "raw": "midlayer raw 2:0:1:0 12 00 00 00 24 00 -r 36",
}


class _Parser(argparse.ArgumentParser):
    """Exits with status 1 for a mistake on the command line, as sg3_utils do."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    try:
        options = parser().parse_args(arguments)
        if not hasattr(options, "verb"):
            parser().print_help()
            return 1
        module, function = options.verb
        verb = getattr(importlib.import_module(f"midlayer.frontends.cli.{module}"), function)
        return int(verb(options))
    except CommandError as error:
        from midlayer.frontends.exit_status import of_result

        _complain(error)
        return of_result(error.result)
    except MidlayerError as error:
        from midlayer.frontends.exit_status import of_error

        _complain(error)
        return of_error(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain about it at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _complain(error: MidlayerError) -> None:
    sys.stdout.flush()  # what was said before comes before, where both go to one place
    print(f"midlayer: {error}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = Parser(
        prog="midlayer",
        usage="midlayer [-h] [--version] VERB ...",
        description="The Linux SCSI subsystem in user space: attach, log and pass through.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"midlayer {VERSION}")
    verbs = Verbs(
        root.add_subparsers(prog="midlayer", metavar="VERB", help=argparse.SUPPRESS, parser_class=Parser)
    )
    add_all(verbs)
    root.epilog = f"{by_subject(verbs)}\n\n{_AT_THE_END}"
    return root

    verbs = root.add_subparsers(title="verbs", metavar="VERB", parser_class=_Parser)
    _add_up(verbs)
    _add_exec(verbs)
    _add_lists(verbs)
    _add_management(verbs)
    _add_target(verbs)
    _add_faults(verbs)
    _add_policy(verbs)
    _add_commands(verbs)
    _add_discover(verbs)
    _add_rules(verbs)
    _add_persist(verbs)
    _add_eh(verbs)
    return root


Verbs = argparse._SubParsersAction  # the only name that argparse has for it


def _verb(
    verbs: Verbs[_Parser],
    name: str,
    module: str,
    function: str,
    summary: str,
    *,
    json: bool = True,
    daemon: bool = True,
) -> _Parser:
    description = f"{summary[0].upper()}{summary[1:]}."
    example = _EXAMPLES.get(name)
    verb = verbs.add_parser(
        name, help=summary, description=description, epilog=f"Example: {example}" if example else None
    )
    verb.set_defaults(verb=(module, function))
    if json:
        verb.add_argument("--json", action="store_true", help="print JSON, as docs/json.md describes it")
    if daemon:
        verb.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's socket")
    return verb


def _add_up(verbs: Verbs[_Parser]) -> None:
    up = _verb(verbs, "up", "up", "up", "run the subsystem in the foreground", json=False, daemon=False)
    up.add_argument("--config", type=Path, metavar="FILE", help="TOML; without it, the kernel's hosts alone")
    up.add_argument("--state", type=Path, metavar="DIR", help="directory of the event log")
    up.add_argument("--socket", type=Path, metavar="PATH", help="the Unix socket to serve on")
    up.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="serve on TCP as well; there is no authentication"
    )
    up.add_argument(
        "--nodes", type=Path, metavar="DIR", help="mount dev/sgN, proc/scsi and sys in a directory (FUSE)"
    )
    up.add_argument(
        "--nodes-cuse", action="store_true", help="make character devices /dev/sgN (CUSE, as root)"
    )
    up.add_argument(
        "--show", action="store_true", help="begin by plugging a unit, asking it and unplugging it"
    )
    up.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_exec(verbs: Verbs[_Parser]) -> None:
    program = _verb(
        verbs, "exec", "exec", "exec_program", "run a program on virtual devices", json=False, daemon=False
    )
    source = program.add_mutually_exclusive_group()
    source.add_argument("--config", type=Path, metavar="FILE", help="TOML: the subsystem that it is to see")
    source.add_argument(
        "--connect", type=Path, metavar="SOCKET", help="the daemon that serves here; the usual one by default"
    )
    program.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="-- PROGRAM [ARGUMENT …]"
    )


def _add_lists(verbs: Verbs[_Parser]) -> None:
    for name, summary in (
        ("attached", "list the devices that are there"),
        ("detached", "list the devices that went, latest first"),
        ("hosts", "list the hosts, those without devices included"),
    ):
        verb = _verb(verbs, name, "lists", name, summary)
        verb.add_argument(
            "--offset", type=_natural, default=0, metavar="N", help="begin with element N, from 0"
        )
        verb.add_argument("--limit", type=_natural, metavar="N", help="at most N elements")
    events = _verb(verbs, "events", "lists", "events", "print events, and follow them as they come")
    events.add_argument("--since", type=_natural, metavar="N", help="only events after event count N")
    events.add_argument("--follow", action="store_true", help="go on with events as they come")
    sg_map = _verb(verbs, "map", "map", "sg_map", "print which sg node belongs to which other node")
    sg_map.add_argument("-i", "--inquiry", action="store_true", help="with vendor, product and revision")
    sg_map.add_argument("-x", "--address", action="store_true", help="with host, channel, id, LUN and type")
    _verb(verbs, "status", "lists", "status", "say how the daemon is")
    sg = _verb(verbs, "sg", "sg", "sg", "print open sg descriptors and their requests")
    sg.add_argument("what", choices=("debug",), help="what /proc/scsi/sg/debug has, of the daemon's devices")
    sg.add_argument("--follow", action="store_true", help="print it again and again; Ctrl-C ends")
    sg.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="SEC", help="seconds between two tables (1)"
    )


def _add_management(verbs: Verbs[_Parser]) -> None:
    plug = _verb(
        verbs, "plug", "manage", "plug", "connect a virtual unit, or have the kernel look at an address"
    )
    plug.add_argument("device", nargs="?", metavar="DEVICE", help="virtual:disk?size=1G&serial=X, or 2:0:1:0")
    plug.add_argument("--host", type=_natural, metavar="N", help="the virtual host; the first one by default")
    plug.add_argument(
        "--new-host", action="store_true", help="bring up another virtual host (and plug into it)"
    )
    plug.add_argument("--name", default="midlayer virtual HBA", help="name of the new host")
    unplug = _verb(verbs, "unplug", "manage", "unplug", "remove a device, or a virtual host")
    unplug.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3")
    unplug.add_argument("--host", type=_natural, metavar="N", help="the virtual host to take down")
    unplug.add_argument("--force", action="store_true", help="even if it is in use")
    for name, summary in (
        ("online", "let commands through again"),
        ("offline", "refuse commands to a device"),
    ):
        verb = _verb(verbs, name, "manage", name, summary)
        verb.add_argument("device", metavar="DEVICE", help="2:0:1:0, or sg3")
    logging = _verb(verbs, "logging", "logging_level", "logging", "read or set the SCSI logging level")
    logging.add_argument("action", choices=("get", "set"), help="get prints the level, set changes it")
    logging.add_argument(
        "levels", nargs="*", metavar="FIELD=LEVEL", help="such as mlqueue=2, all=0, or one number alone"
    )
    rescan = _verb(verbs, "rescan", "manage", "rescan", "look for devices that came or went")
    rescan.add_argument("host", nargs="?", type=_natural, metavar="HOST", help="host number; all by default")
    rescan.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    rescan.add_argument("--remove", action="store_true", help="remove what no longer answers and nobody uses")


def _add_target(verbs: Verbs[_Parser]) -> None:
    from midlayer.frontends.cli.target_options import add_actions

    add_actions(_verb(verbs, "target", "target", "target", "offer devices over iSCSI"))


def _add_faults(verbs: Verbs[_Parser]) -> None:
    fault = _verb(verbs, "fault", "faults", "fault", "have devices misbehave on command")
    fault.add_argument("action", choices=("add", "list", "clear", "injected"), help="what to do with faults")
    fault.add_argument("words", nargs="*", metavar="WORD", help="add KEY=VALUE …, or clear NAME …")
    scenario = _verb(verbs, "scenario", "scenario", "scenario", "play faults along a line of time")
    scenario.add_argument("action", choices=("run", "check"), help="play it, or only look for mistakes")
    scenario.add_argument("file", type=Path, metavar="FILE", help="TOML, as docs/scenarios.md describes it")
    scenario.add_argument(
        "--config", type=Path, metavar="CONFIG", help="play it on a subsystem of its own, not in the daemon"
    )


def _add_policy(verbs: Verbs[_Parser]) -> None:
    verify = _verb(verbs, "verify", "verify", "verify", "ask devices whether they still are who they were")
    verify.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3; all by default")
    guard = _verb(
        verbs, "guard", "guard", "guard", "run a command, and undo it if the device was swapped", json=False
    )
    guard.add_argument("device", metavar="DEVICE", help="2:0:1:0, or sg3")
    guard.add_argument("--rollback", metavar="CMD", help="what undoes the command; no shell reads it")
    guard.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="-- COMMAND [ARGUMENT …]")
    quarantined = _verb(verbs, "quarantined", "quarantine", "quarantined", "list the devices in quarantine")
    quarantined.add_argument("--probe", metavar="DEVICE", help="ask this one at once; 2:0:1:0")
    trigger = _verb(verbs, "trigger", "trigger", "trigger", "have agents and rules look at devices again")
    trigger.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3; all by default")
    trigger.add_argument("-c", "--action", choices=("add", "change", "remove"), default="change")
    trigger.add_argument("-a", "--attr-match", action="append", default=[], metavar="ATTR[=PATTERN]")
    trigger.add_argument("-n", "--dry-run", action="store_true", help="do nothing; with --verbose, say which")
    trigger.add_argument("-v", "--verbose", action="store_true", help="print the paths of what fits")
    monitor = _verb(verbs, "monitor", "monitor", "monitor", "print events in udevadm's form", json=False)
    monitor.add_argument("-p", "--property", action="store_true", help="with all properties")
    for verb in (trigger, monitor):
        verb.add_argument("-s", "--subsystem-match", action="append", default=[], metavar="PATTERN")
    _verb(verbs, "reload", "reload", "reload", "read the configuration again: agents and quarantine")


def _add_commands(verbs: Verbs[_Parser]) -> None:
    _command(verbs, "inq", "ask a device who it is (INQUIRY)")
    vpd = _command(verbs, "vpd", "read vital product data pages")
    vpd.add_argument("--page", type=_hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    _command(verbs, "luns", "ask a target for its LUNs (REPORT LUNS)")
    _command(verbs, "readcap", "ask a device how big it is (READ CAPACITY)")
    turs = _command(verbs, "turs", "ask a device whether it is ready (TEST UNIT READY)")
    turs.add_argument("-n", "--num", type=_natural, default=1, metavar="N", help="that many times")
    turs.add_argument("-t", "--time", action="store_true", help="print how long it took")
    modes = _command(verbs, "modes", "read mode pages (MODE SENSE)", module="decode")
    modes.add_argument("--page", type=_hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    modes.add_argument(
        "--values", choices=("current", "changeable", "default", "saved"), default="current", help="(current)"
    )
    _command(verbs, "opcodes", "ask a device which commands it knows", module="decode")
    capture = _command(
        verbs, "capture", "write down what a device says of itself, for a twin", module="capture"
    )
    capture.add_argument(
        "-o", "--outfile", type=Path, required=True, metavar="FILE", help="- is standard output"
    )
    capture.add_argument(
        "--mask-serials", action="store_true", help="put other characters in the place of serial numbers"
    )
    logs = _command(verbs, "logs", "read log pages (LOG SENSE)", module="logs")
    logs.add_argument("--page", type=_hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    sense = _verb(verbs, "sense", "decode", "sense", "say what sense data means", daemon=False)
    sense.add_argument("bytes", nargs="*", metavar="HH", help="sense data in hexadecimal")
    sense.add_argument(
        "-f", "--file", type=Path, metavar="FILE", help="read them from FILE; - is standard input"
    )
    sense.add_argument("--cdb", action="store_true", help="the bytes are a CDB; say which command it is")
    _add_dd(verbs)
    _add_reset(verbs)
    raw = _command(verbs, "raw", "send any command")
    raw.add_argument("cdb", nargs="*", metavar="HH", help="the CDB in hexadecimal, 6 to 260 bytes")
    raw.add_argument(
        "-c", "--cmdfile", type=Path, metavar="FILE", help="read the CDB from FILE; # begins a comment"
    )
    raw.add_argument("-r", "--request", type=_natural, metavar="LEN", help="bytes to receive")
    raw.add_argument("-o", "--outfile", type=Path, metavar="FILE", help="write what is received to FILE")
    raw.add_argument("-s", "--send", type=_natural, metavar="LEN", help="bytes to send")
    raw.add_argument(
        "-i", "--infile", type=Path, metavar="FILE", help="send what is in FILE; - is standard input"
    )
    raw.add_argument(
        "-k", "--skip", type=_natural, default=0, metavar="LEN", help="leave out the first LEN bytes of FILE"
    )
    raw.add_argument("-b", "--binary", action="store_true", help="write what is received to standard output")
    raw.add_argument("-n", "--nosense", action="store_true", help="do not print the bytes of sense data")
    raw.add_argument(
        "-t", "--timeout", type=_seconds, default=20.0, metavar="SEC", help="seconds to wait (20)"
    )


def _add_discover(verbs: Verbs[_Parser]) -> None:
    verb = _verb(
        verbs, "discover", "discover", "discover", "ask an iSCSI portal for its targets", daemon=False
    )
    verb.add_argument("portal", metavar="PORTAL", help="192.0.2.1, 192.0.2.1:3260 or [2001:db8::1]:3260")
    verb.add_argument("--initiator", metavar="IQN", help="our own name")
    verb.add_argument("--user", metavar="NAME", help="CHAP name")
    verb.add_argument("--secret", metavar="FILE", help="file of mode 0600 with the CHAP secret")


def _add_rules(verbs: Verbs[_Parser]) -> None:
    summary = "check udev rules, and say what they would do"
    rules = verbs.add_parser("rules", help=summary, description=f"{summary.capitalize()}.")
    which = rules.add_subparsers(title="what", metavar="WHAT", required=True, parser_class=_Parser)
    check = _verb(which, "check", "rules", "check", "find the mistakes in rule files", daemon=False)
    check.add_argument("names", nargs="*", metavar="FILE", help="files, or directories (udev's own)")
    test = _verb(which, "test", "rules", "test", "say what rules would do to a device, and do nothing")
    test.add_argument("device", metavar="DEVICE", help=f"{_DEVICE_HELP}, or a path below /sys")
    test.add_argument("--action", default="add", help="of the event: add, change, remove … (add)")
    test.add_argument("--rules", action="append", metavar="DIR", help="in place of udev's own directories")
    test.add_argument("-v", "--verbose", action="store_true", help="with every GOTO that was taken")
    info = _verb(verbs, "info", "info", "info", "show a device as rules see it")
    info.add_argument("device", metavar="DEVICE", help=f"{_DEVICE_HELP}, or a path below /sys")
    info.add_argument("-a", "--attributes", action="store_true", help="walk up the parents, in rule syntax")
    info.add_argument("-x", "--export", action="store_true", help="quote values of -q property for a shell")
    info.add_argument(
        "-q", "--query", choices=("property", "symlink", "path", "name", "all"), default="all", help="(all)"
    )


def _add_reset(verbs: Verbs[_Parser]) -> None:
    reset = _command(verbs, "reset", "reset a device, or what it hangs on", module="reset")
    levels = reset.add_mutually_exclusive_group()
    for short, level in (("-d", "device"), ("-t", "target"), ("-b", "bus"), ("-H", "host")):
        levels.add_argument(
            short, f"--{level}", dest="level", action="store_const", const=level, help=f"the {level}"
        )
    reset.add_argument(
        "-N", "--no-escalate", dest="escalate", action="store_false", help="nothing wider if it fails"
    )
    reset.set_defaults(level="device")


def _add_eh(verbs: Verbs[_Parser]) -> None:
    eh = _verb(verbs, "eh", "eh", "eh", "print which hosts recover from errors, and what was done")
    eh.add_argument("what", choices=("status",), help="the error handler of each host")
    eh.add_argument("of", nargs="?", metavar="HOST|DEVICE", help="2, 2:0:1:0 or sg3; all hosts by default")
    eh.add_argument("--follow", action="store_true", help="go on with steps of recovery as they come")


def _add_dd(verbs: Verbs[_Parser]) -> None:
    copy = _verb(verbs, "dd", "dd", "dd", "copy between devices and files, many commands at once")
    copy.add_argument(
        "operands", nargs="*", metavar="OPERAND",
        help="if= of= bs= count= skip= seek= bpt= cdbsz= fua= dio= coe= retries= thr= depth= iflag= oflag= "
        "sync= time= verify sparse resume=LOG, as sg_dd and sgp_dd; see docs/dd.md",
    )  # fmt: skip
    copy.add_argument("--verify", action="store_true", help="compare what was written; as verify=1")


def _add_persist(verbs: Verbs[_Parser]) -> None:
    persist = _command(verbs, "persist", "read or change persistent reservations", module="persist")
    persist.add_argument(
        "--in",
        dest="show",
        choices=("keys", "reservation", "caps", "status"),
        default="status",
        help="what to read (status)",
    )
    actions = ("register", "register-ignore", "reserve", "release", "clear", "preempt", "preempt-abort")
    persist.add_argument("--out", dest="change", choices=actions, help="what to do, instead of reading")
    persist.add_argument("--key", type=_key, default=0, metavar="KEY", help="the key that is registered (0)")
    persist.add_argument("--new-key", type=_key, default=0, metavar="KEY", help="the key to register (0)")
    persist.add_argument("--type", type=_natural, metavar="N", help="type of the reservation: 1, 3, 5 to 8")
    persist.add_argument("--aptpl", action="store_true", help="keep registrations over a loss of power")


def _key(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a key of 64 bits, such as 0xabc")
    return value


def _command(verbs: Verbs[_Parser], name: str, summary: str, *, module: str = "commands") -> _Parser:
    verb = _verb(verbs, name, module, name, summary)
    verb.add_argument("device", metavar="DEVICE", help=_DEVICE_HELP)
    return verb


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, more than 0 and up to a day")
    return value


def _hex_byte(text: str) -> int:
    try:
        value = int(text, 16)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a byte in hexadecimal")
    return value


__all__ = ["UsageError", "main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
