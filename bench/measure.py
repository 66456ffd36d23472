"""Measuring: two things in turns, so that noise hits both alike; the best of several rounds, or a median."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

ROUNDS = 15
PAIRS, PAIR_CALLS = 151, 1000


class Ratio(NamedTuple):
    """How two things compare.

    Attributes:
        name: What is measured.
        ours_s, base_s: Seconds for one call.
        cost: Ours by the base: how many times as long it takes.
    """

    name: str
    ours_s: float
    base_s: float

    @property
    def cost(self) -> float:
        return self.ours_s / self.base_s


def compare(name: str, ours: Callable[[], object], base: Callable[[], object], *, calls: int) -> Ratio:
    """Time `ours` and `base` in turns and return the best round of each."""
    ours_s = base_s = float("inf")
    for _ in range(ROUNDS):
        base_s = min(base_s, seconds_of(base, calls))
        ours_s = min(ours_s, seconds_of(ours, calls))
    return Ratio(name, ours_s, base_s)


def compare_in_pairs(name: str, ours: Callable[[], object], base: Callable[[], object]) -> Ratio:
    """Time `ours` and `base` in many short turns and return the pair whose ratio is the median.

    For ratios near 1, where the processor's own ups and downs would tell more than the best rounds.
    """
    for call in (base, ours):
        seconds_of(call, PAIR_CALLS)
    pairs = []
    for turn in range(PAIRS):
        first, second = (base, ours) if turn % 2 else (ours, base)
        times = seconds_of(first, PAIR_CALLS), seconds_of(second, PAIR_CALLS)
        pairs.append(Ratio(name, *(times[::-1] if turn % 2 else times)))
    return sorted(pairs, key=lambda pair: pair.cost)[PAIRS // 2]


def seconds_of(call: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call, of `calls` in a row."""
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begin) / calls


def line(ratio: Ratio, goal: str, *, met: bool) -> str:
    """Return one line of the report."""
    mark = "ok  " if met else "MISS"
    return (
        f"{mark} {ratio.name:<52} {ratio.ours_s * 1e6:>10.2f} µs  base {ratio.base_s * 1e6:>9.2f} µs"
        f"  ratio {ratio.cost:6.2f}  {goal}"
    )
