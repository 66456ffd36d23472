"""Serial number arithmetic on 32 bits (RFC 1982, RFC 7143 4.2.2.1): CmdSN and StatSN wrap."""

from __future__ import annotations

MASK = 0xFFFFFFFF
HALF = 1 << 31


def add(number: int, step: int) -> int:
    """Return `number` moved on by `step`."""
    return number + step & MASK


def distance(first: int, second: int) -> int:
    """Return how far `second` lies after `first`; negative if it lies before it."""
    ahead = second - first & MASK
    return ahead if ahead < HALF else ahead - (1 << 32)


def less(first: int, second: int) -> bool:
    """Return True if `first` comes before `second`."""
    return distance(first, second) > 0


def in_window(number: int, first: int, last: int) -> bool:
    """Return True if `number` lies between `first` and `last`, both included.

    The window is closed when `last` comes before `first`.
    """
    return distance(first, number) >= 0 and distance(number, last) >= 0
