"""Text in TOML whose mistakes are told with file, line and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from midlayer.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Keys from the root, with the index after the name of an array of tables."""

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = re.compile(r" \(at end of document\)$")
_TABLE = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\")\s*[.=]")


class TableMistake(Exception):
    """A mistake in a tree; whoever has its text makes a `ConfigError` of it, with `located`.

    Args:
        place: Where it is.
        message: What is wrong, and what to write.
    """

    def __init__(self, place: KeyPath, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message

    def below(self, place: KeyPath) -> TableMistake:
        """Return the mistake of a table which itself is at a place."""
        return TableMistake((*place, *self.place), self.message)

    def located(self, text: str, file: str) -> ConfigError:
        """Return the error with the line and the key."""
        key = ".".join(str(part) for part in self.place if isinstance(part, str))
        return ConfigError(self.message, file=file, line=find_line(text, self.place), key=key)


def read_text(path: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        ConfigError: With file and line, if it is not there, or something else.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(error.strerror or str(error), file=str(path)) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"byte {error.start} is not UTF-8", file=str(path), line=line) from error


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Return the tree of a text.

    Raises:
        ConfigError: With file and line, if it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(text, file, str(error)) from None
    except RecursionError:
        raise ConfigError("tables or arrays nested too deeply", file=file) from None


def find_line(text: str, place: KeyPath) -> int:
    """Return the line of a key in TOML text; that of its table, or 0, if it is written in another way.

    Args:
        text: The TOML text.
        place: Keys from the root, with the index after the name of an array of tables.
    """
    best, current = 0, KeyPath()
    counters: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TABLE.match(line)
        if header is not None:
            current = _table_path(header[2], header[1] == "[[", counters)
            if current[: len(place)] == place:
                return number
            if place[: len(current)] == current:
                best = number
            continue
        key = _KEY.match(line)
        if key is not None and place[: len(current) + 1] == (*current, key[1].strip('"')):
            return number
    return best


def _table_path(header: str, array: bool, counters: dict[str, int]) -> KeyPath:
    """Return the path of a table header, counting the elements of arrays of tables."""
    names = [name.strip().strip('"') for name in header.split(".")]
    path: list[str | int] = []
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        path.append(names[depth - 1])
        if array and depth == len(names):
            counters[name] = counters.get(name, -1) + 1
            for other in [key for key in counters if key.startswith(name + ".")]:
                del counters[other]
        if name in counters:
            path.append(counters[name])
    return tuple(path)


def _syntax_error(text: str, file: str, message: str) -> ConfigError:
    """Return the error for a text that is not TOML; `message` is what tomllib said."""
    match = _AT_LINE.search(message)
    line = int(match[1]) if match else len(text.splitlines()) if _AT_END.search(message) else 0
    clean = _AT_END.sub("", _AT_LINE.sub("", message))
    return ConfigError(f"not TOML: {clean}", file=file, line=line)
