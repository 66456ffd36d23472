"""``fault``: have devices misbehave on command."""

from __future__ import annotations

import argparse
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.frontends.places import default_socket


def fault(options: argparse.Namespace) -> int:
    """Add, list or clear faults of the daemon, or print what they did."""
    action = _ACTIONS[options.action]
    with Client(options.socket or default_socket()) as client:
        action(client, options.words, options.json)
    return 0


def _add(client: Client, words: list[str], as_json: bool) -> None:
    if not words:
        raise UsageError(
            "fault add: write KEY=VALUE …, such as opcode=READ sense=3/11/00; see docs/faults.md"
        )
    keys = read_keys("fault add", words, "sense=3/11/00", "; several commands are opcode='READ;WRITE'")
    state = client.post("faults", **keys)
    print_json(state) if as_json else print(f"fault {state['name']} in force: {rule_text(state['rule'])}")


def _list(client: Client, words: list[str], as_json: bool) -> None:
    _no_words("list", words)
    answer = client.get("faults")
    if as_json:
        print_json(answer)
    elif answer["items"]:
        print_states(answer["items"])
    else:
        print("no faults are in force")


def _clear(client: Client, words: list[str], as_json: bool) -> None:
    if words:
        cleared = [client.delete("faults", name=name)["items"][0] for name in words]
    else:
        cleared = client.delete("faults")["items"]
    if as_json:
        print_json({"items": cleared})
    for state in cleared if not as_json else ():
        print(f"fault {state['name']} cleared after {state['injections']} of {state['matches']} commands")
    if not cleared and not as_json:
        print("no faults were in force")


def _injected(client: Client, words: list[str], as_json: bool) -> None:
    _no_words("injected", words)
    answer = client.get("faults", "injected")
    if as_json:
        print_json(answer)
        return
    columns = (Column("TIME", 1), Column("FAULT", 2), Column("ADDRESS", 3), Column("COMMAND", 4))
    rows = [
        (item["time"][11:23], item["fault"], item["address"], item["command"]) for item in answer["items"]
    ]
    print_table(columns, rows)


def read_keys(what: str, words: list[str], example: str, instead: str = "") -> dict[str, str]:
    """Read words of a command line, each of them KEY=VALUE.

    Raises:
        UsageError: For a word that is none, or a key that is there twice.
    """
    keys: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{what}: {word!r} must be KEY=VALUE, such as {example}")
        if key in keys:
            raise UsageError(f"{what}: {key} is given twice{instead}")
        keys[key] = value
    return keys


def print_states(items: list[dict[str, Any]]) -> None:
    """Print faults with their counts."""
    columns = (
        Column("FAULT", 4),
        Column("MEANT", 1),
        Column("HIT", 3),
        Column("ACTIVE", 0),
        Column("RULE", 2),
    )
    print_table(
        columns,
        [
            (
                item["name"],
                str(item["matches"]),
                str(item["injections"]),
                "yes" if item["active"] else "no",
                rule_text(item["rule"]),
            )
            for item in items
        ],
    )


def rule_text(rule: dict[str, Any]) -> str:
    """Return a rule in one line, as ``fault add`` takes it but for the quotes."""
    return " ".join(f"{key}={_value_text(value)}" for key, value in rule.items())


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _no_words(action: str, words: list[str]) -> None:
    if words:
        raise UsageError(f"fault {action}: takes no more words, {words[0]!r} is one")


_ACTIONS = {"add": _add, "list": _list, "clear": _clear, "injected": _injected}
