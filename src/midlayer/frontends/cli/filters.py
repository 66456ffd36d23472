"""``filter``: have commands delayed, traced, recorded or replayed, while the daemon runs."""

from __future__ import annotations

import argparse
import os
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.faults import read_keys, rule_text
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket


def filter(options: argparse.Namespace) -> int:
    """Add, list or clear filters of the daemon."""
    action = _ACTIONS[options.action]
    with Client(options.socket or default_socket()) as client:
        action(client, options.words, options.json)
    return 0


def _add(client: Client, words: list[str], as_json: bool) -> None:
    if not words:
        raise UsageError(
            "filter add: write KEY=VALUE …, such as kind=trace file=trace.txt; see docs/configuration.md"
        )
    keys = read_keys("filter add", words, "kind=trace")
    if "file" in keys:
        keys["file"] = os.path.abspath(keys["file"])  # the daemon is somewhere else
    state = client.post("filters", **keys)
    print_json(state) if as_json else print(f"filter {state['name']} in the path: {rule_text(state['rule'])}")


def _list(client: Client, words: list[str], as_json: bool) -> None:
    if words:
        raise UsageError(f"filter list: takes no more words, {words[0]!r} is one")
    answer = client.get("filters")
    if as_json:
        print_json(answer)
    elif answer["items"]:
        rows = [(item["name"], rule_text(item["rule"])) for item in answer["items"]]
        print_table((Column("FILTER", 2), Column("RULE", 1)), rows)
    else:
        print("no filters are in the path but those of the configuration")


def _clear(client: Client, words: list[str], as_json: bool) -> None:
    cleared: list[dict[str, Any]] = []
    for name in words:
        cleared += client.delete("filters", name=name)["items"]
    if not words:
        cleared = client.delete("filters")["items"]
    if as_json:
        print_json({"items": cleared})
        return
    for state in cleared:
        print(f"filter {state['name']} cleared")
    if not cleared:
        print("no filters were in the path but those of the configuration")


_ACTIONS = {"add": _add, "list": _list, "clear": _clear}
