"""``monitor``: events as they come, in the form of ``udevadm monitor``."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import Any

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.objects import objects_of_event
from midlayer.frontends.cli.output import clean
from midlayer.frontends.places import default_socket


def monitor(options: argparse.Namespace) -> int:
    """Print events until the daemon ends."""
    with Client(options.socket or default_socket()) as client:
        print("monitor will print the received events for:\nMIDLAYER - the event log\n", flush=True)
        for event in client.stream(None):
            for text in event_blocks(event, properties=options.property, subsystems=options.subsystem_match):
                print(text, flush=True)
        last = client.last_event_count or 0
    raise DaemonError(f"the daemon ended; its last event was {last}")


def event_blocks(event: dict[str, Any], *, properties: bool, subsystems: list[str]) -> list[str]:
    """Return what is printed of an event: a line for each object, and its properties if wanted."""
    blocks = []
    for found in objects_of_event(event):
        if subsystems and not any(fnmatchcase(found.subsystem, pattern) for pattern in subsystems):
            continue
        line = f"MIDLAYER[{event['since_boot_s']:.6f}] {found.action:<8} {found.devpath} ({found.subsystem})"
        if properties:
            pairs = {
                "ACTION": found.action,
                "DEVPATH": found.devpath,
                "SUBSYSTEM": found.subsystem,
                **found.properties,
                "SEQNUM": str(event["event_count"]),
            }
            line = "\n".join([line, *(clean(f"{key}={value}") for key, value in pairs.items()), ""])
        blocks.append(line)
    return blocks
