"""A clock for tests: it stands still until it is told to go on."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from midlayer.mid.clock import Worker


class FakeTimer:
    """A call that waits for its time on a `FakeClock`."""

    __slots__ = ("_clock", "call", "due_s")

    def __init__(self, clock: FakeClock, due_s: float, call: Callable[[], None]) -> None:
        self._clock = clock
        self.due_s = due_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> bool:
        """Return True if the call will not happen, False if it has begun or was cancelled before."""
        return self._clock.take(self) is not None


class FakeClock:
    """Implements `midlayer.mid.clock.Clock`. No thread, no sleep.

    Args:
        monotonic_s: What `monotonic` says at first.
        wall_s: What `wall` says at first.
        since_boot_s: What `since_boot` says at first.
    """

    def __init__(
        self, *, monotonic_s: float = 1000.0, wall_s: float = 1_700_000_000.0, since_boot_s: float = 5000.0
    ) -> None:
        self._lock = threading.Lock()
        self._now_s = monotonic_s
        self._wall_offset_s = wall_s - monotonic_s
        self._boot_offset_s = since_boot_s - monotonic_s
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._now_s

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return self._now_s + self._wall_offset_s

    def since_boot(self) -> float:
        """Return seconds since the machine booted."""
        return self._now_s + self._boot_offset_s

    def set_wall(self, wall_s: float) -> None:
        """Set the calendar, as a person or NTP does; no other clock moves and no timer is touched."""
        self._wall_offset_s = wall_s - self._now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> FakeTimer:
        """Run `call` in the thread whose `advance` reaches the time `delay_s` seconds from now."""
        with self._lock:
            timer = FakeTimer(self, self._now_s + max(delay_s, 0.0), call)
            heapq.heappush(self._timers, (timer.due_s, next(self._order), timer))
        return timer

    def worker(self, name: str) -> Worker:
        """Return somebody who works at once, in the thread that posts."""
        return Worker(lambda work: work())

    def pending(self) -> list[float]:
        """Return in how many seconds each waiting timer is due, soonest first."""
        with self._lock:
            return sorted(due_s - self._now_s for due_s, _, timer in self._timers if timer.call is not None)

    def advance(self, seconds: float) -> int:
        """Move on, and run what comes due, in order, in this thread; timers set meanwhile included.

        What a timer's call raises comes out of here; time stands at that timer then.

        Returns:
            How many timers ran.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        until_s = self._now_s + seconds
        ran = 0
        while (call := self._next(until_s)) is not None:
            ran += 1
            call()
        return ran

    def take(self, timer: FakeTimer) -> Callable[[], None] | None:
        """Take a timer's call out, once; for `FakeTimer`."""
        with self._lock:
            call, timer.call = timer.call, None
            return call

    def _next(self, until_s: float) -> Callable[[], None] | None:
        with self._lock:
            while self._timers and self._timers[0][0] <= until_s:
                due_s, _, timer = heapq.heappop(self._timers)
                call, timer.call = timer.call, None
                if call is not None:
                    self._now_s = max(self._now_s, due_s)
                    return call
            self._now_s = max(self._now_s, until_s)
            return None
