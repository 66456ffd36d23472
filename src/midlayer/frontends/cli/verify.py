"""``verify``: is the device that is there still the one that the log knows?"""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import clean, print_json
from midlayer.frontends.places import default_socket

DIFFERS = 14
"""Exit status when something differs: a miscompare, as sg3_utils number it."""
NO_ANSWER = 2
"""Exit status when a device does not say who it is: not ready."""

_STATUS = {"same": 0, "changed": DIFFERS, "replaced": DIFFERS, "no-answer": NO_ANSWER}


def verify(options: argparse.Namespace) -> int:
    """Compare one device, or all, with the record."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post("verify", device=options.device)
    if options.json:
        print_json(answer)
    else:
        for item in answer["items"]:
            print(_line(item))
    return max((_STATUS[item["verdict"]] for item in answer["items"]), default=0)


def differences(item: dict[str, Any]) -> str:
    """Return what differs in one line."""
    return ", ".join(f"{key} {before} is now {now}" for key, (before, now) in item["differences"].items())


def _line(item: dict[str, Any]) -> str:
    what = differences(item) or item["reason"] or f"attached by event {item['attach_count']}"
    return clean(f"{item['address']:<12} {item['verdict']:<10} {what}")
