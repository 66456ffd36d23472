"""The verb ``logging``: read and set the SCSI logging level of the daemon."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket
from midlayer.mid.logging_level import parse_wish


def logging(options: argparse.Namespace) -> int:
    """Print the level, or set it and print what it is then."""
    words: list[str] = options.levels
    if options.action == "get" and words:
        raise UsageError("logging get: takes no levels; midlayer logging set FIELD=LEVEL changes one")
    if options.action == "set" and not words:
        raise UsageError("logging set: write FIELD=LEVEL such as mlqueue=3, or one number; 0 is silence")
    with Client(options.socket or default_socket()) as client:
        if options.action == "set":
            level, fields = parse_wish(words)
            answer = client.post("logging", level=level, fields=fields)
        else:
            answer = client.get("logging")
    print_json(answer) if options.json else _print(answer)
    return 0


def _print(answer: dict[str, Any]) -> None:
    print(f"scsi_logging_level {answer['level']:#x}")
    columns = (Column("FIELD", 2), Column("LEVEL", 1))
    print_table(columns, [(name, str(level)) for name, level in answer["fields"].items()])
