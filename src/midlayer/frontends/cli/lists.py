"""Verbs that read: attached, detached, hosts, events, status."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import clean, print_json, print_table
from midlayer.frontends.config import default_socket

_GAP = 97


def attached(options: argparse.Namespace) -> int:
    """Print the devices that are there."""
    answer = _list(options, "/v1/attached")
    if options.json:
        print_json(answer)
        return 0
    print_attached(answer)
    return 0


def print_attached(answer: dict[str, Any]) -> None:
    """Print the list of attached devices as a table."""
    columns = ("ADDRESS", "TYPE", "VENDOR", "MODEL", "REV", "PQ", "SG", "NODE", "STATE", "ATTACH", "AT", "BY-ID")
    print_table(columns, (_attached_row(item) for item in answer["items"]))
    print(_closing(answer, "device"))


def detached(options: argparse.Namespace) -> int:
    """Print the devices that went."""
    answer = _list(options, "/v1/detached")
    if options.json:
        print_json(answer)
        return 0
    columns = ("ADDRESS", "TYPE", "VENDOR", "MODEL", "REV", "SERIAL", "ATTACH", "DETACH", "FROM", "TO", "FOUND BY")
    print_table(columns, (_detached_row(item) for item in answer["items"]))
    print(_closing(answer, "device"))
    return 0


def hosts(options: argparse.Namespace) -> int:
    """Print the hosts."""
    answer = _list(options, "/v1/hosts")
    if options.json:
        print_json(answer)
        return 0
    columns = ("HOST", "DRIVER", "NAME", "INFO", "ADDED")
    rows = (
        (str(item["host"]), item["driver"], item["name"], item["info"], str(item["added_count"]))
        for item in answer["items"]
    )
    print_table(columns, rows)
    print(_closing(answer, "host"))
    return 0


def events(options: argparse.Namespace) -> int:
    """Print events, and follow them if asked."""
    with Client(options.socket or default_socket()) as client:
        if options.follow:
            for event in client.stream(options.since):
                _print_event(event, as_json=options.json)
            return 0
        answer = client.get("/v1/events", since=options.since)
    if options.json:
        print_json(answer)
    else:
        if answer["gap"]:
            _print_event({"event": "gap", **answer["gap"]}, as_json=False)
        for event in answer["items"]:
            _print_event(event, as_json=False)
    return _GAP if answer["gap"] else 0


def status(options: argparse.Namespace) -> int:
    """Print how the daemon is."""
    with Client(options.socket or default_socket()) as client:
        answer = client.get("/v1/status")
    if options.json:
        print_json(answer)
        return 0
    for key, value in answer.items():
        if value not in (None, ""):
            print(f"{key.replace('_', ' ')}: {value}")
    return 0


def event_line(event: dict[str, Any]) -> str:
    """Return an event in one line."""
    kind = event["event"]
    if kind == "gap":
        return f"-- events {event['first_missing']} to {event['last_missing']} are no longer kept --"
    what = _EVENT_TEXT[kind](event)
    found = "  (found by resync)" if event["by_resync"] else ""
    return clean(f"{event['event_count']:>6}  {event['time'][11:23]}  {kind:<12} {what}{found}")


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
    elif event["event"] == "gap":
        print(event_line(event), file=sys.stderr)
    else:
        print(event_line(event), flush=True)


def _list(options: argparse.Namespace, path: str) -> dict[str, Any]:
    with Client(options.socket or default_socket()) as client:
        return client.get(path, offset=options.offset, limit=options.limit)


def _closing(answer: dict[str, Any], noun: str) -> str:
    number = len(answer["items"])
    return f"{number} {noun}{'' if number == 1 else 's'}, event count {answer['event_count']}"


def _node(names: dict[str, str]) -> str:
    return next((names[key] for key in ("sd", "sr", "st", "ch") if key in names), "-")


def _attached_row(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        item["address"],
        item["type_name"],
        item["vendor"],
        item["model"],
        item["revision"],
        item["qualifier"],
        item["names"].get("sg", "-"),
        _node(item["names"]),
        item["state"],
        str(item["attach_count"]),
        item["attached_at"][11:19],
        item["by_id"],
    )


def _detached_row(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        item["address"],
        item["type_name"],
        item["vendor"],
        item["model"],
        item["revision"],
        item["serial"],
        str(item["attach_count"]),
        str(item["detach_count"]),
        item["attached_at"][11:19],
        item["detached_at"][11:19],
        "resync" if item["detach_by_resync"] else "event",
    )


def _attach_text(event: dict[str, Any]) -> str:
    device = event["device"]
    names = " ".join(device["names"].values())
    text = f"{event['address']:<12} {device['type_name']}, {device['vendor']} {device['model']} {device['revision']}"
    if device["qualifier"] != "000b":
        text += f", qualifier {device['qualifier']}"
    return f"{text} {names}".rstrip()


def _detach_text(event: dict[str, Any]) -> str:
    return f"{event['address']:<12} {event['vendor']} {event['model']}, attached as {event['attach_count']}"


def _change_text(event: dict[str, Any]) -> str:
    changes = ", ".join(f"{key} {value or 'gone'}" for key, value in event["changes"].items())
    return f"{event['address']:<12} {changes}"


def _host_text(event: dict[str, Any]) -> str:
    return f"host {event['host']:<7} {event['host_data']['name']}"


_EVENT_TEXT = {
    "attach": _attach_text,
    "detach": _detach_text,
    "change": _change_text,
    "host-added": _host_text,
    "host-removed": _host_text,
}
