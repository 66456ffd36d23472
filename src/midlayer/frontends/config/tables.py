"""What the readers of all tables have in common: they raise `TableMistake` with the place of a mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from midlayer.frontends.toml_text import KeyPath, TableMistake
from midlayer.spelling import no_such_key

Converter = Callable[[Any], Any]
"""Makes a value of what TOML has; raises ValueError for what can not be one."""


def read_table(table: object, name: str, converters: Mapping[str, Converter]) -> dict[str, Any]:
    """Read a table whose keys are all known."""
    if not isinstance(table, dict):
        raise TableMistake((name,), f"write a table: [{name}]")
    try:
        return read_keys(table, converters)
    except TableMistake as mistake:
        raise mistake.below((name,)) from None


def read_keys(table: Mapping[str, Any], converters: Mapping[str, Converter]) -> dict[str, Any]:
    """Convert each value; places of mistakes begin in this table."""
    values = {}
    for key, value in table.items():
        only_known((key,), converters, ())
        try:
            values[key] = converters[key](value)
        except ValueError as error:
            raise TableMistake((key,), str(error)) from None
    return values


def read_each(tables: object, name: str, read: Callable[[dict[str, Any]], Any]) -> tuple[Any, ...]:
    """Read an array of tables; places of the mistakes of `read` begin in one of them."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise TableMistake((name,), f"write [[{name}]], once for each")
    found = []
    for index, table in enumerate(tables):
        try:
            found.append(read(table))
        except TableMistake as mistake:
            raise mistake.below((name, index)) from None
    return tuple(found)


def only_known(keys: Iterable[str], known: Iterable[str], place: KeyPath) -> None:
    """Refuse a key that nobody knows."""
    for key in keys:
        if key not in known:
            raise TableMistake((*place, key), no_such_key(key, known))


def path_from(base: Path, value: object) -> Path:
    """Return a path that starts from a directory unless it is absolute."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} must be a path in quotes")
    return base / value
