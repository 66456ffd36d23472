"""What verbs print: tables that fit a terminal, bold headings only on a terminal, JSON on request."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column of a table; where there is no room for all, those of least importance are left out."""

    title: str
    importance: int = 0


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output; None in a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[str]:
    """Print rows below headings.

    Returns:
        Titles of the columns that the terminal has no room for.
    """
    cells = [[_measured(clean(cell)) for cell in row] for row in rows]
    titles = [_measured(column.title) for column in columns]
    widths = [max(row[at][1] for row in (titles, *cells)) for at in range(len(columns))]
    shown, gap = fit(columns, widths, terminal_width())

    def line(row: Sequence[tuple[str, int]]) -> str:
        padded = (row[at][0] + " " * (widths[at] + gap - row[at][1]) for at in shown)
        return "".join(padded).rstrip()

    headings = line(titles)
    print(f"\x1b[1m{headings}\x1b[0m" if _has_bold() else headings)
    for row in cells:
        print(line(row))
    return [column.title for at, column in enumerate(columns) if at not in shown]


def _measured(text: str) -> tuple[str, int]:
    """Return a text and the columns of a terminal that it takes."""
    if text.isascii():
        return text, len(text)
    from rich.cells import cell_len

    return text, cell_len(text)


def _has_bold() -> bool:
    """True for a terminal that shows bold text, unless the user wants none."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
    return sys.stdout.isatty() and not plain


def fit(columns: Sequence[Column], widths: Sequence[int], room: int | None) -> tuple[list[int], int]:
    """Choose the columns that a terminal has room for, and the space between them.

    Columns of importance 0 go first, then the space between columns shrinks, then others go, least
    important first; the first column stays in any case.
    """
    shown, gap = list(range(len(columns))), 2
    while room is not None and sum(widths[at] for at in shown) + gap * (len(shown) - 1) > room:
        least = min(shown[1:], key=lambda at: (columns[at].importance, -at), default=None)
        if gap == 2 and (least is None or columns[least].importance > 0):
            gap = 1
        elif least is not None:
            shown.remove(least)
        else:
            break
    return shown, gap


def fitted(line: str) -> str:
    """Return a line as it is for a pipe, and cut to its width for a terminal."""
    from rich.cells import cell_len, set_cell_size

    width = terminal_width()
    if width is None or cell_len(line) <= width:
        return line
    return set_cell_size(line, width - 1).rstrip() + "…"


def clean(text: str) -> str:
    """Replace what a device must not do to a terminal: control characters and escapes."""
    return "".join(character if character.isprintable() else "?" for character in text)


def hex_dump(data: bytes | memoryview) -> str:
    """Return bytes as lines of 16, with offsets and characters."""
    lines = []
    for at in range(0, len(data), 16):
        piece = bytes(data[at : at + 16])
        digits = piece.hex(" ").ljust(47)
        characters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        lines.append(f"{at:05x}  {digits}  {characters}")
    return "\n".join(lines)
