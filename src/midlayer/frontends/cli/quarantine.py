"""``quarantined``: what a rule keeps from the upper-level drivers."""

from __future__ import annotations

import argparse

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.cli.wording import short_time, type_word
from midlayer.frontends.places import default_socket
from midlayer.quantities import counted

_COLUMNS = (
    Column("ADDRESS", 9),
    Column("STATE", 8),
    Column("TYPE", 4),
    Column("VENDOR", 6),
    Column("MODEL", 7),
    Column("PQ", 5),
    Column("SINCE (UTC)", 2),
    Column("ASKED", 3),
    Column("RULE", 1),
    Column("WHY", 1),
)


def quarantined(options: argparse.Namespace) -> int:
    """Print the devices in quarantine; ask one of them at once, if told to."""
    with Client(options.socket or default_socket()) as client:
        if options.probe is not None:
            client.post("quarantined", device=options.probe)
        answer = client.get("quarantined")
    if options.json:
        print_json(answer)
        return 0
    if not answer["items"]:
        print("nothing is in quarantine")
        return 0
    rows = [
        (
            item["address"],
            item["state"],
            type_word(item["type"]),
            item["vendor"],
            item["model"],
            item["qualifier"],
            short_time(item["since"]),
            counted(item["probes"], "time"),
            item["rule"],
            item["reason"],
        )
        for item in answer["items"]
    ]
    print_table(_COLUMNS, rows)
    return 0
