"""What the verbs take that are about udev rules."""

from __future__ import annotations

from midlayer.frontends.cli.options.declaring import DEVICE_HELP, Parser, Verbs


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    rules = verbs.add_group("rules", "check udev rules, and say what they would do")
    which = Verbs(rules.add_subparsers(title="what", metavar="WHAT", required=True, parser_class=Parser))
    check = which.add("check", "rules", "check", "find the mistakes in rule files", daemon=False)
    check.add_argument("names", nargs="*", metavar="FILE", help="files, or directories (udev's own)")
    test = which.add("test", "rules", "test", "say what rules would do to a device, and do nothing")
    test.add_argument("device", metavar="DEVICE", help=f"{DEVICE_HELP}, or a path below /sys")
    test.add_argument("--action", default="add", help="of the event: add, change, remove … (add)")
    test.add_argument("--rules", action="append", metavar="DIR", help="in place of udev's own directories")
    test.add_argument("-v", "--verbose", action="store_true", help="with every GOTO that was taken")
    info = verbs.add("info", "info", "info", "show a device as rules see it")
    info.add_argument("device", metavar="DEVICE", help=f"{DEVICE_HELP}, or a path below /sys")
    info.add_argument("-a", "--attributes", action="store_true", help="walk up the parents, in rule syntax")
    info.add_argument("-x", "--export", action="store_true", help="quote values of -q property for a shell")
    info.add_argument(
        "-q", "--query", choices=("property", "symlink", "path", "name", "all"), default="all", help="(all)"
    )
