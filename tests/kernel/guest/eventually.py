"""Waiting for the kernel: poll until a condition holds or a deadline passes, never sleep and hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT_S = 180.0
"""For what has to happen, however slow the machine is: an emulated processor, and others beside it."""


def eventually(
    condition: Callable[[], T],
    *,
    timeout_s: float = LIMIT_S,
    interval_s: float = 0.01,
    reason: str = "",
) -> T:
    """Call ``condition`` until it returns something true, and return that.

    An ``OSError`` counts as "not yet": files of sysfs come and go under the reader.

    Raises:
        AssertionError: the deadline passed; says what the condition returned or raised last.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            value = condition()
        except OSError as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() >= deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {reason or condition!r}; last seen: {last!r}")
        time.sleep(interval_s)
