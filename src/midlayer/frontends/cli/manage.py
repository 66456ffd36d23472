"""Verbs that change something: plug, unplug, online, offline, rescan."""

from __future__ import annotations

import argparse

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import print_json, print_table
from midlayer.frontends.config import default_socket


def plug(options: argparse.Namespace) -> int:
    """Connect a unit; bring up a host for it if asked."""
    if options.device is None and not options.new_host:
        raise UsageError("plug: name a DEVICE such as virtual:disk?size=1G, or say --new-host")
    with Client(options.socket or default_socket()) as client:
        host = options.host
        if options.new_host:
            answer = client.post("/v1/hosts", name=options.name)
            host = answer["host"]
            if not options.json:
                print(f"host {host} added")
        if options.device is not None:
            answer = client.post("/v1/plug", device=options.device, host=host)
            if not options.json:
                print(f"{answer['address']} attached, event count {answer['event_count']}")
        if options.json:
            print_json(answer)
    return 0


def unplug(options: argparse.Namespace) -> int:
    """Remove a device or a host."""
    if (options.device is None) == (options.host is None):
        raise UsageError("unplug: name one DEVICE, or one host with --host N")
    with Client(options.socket or default_socket()) as client:
        if options.host is not None:
            answer = client.delete(f"/v1/hosts/{options.host}", force=options.force)
            text = f"host {options.host} removed, event count {answer['event_count']}"
        else:
            answer = client.post("/v1/unplug", device=options.device, force=options.force)
            text = f"{answer['address']} detached, event count {answer['event_count']}"
    print_json(answer) if options.json else print(text)
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
        answer = client.post("/v1/rescan", host=options.host, plan=options.plan, remove=options.remove)
    if options.json:
        print_json(answer)
        return 0
    if answer["items"]:
        rows = (
            (item["action"], item["address"] or f"host {item['host']}", item["reason"]) for item in answer["items"]
        )
        print_table(("PLAN" if options.plan else "DONE", "ADDRESS", "WHY"), rows)
    else:
        print("nothing to do" if options.plan else "nothing changed")
    return 0


def _set_state(options: argparse.Namespace, state: str) -> int:
    with Client(options.socket or default_socket()) as client:
        answer = client.post("/v1/state", device=options.device, state=state)
    print_json(answer) if options.json else print(f"{answer['address']} is {state}")
    return 0
