"""What a row of the table is, and how one is added."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ..calls import (
    RDWR,
    Opened,
    Using,
    outcome,
)

RDONLY = os.O_RDONLY | os.O_NONBLOCK
WRONLY = os.O_WRONLY | os.O_NONBLOCK
EXCL = os.O_RDWR | os.O_EXCL | os.O_NONBLOCK
IN, OUT, HUP = 0x41, 0x104, 0x10


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: Rule and case.
        expect: The outcome.
        run: Calls a node, and returns the outcome.
        kernel: What 6.12 does instead, where that is a defect of it which we do not rebuild.
        needs_views: It holds only where the caller's memory can be used in place.
    """

    name: str
    expect: Any
    run: Callable[[Using], Any]
    kernel: Any = None
    needs_views: bool = False


ROWS: list[Row] = []


def row(
    name: str, expect: Any, kernel: Any = None
) -> Callable[[Callable[[Using], Any]], Callable[[Using], Any]]:
    """Add a row whose steps are a function."""

    def add(run: Callable[[Using], Any]) -> Callable[[Using], Any]:
        ROWS.append(Row(name, expect, run, kernel))
        return run

    return add


def one(name: str, expect: Any, call: Callable[[Opened], Any], flags: int = RDWR) -> None:
    """Add a row that is one call on a fresh descriptor."""
    ROWS.append(Row(name, expect, lambda using: call(using.open(flags))))


def opens(using: Using, flags: int) -> Any:
    return outcome(lambda: (using.open(flags), "opened")[1])
