"""``reload``: read the daemon's configuration again, without a restart."""

from __future__ import annotations

import argparse

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import print_json
from midlayer.frontends.places import default_socket
from midlayer.quantities import counted


def reload(options: argparse.Namespace) -> int:
    """Have the daemon read its file; a mistake in it leaves the old configuration in force."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post("reload")
    if options.json:
        print_json(answer)
        return 0
    parts = (
        counted(answer["agents"], "agent"),
        counted(answer["quarantine"], "quarantine rule"),
        counted(answer["rules"], "udev rule"),
    )
    print(f"{answer['file']}: {', '.join(parts)} in force")
    if answer["after_restart"]:
        print(f"changed, and in force after a restart: {', '.join(answer['after_restart'])}")
    return 0
