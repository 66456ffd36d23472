"""The verb ``target``: iSCSI targets of the daemon, who may log in, and who is there."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket


def target(options: argparse.Namespace) -> int:
    """Do one of the verb's actions."""
    with Client(options.socket or default_socket()) as client:
        act, show = _ACTIONS[options.action]
        answer = act(client, options)
    if options.json:
        print_json(answer)
    else:
        show(answer, options)
    return 0


def _add(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    wish: dict[str, Any] = {
        "iqn": options.iqn,
        "initiators": options.allow,
        "lun": [_lun(text, number) for number, text in enumerate(options.lun)],
    }
    if options.portal:
        wish["portals"] = options.portal
    if options.chap:
        wish["account"] = [_account(options.chap)]
    if options.mutual:
        wish["mutual"] = _account(options.mutual)
    return client.post("targets", **wish)


def _lun(text: str, number: int) -> dict[str, Any]:
    given, equals, device = text.rpartition("=")
    if equals and not (given.isascii() and given.isdigit()):
        raise UsageError(f"target add: {text!r}: the LUN before = must be a number")
    read_only = device.endswith(":ro")
    return {
        "lun": int(given) if equals else number,
        "device": device.removesuffix(":ro"),
        "read_only": read_only,
    }


def _account(text: str) -> dict[str, str]:
    name, colon, file = text.partition(":")
    if not (name and colon and file):
        raise UsageError(f"target add: {text!r}: write a name, a colon and the name of a file")
    return {"name": name, "secret_file": str(Path(file).absolute())}


def _list(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    return client.get("targets")


def _remove(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    return client.delete("targets", options.iqn)


def _acl(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    return client.post("targets", options.iqn, "acl", allow=options.allow, deny=options.deny)


def _sessions(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    return client.get("target-sessions")


def _drop(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    return client.delete("target-sessions", str(options.session))


def _show_added(answer: dict[str, Any], options: argparse.Namespace) -> None:
    (item,) = answer["items"]
    print(f"{item['iqn']} is offered on {', '.join(item['portals'])}")


def _show_removed(answer: dict[str, Any], options: argparse.Namespace) -> None:
    print(f"{options.iqn} removed")


def _show_dropped(answer: dict[str, Any], options: argparse.Namespace) -> None:
    print(f"session {options.session} ended")


def _show_acl(answer: dict[str, Any], options: argparse.Namespace) -> None:
    (item,) = answer["items"]
    print(f"{item['iqn']}: {_who(item)}")


def _who(item: dict[str, Any]) -> str:
    who = ", ".join(item["initiators"]) or "everybody"
    return f"{who}, with CHAP" if item["chap"] else who


def _show_targets(answer: dict[str, Any], options: argparse.Namespace) -> None:
    if not answer["items"]:
        print("no targets")
        return
    columns = (
        Column("TARGET", 3),
        Column("PORTALS", 2),
        Column("LUNS", 2),
        Column("SESSIONS", 1),
        Column("WHO", 1),
    )
    print_table(columns, [_target_row(item) for item in answer["items"]])


def _target_row(item: dict[str, Any]) -> tuple[str, ...]:
    luns = " ".join(
        f"{one['lun']}={one['device']}{':ro' if one['read_only'] else ''}" for one in item["luns"]
    )
    return item["iqn"], " ".join(item["portals"]), luns, str(item["sessions"]), _who(item)


def _show_sessions(answer: dict[str, Any], options: argparse.Namespace) -> None:
    if not answer["items"]:
        print("no sessions")
        return
    columns = (
        Column("SESSION", 3),
        Column("INITIATOR", 3),
        Column("ISID", 0),
        Column("TARGET", 2),
        Column("PEER", 1),
        Column("COMMANDS", 1),
    )
    rows = [
        (
            str(one["session"]),
            one["initiator"],
            one["isid"],
            one["target"] or "discovery",
            one["peer"],
            str(one["commands"]),
        )
        for one in answer["items"]
    ]
    print_table(columns, rows)


_Act = Callable[[Client, argparse.Namespace], dict[str, Any]]
_Show = Callable[[dict[str, Any], argparse.Namespace], None]

_ACTIONS: dict[str, tuple[_Act, _Show]] = {
    "add": (_add, _show_added),
    "list": (_list, _show_targets),
    "remove": (_remove, _show_removed),
    "acl": (_acl, _show_acl),
    "sessions": (_sessions, _show_sessions),
    "drop": (_drop, _show_dropped),
}
