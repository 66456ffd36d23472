"""``reset``: reset a device, or what it hangs on, as sg_reset does."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.frontends.cli.commands import find
from midlayer.frontends.cli.output import print_json


def reset(options: argparse.Namespace) -> int:
    """Reset, and say at which level that succeeded."""
    device = find(options)
    try:
        answer: dict[str, Any]
        from midlayer.upper.sg import BoundDevice

        if isinstance(device, BoundDevice):
            from midlayer.upper.sg.reset import reset_or_fail

            unit = device.logical_unit
            level = reset_or_fail(unit, options.level, escalate=options.escalate)
            answer = {"address": str(unit.address), "level": level}
        else:
            from midlayer.frontends.cli.client import Client
            from midlayer.frontends.places import default_socket

            with Client(options.socket or default_socket()) as client:
                answer = client.post(
                    "reset", device=options.device, level=options.level, escalate=options.escalate
                )
    finally:
        device.close()
    if options.json:
        print_json(answer)
    else:
        print(f"{answer['address']}: {answer['level']} reset")
    return 0
