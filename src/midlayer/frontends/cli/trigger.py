"""``trigger``: have agents and rules look at devices again, as ``udevadm trigger`` does."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.objects import device_objects
from midlayer.frontends.cli.output import clean, print_json
from midlayer.frontends.places import default_socket


def trigger(options: argparse.Namespace) -> int:
    """Send the wish, and print what it was for, if asked."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post(
            "trigger",
            action=options.action,
            subsystem_match=options.subsystem_match,
            attr_match=[_attribute(text) for text in options.attr_match],
            device=options.device,
            dry_run=options.dry_run,
        )
    if options.json:
        print_json(answer)
    elif options.verbose:
        for item in answer["items"]:
            for path in _paths(item):
                print(clean(path))
    return 0


def _attribute(text: str) -> dict[str, str | None]:
    name, equals, pattern = text.partition("=")
    return {"name": name, "pattern": pattern if equals else None}


def _paths(item: dict[str, Any]) -> list[str]:
    found = device_objects("change", item["address"], {"names": item["names"]}, {})
    return [f"/sys{each.devpath}" for each in found if each.subsystem in item["objects"]]
