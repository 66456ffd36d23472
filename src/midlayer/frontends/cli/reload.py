"""``reload``: read the daemon's configuration again, without a restart."""

from __future__ import annotations

import argparse

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import print_json
from midlayer.frontends.places import default_socket


def reload(options: argparse.Namespace) -> int:
    """Have the daemon read its file; a mistake in it leaves the old configuration in force."""
    with Client(options.socket or default_socket()) as client:
        answer = client.post("reload")
    if options.json:
        print_json(answer)
        return 0
    quarantine, rules = answer["quarantine"], answer["rules"]
    in_force = f"{answer['agents']} agents, {quarantine} quarantine rules, {rules} udev rules in force"
    print(f"{answer['file']}: {in_force}")
    if answer["after_restart"]:
        print(f"changed, and in force after a restart: {', '.join(answer['after_restart'])}")
    return 0
