"""What verbs print: tables that fit a terminal, colour only on a terminal, JSON on request."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDE = 220


def console() -> Console:
    """Return a console on standard output; a pipe gets plain text that is never folded."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else _WIDE
    return Console(width=width, highlight=False, soft_wrap=not terminal)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print rows below headings; devices' own text is printed as it is, never as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(escape(clean(cell)) for cell in row))
    console().print(table)


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
