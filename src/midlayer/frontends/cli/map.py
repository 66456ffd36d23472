"""``map``: which sg node belongs to which other node, as sg_map prints it."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import clean, print_json
from midlayer.frontends.cli.wording import node_name
from midlayer.frontends.places import default_socket


def sg_map(options: argparse.Namespace) -> int:
    """Print a line for each device that has an sg node, in order of its number."""
    with Client(options.socket or default_socket()) as client:
        answer = client.get("attached")
    items = sorted((item for item in answer["items"] if "sg" in item["names"]), key=_number)
    if options.json:
        print_json({"event_count": answer["event_count"], "items": [_as_json(item) for item in items]})
        return 0
    for item in items:
        print(_line(item, inquiry=options.inquiry, address=options.address))
    return 0


def _line(item: dict[str, Any], *, inquiry: bool, address: bool) -> str:
    parts = [f"/dev/{item['names']['sg']}"]
    if address:
        parts.append(f"{item['address'].replace(':', ' ')}  {item['type']}")
    node = node_name(item["names"])
    if node != "-":
        parts.append(f"/dev/{node}")
    if inquiry:
        parts.append(f"{item['vendor']:<8}  {item['model']:<16}  {item['revision']:<4}")
    return clean("  ".join(parts)).rstrip()


def _as_json(item: dict[str, Any]) -> dict[str, Any]:
    kept = ("address", "type", "vendor", "model", "revision", "names")
    return {key: item[key] for key in kept}


def _number(item: dict[str, Any]) -> int:
    return int(item["names"]["sg"].removeprefix("sg"))
