"""What the verbs take that run the subsystem, or a program on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from midlayer.frontends.cli.options.declaring import Verbs


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    _add_up(verbs)
    _add_exec(verbs)


def _add_up(verbs: Verbs) -> None:
    up = verbs.add("up", "up", "up", "run the subsystem in the foreground", json=False, daemon=False)
    up.add_argument("--config", type=Path, metavar="FILE", help="TOML; without it, the kernel's hosts alone")
    up.add_argument("--state", type=Path, metavar="DIR", help="directory of the event log")
    up.add_argument("--socket", type=Path, metavar="PATH", help="the Unix socket to serve on")
    up.add_argument("--listen", metavar="ADDRESS:PORT", help="serve on TCP as well; see token_file")
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


def _add_exec(verbs: Verbs) -> None:
    program = verbs.add(
        "exec", "exec", "exec_program", "run a program on virtual devices", json=False, daemon=False
    )
    add_exec_arguments(program)


def add_exec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``exec`` takes."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", type=Path, metavar="FILE", help="TOML: the subsystem that it is to see")
    source.add_argument(
        "--connect", type=Path, metavar="SOCKET", help="the daemon that serves here; the usual one by default"
    )
    parser.add_argument(
        "--plug",
        action="append",
        default=[],
        metavar="DEVICE",
        help="a unit that it is to see, virtual:disk?size=1G; may be given again, and with --config",
    )
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="-- PROGRAM [ARGUMENT …]"
    )
