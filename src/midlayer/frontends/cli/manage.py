"""Verbs that change something: plug, unplug, change, online, offline, rescan."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket


def plug(options: argparse.Namespace) -> int:
    """Connect a unit; bring up a host for it if asked."""
    if options.device is None and not options.new_host:
        raise UsageError("plug: name a DEVICE such as virtual:disk?size=1G, or say --new-host")
    with Client(options.socket or default_socket()) as client:
        host = options.host
        if options.new_host:
            answer = client.post("hosts", name=options.name)
            host = answer["host"]
            if not options.json:
                print(f"host {host} added")
        if options.device is not None:
            answer = client.post("plug", device=options.device, host=host)
            if not options.json:
                became = "in quarantine" if answer["quarantined"] else "attached"
                print(f"{answer['address']} {became}, event count {answer['event_count']}")
        if options.json:
            print_json(answer)
    return 0


def unplug(options: argparse.Namespace) -> int:
    """Remove a device or a host."""
    if (options.device is None) == (options.host is None):
        raise UsageError("unplug: name one DEVICE, or one host with --host N")
    with Client(options.socket or default_socket()) as client:
        if options.host is not None:
            answer = client.delete("hosts", str(options.host), force=options.force)
            text = f"host {options.host} removed, event count {answer['event_count']}"
        else:
            answer = client.post("unplug", device=options.device, force=options.force)
            became = "removed, and out of quarantine" if answer["quarantined"] else "detached"
            text = f"{answer['address']} {became}, event count {answer['event_count']}"
    print_json(answer) if options.json else print(text)
    return 0


def change(options: argparse.Namespace) -> int:
    """Change a virtual unit while it is used."""
    settings: dict[str, str] = {}
    for word in options.settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"change: {word!r} must be KEY=VALUE, such as size=2G")
        settings[key] = value
    with Client(options.socket or default_socket()) as client:
        answer = client.post("change", device=options.device, settings=settings)
    print_json(answer) if options.json else print(f"{answer['address']} has {' '.join(options.settings)}")
    return 0


def online(options: argparse.Namespace) -> int:
    """Let commands through to a device again."""
    return _set_state(options, "running")


def offline(options: argparse.Namespace) -> int:
    """Refuse commands to a device."""
    return _set_state(options, "offline")


def rescan(options: argparse.Namespace) -> int:
    """Rescan, or print the plan of a rescan."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post("rescan", host=options.host, plan=options.plan, remove=options.remove)
    if options.json:
        print_json(answer)
        return 0
    if answer["items"]:
        columns = (Column("PLAN" if options.plan else "DONE", 2), Column("ADDRESS", 3), Column("WHY", 1))
        print_table(columns, [_step_row(item) for item in answer["items"]])
    else:
        print("nothing to do" if options.plan else "nothing changed")
    return 0


def _step_row(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["action"], item["address"] or f"host {item['host']}", item["reason"]


def _set_state(options: argparse.Namespace, state: str) -> int:
    with Client(options.socket or default_socket()) as client:
        answer = client.post("state", device=options.device, state=state)
    print_json(answer) if options.json else print(f"{answer['address']} is {state}")
    return 0
