"""``eh status``: which hosts recover, from what, and what was done; once, or followed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from typing import Any

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import clean, fitted, print_json
from midlayer.frontends.cli.wording import event_line
from midlayer.frontends.places import default_socket


def eh(options: argparse.Namespace) -> int:
    """Print the error handlers; with ``--follow``, each step of recovery from then on."""
    with Client(options.socket or default_socket()) as client:
        answer = client.get("eh", of=options.of)
        if not options.json:
            for item in answer["items"]:
                _print_host(item)
        elif options.follow:
            print(json.dumps(answer), flush=True)
        else:
            print_json(answer)
        if not options.follow:
            return 0
        hosts = {item["host"] for item in answer["items"]} if options.of is not None else None
        device = answer["items"][0]["devices"][0]["address"] if _is_device(options.of) else ""
        return _follow(client, answer["event_count"], hosts, device, as_json=options.json)


def _follow(client: Client, since: int, hosts: Collection[int] | None, device: str, *, as_json: bool) -> int:
    for event in client.stream(since):
        if event["event"] != "recovery" or (hosts is not None and event["host"] not in hosts):
            continue
        if device and not f"{device}:".startswith(f"{event['subject']}:"):
            continue
        print(json.dumps(event) if as_json else fitted(event_line(event)), flush=True)
    raise DaemonError("the daemon ended; what it did is in: midlayer events")


def _is_device(text: str | None) -> bool:
    return text is not None and not text.isdigit()


def _print_host(item: dict[str, Any]) -> None:
    deadline = "none" if item["deadline_s"] is None else f"{item['deadline_s']:g} s"
    print(clean(f"host {item['host']}: {item['name']}: {item['state']}"))
    print(f"  scope {item['scope']}, deadline {deadline}, completed too late: {item['late_done']}")
    handlers = ", ".join(name.removeprefix("eh_").removesuffix("_handler") for name in item["handlers"])
    print(f"  handlers: {handlers.replace('_', ' ') or 'none; commands end when their time is over'}")
    if item["trouble_s"] is not None:
        print(f"  trouble for {item['trouble_s']:.1f} s")
    for one in item["recoveries"]:
        doing = "recovering" if one["running"] else "waits for other commands to come back"
        print(f"  {one['scope']}: {doing}, {one['waiting']} commands wait")
    for one in item["devices"]:
        print(f"  {one['address']}: {one['state']}{', commands are held' if one['held'] else ''}")
    for step in item["recent"]:
        line = f"  {step['time'][11:23]}  {step['subject']:<12} {step['action']}: {step['outcome']}"
        print(fitted(clean(line)))
