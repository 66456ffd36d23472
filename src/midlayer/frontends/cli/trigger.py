"""``trigger``: have agents and rules look at devices again, as ``udevadm trigger`` does."""

from __future__ import annotations

import argparse
import time
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.objects import device_objects
from midlayer.frontends.cli.output import clean, print_json
from midlayer.frontends.places import default_socket

LOOK_AGAIN_S = 0.05


def trigger(options: argparse.Namespace) -> int:
    """Send the wish, and print what it was for, if asked."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post(
            "trigger",
            action=options.action,
            subsystem_match=options.subsystem_match,
            subsystem_nomatch=options.subsystem_nomatch,
            attr_match=[_attribute(text) for text in options.attr_match],
            attr_nomatch=[_attribute(text) for text in options.attr_nomatch],
            property_match=[_attribute(text) for text in options.property_match],
            sysname_match=options.sysname_match,
            name_match=options.name_match,
            tag_match=options.tag_match,
            parent_match=options.parent_match,
            device=options.device,
            dry_run=options.dry_run,
        )
        while options.settle and client.get("agents")["position"] < answer["event_count"]:
            time.sleep(LOOK_AGAIN_S)
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
