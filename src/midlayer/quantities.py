"""Amounts with a unit, as people write them: ``1G``, ``512M``, ``64KiB``."""

from __future__ import annotations

import re

from midlayer.errors import UsageError

_SIZE = re.compile(r"(\d+)\s*(?:([KMGTP])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)
_EXPONENT = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def parse_size(text: str | int) -> int:
    """Return a size in bytes; K, M, G, T and P are powers of 1024.

    Raises:
        UsageError: If `text` is not a size.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"{text!r} is not a size; write a number and a unit, such as 512M or 1G")
    return int(match[1]) << 10 * _EXPONENT[(match[2] or "").upper()]


def format_size(size_bytes: int) -> str:
    """Return a size in the largest unit that leaves at least 1: ``1.5 GiB``."""
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.4g} {unit}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which gets an s where that is due."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
