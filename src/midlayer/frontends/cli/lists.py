"""Verbs that read: attached, detached, hosts, events, status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, fitted, print_json, print_table
from midlayer.frontends.cli.wording import agent_line, event_line, node_name, short_time, type_word
from midlayer.frontends.places import default_socket
from midlayer.quantities import counted

_GAP = 97

# Importance first: what tells one device from another stays longest on a narrow terminal.
_ATTACHED = (
    Column("ADDRESS", 9),
    Column("TYPE", 5),
    Column("VENDOR", 4),
    Column("MODEL", 8),
    Column("REV"),
    Column("PQ", 3),
    Column("SG", 7),
    Column("NODE", 6),
    Column("STATE", 2),
    Column("ATTACH", 1),
    Column("AT (UTC)"),
    Column("BY-ID"),
)
_DETACHED = (
    Column("ADDRESS", 9),
    Column("TYPE", 4),
    Column("VENDOR", 3),
    Column("MODEL", 8),
    Column("REV"),
    Column("SERIAL", 1),
    Column("ATTACH", 6),
    Column("DETACH", 7),
    Column("FROM (UTC)"),
    Column("TO (UTC)", 5),
    Column("FOUND BY"),
)
_HOSTS = (Column("HOST", 9), Column("DRIVER", 3), Column("NAME", 5), Column("INFO", 2), Column("ADDED", 1))


def attached(options: argparse.Namespace) -> int:
    """Print the devices that are there."""
    return _list(options, "attached", print_attached)


def print_attached(answer: dict[str, Any]) -> None:
    """Print the list of attached devices as a table."""
    _print_list(answer, "device", _ATTACHED, [_attached_row(item) for item in answer["items"]])


def detached(options: argparse.Namespace) -> int:
    """Print the devices that went."""
    return _list(
        options,
        "detached",
        lambda answer: _print_list(
            answer, "device", _DETACHED, [_detached_row(item) for item in answer["items"]]
        ),
    )


def hosts(options: argparse.Namespace) -> int:
    """Print the hosts."""
    return _list(
        options,
        "hosts",
        lambda answer: _print_list(answer, "host", _HOSTS, [_host_row(item) for item in answer["items"]]),
    )


def events(options: argparse.Namespace) -> int:
    """Print events, and follow them if asked."""
    with Client(options.socket or default_socket()) as client:
        if options.follow:
            return _follow(client, options)
        pages = client.event_pages(options.since)
        if options.json:
            found = list(pages)
            items = [event for page in found for event in page["items"]]
            print_json({"event_count": found[-1]["event_count"], "items": items, "gap": found[0]["gap"]})
            return _GAP if found[0]["gap"] else 0
        status = 0
        for page in pages:
            if page["gap"]:
                status = _GAP
                _print_event({"event": "gap", **page["gap"]}, as_json=False)
            for event in page["items"]:
                _print_event(event, as_json=False)
    return status


def status(options: argparse.Namespace) -> int:
    """Print how the daemon is."""
    with Client(options.socket or default_socket()) as client:
        if options.wait:
            client.wait_for_daemon(options.wait)
        answer = client.get("status")
    if options.json:
        print_json(answer)
        return 0
    for key, value in answer.items():
        parts = [f"{number} {name}" for name, number in value.items()] if isinstance(value, dict) else [value]
        if value not in (None, ""):
            print(f"{key.replace('_', ' ')}: {', '.join(map(str, parts))}")
    return 0


def _follow(client: Client, options: argparse.Namespace) -> int:
    for event in client.stream(options.since):
        _print_event(event, as_json=options.json)
    last = client.last_event_count or 0
    raise DaemonError(f"the daemon ended; to go on from here: midlayer events --follow --since {last}")


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
    elif event["event"] == "gap":
        print(event_line(event), file=sys.stderr)
    else:
        print(fitted(event_line(event)), flush=True)
        for run in event.get("agents", ()):
            print(fitted(agent_line(run)), flush=True)


def _list(options: argparse.Namespace, name: str, show: Callable[[dict[str, Any]], None]) -> int:
    with Client(options.socket or default_socket()) as client:
        answer = client.get(name, offset=options.offset, limit=options.limit)
    print_json(answer) if options.json else show(answer)
    return 0


def _print_list(
    answer: dict[str, Any], noun: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> None:
    left_out = print_table(columns, rows) if rows else []
    closing = f"{counted(len(rows), noun)}, event count {answer['event_count']}"
    if left_out:
        closing += f"; no room for {', '.join(left_out)}"
    print(fitted(closing))


def _attached_row(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        item["address"],
        type_word(item["type"]),
        item["vendor"],
        item["model"],
        item["revision"],
        item["qualifier"],
        item["names"].get("sg", "-"),
        node_name(item["names"]),
        item["state"],
        str(item["attach_count"]),
        short_time(item["attached_at"]),
        item["by_id"],
    )


def _detached_row(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        item["address"],
        type_word(item["type"]),
        item["vendor"],
        item["model"],
        item["revision"],
        item["serial"],
        str(item["attach_count"]),
        str(item["detach_count"]),
        short_time(item["attached_at"]),
        short_time(item["detached_at"]),
        "resync" if item["detach_by_resync"] else "event",
    )


def _host_row(item: dict[str, Any]) -> tuple[str, ...]:
    return str(item["host"]), item["driver"], item["name"], item["info"], str(item["added_count"])
