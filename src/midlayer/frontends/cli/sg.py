"""The verb ``sg debug``: open descriptors of the daemon and their requests, once or live."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket

_COLUMNS = (
    Column("SG", 9),
    Column("FD", 8),
    Column("STATE", 7),
    Column("PACK_ID", 6),
    Column("COMMAND", 9),
    Column("MEMORY", 1),
    Column("BYTES", 3),
    Column("SGAT"),
    Column("MS", 5),
    Column("TIMEOUT", 2),
)


def sg(options: argparse.Namespace) -> int:
    """Print the table; with ``--follow`` again and again, until Ctrl-C."""
    with Client(options.socket or default_socket()) as client:
        while True:
            answer = client.get("sg/debug")
            if not options.json:
                print_debug(answer)
            elif options.follow:
                print(json.dumps(answer), flush=True)
            else:
                print_json(answer)
            if not options.follow:
                return 0
            time.sleep(options.interval)


def print_debug(answer: dict[str, Any]) -> None:
    """Print one line for each request, and one for each descriptor without any."""
    rows = [
        (device["name"], str(number), *_request(request))
        for device in answer["items"]
        for number, descriptor in enumerate(device["descriptors"], 1)
        for request in descriptor["requests"] or [None]
    ]
    print_table(_COLUMNS, rows)
    open_count = sum(device["open_count"] for device in answer["items"])
    requests = sum(len(file["requests"]) for device in answer["items"] for file in device["descriptors"])
    print(f"{open_count} open, {requests} requests, reserved by default {answer['def_reserved_size']} bytes")


def _request(request: dict[str, Any] | None) -> tuple[str, ...]:
    if request is None:
        return ("-",) * 8
    return (
        request["state"],
        str(request["pack_id"]),
        request["command"],
        request["kind"] or "own",
        str(request["buffer_bytes"]),
        str(request["sgat"]),
        str(request["elapsed_ms"]),
        str(request["timeout_ms"]),
    )
