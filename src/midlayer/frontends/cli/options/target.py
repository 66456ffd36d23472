"""What the verb ``target`` takes: its actions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from midlayer.frontends.cli.options.examples import EXAMPLES


def add_actions(verb: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of the verb."""
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)
    add = _action(actions, "add", "offer devices as a target")
    add.add_argument("iqn", metavar="IQN", help="its name, such as iqn.2026-11.com.example:disk")
    add.add_argument(
        "lun", nargs="+", metavar="[LUN=]DEVICE", help="0=0:0:0:0, sg3; :ro after it for reading only"
    )
    add.add_argument(
        "--portal", action="append", metavar="ADDRESS[:PORT]", help="where it listens (127.0.0.1:3260)"
    )
    add.add_argument(
        "--allow", action="append", default=[], metavar="INITIATOR", help="who may log in (everybody)"
    )
    add.add_argument(
        "--chap", metavar="NAME:FILE", help="ask initiators for this name and the secret in FILE"
    )
    add.add_argument(
        "--mutual", metavar="NAME:FILE", help="prove ourselves with this name and the secret in FILE"
    )
    _action(actions, "list", "list the targets")
    remove = _action(actions, "remove", "stop to offer a target")
    remove.add_argument("iqn", metavar="IQN", help="its name")
    acl = _action(actions, "acl", "say who may log in to a target")
    acl.add_argument("iqn", metavar="IQN", help="its name")
    acl.add_argument(
        "--allow", action="append", default=[], metavar="INITIATOR", help="who may log in from now on"
    )
    acl.add_argument("--deny", action="append", default=[], metavar="INITIATOR", help="who may not any more")
    _action(actions, "sessions", "list the sessions of initiators")
    drop = _action(actions, "drop", "end a session")
    drop.add_argument("session", type=int, metavar="SESSION", help="its number, as sessions prints it")


def _action(actions: Any, name: str, summary: str) -> Any:
    example = EXAMPLES.get(f"target {name}")
    parser = actions.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"Example: {example}" if example else None,
    )
    # Options of the verb stand after the action as well; what was given before it must not be lost.
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    parser.add_argument(
        "--socket", type=Path, default=argparse.SUPPRESS, metavar="PATH", help="the daemon's socket"
    )
    parser.set_defaults(action=name)
    return parser
