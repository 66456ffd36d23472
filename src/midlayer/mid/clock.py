"""Time, injected: everything in midlayer that waits or stamps asks a `Clock`.

Tests use `midlayer.testing.FakeClock`, which moves only when told to.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

_log = logging.getLogger("midlayer.clock")
_COMPACT_ABOVE = 1024


class Timer(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> bool:
        """Return True if the call will not happen, False if it has begun or was cancelled before."""


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Return seconds that never go back; for durations and time-outs."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC; for people."""

    def since_boot(self) -> float:
        """Return seconds since the machine booted, sleep included (CLOCK_BOOTTIME)."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` once, `delay_s` seconds from now, in a thread of the clock's. It must not block."""

    def worker(self, name: str) -> Worker:
        """Return somebody for what may block, and must not hold up the timers."""


class Worker:
    """Runs calls one after the other, in the order of `post`, and has a thread only while there are some.

    Args:
        run: Runs what it is given, in a thread of its own or at once.
    """

    def __init__(self, run: Callable[[Callable[[], None]], object]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._busy = False

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` run after those that were posted before; what it raises is logged."""
        with self._lock:
            self._calls.append(call)
            if self._busy:
                return
            self._busy = True
        self._run(self._work)

    def _work(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:
                _log.exception("a worker's call raised")
            except BaseException:
                with self._lock:
                    self._busy = False  # Ctrl-C is for whoever sits in this thread; the next post goes on
                raise

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if not self._calls:
                self._busy = False
                return None
            return self._calls.popleft()


class _SystemTimer:
    __slots__ = ("call", "clock", "due_s")

    def __init__(self, clock: SystemClock, due_s: float, call: Callable[[], None]) -> None:
        self.clock = clock
        self.due_s = due_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> bool:
        with self.clock._lock:
            pending, self.call = self.call is not None, None
            if pending:
                self.clock._cancelled += 1
            return pending


class SystemClock:
    """The machine's clock. Its one timer thread starts with the first timer."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the one of `_condition`, which would take it in Python code
        self._condition = threading.Condition(self._lock)
        self._timers: list[tuple[float, int, _SystemTimer]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._workers: set[threading.Thread] = set()
        self._closed = False
        self._cancelled = 0  # timers still in the heap whose call will not happen

    @staticmethod
    def since_boot() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = _SystemTimer(self, time.monotonic() + delay_s, call)
        with self._lock:
            if self._cancelled > _COMPACT_ABOVE and self._cancelled * 2 > len(self._timers):
                self._timers = [entry for entry in self._timers if entry[2].call is not None]
                heapq.heapify(self._timers)
                self._cancelled = 0
            heapq.heappush(self._timers, (timer.due_s, next(self._order), timer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="midlayer-clock", daemon=True)
                self._thread.start()
            elif self._timers[0][2] is timer:
                self._condition.notify()
        return timer

    def worker(self, name: str) -> Worker:
        return Worker(partial(self._start_worker, name))

    def close(self) -> None:
        """Stop the timer thread; timers that have not run never will. Workers get a second to end."""
        with self._condition:
            self._closed = True
            self._timers.clear()
            self._condition.notify()
            thread, workers = self._thread, list(self._workers)
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(1.0)

    def _start_worker(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._condition:
            self._workers = {each for each in self._workers if each.is_alive()}
            thread.start()
            self._workers.add(thread)

    def _run(self) -> None:
        while (call := self._next_call()) is not None:
            try:
                call()
            except Exception:
                _log.exception("a timer's call raised")

    def _next_call(self) -> Callable[[], None] | None:
        with self._condition:
            while not self._closed:
                while self._timers and self._timers[0][2].call is None:
                    heapq.heappop(self._timers)
                    self._cancelled -= 1
                wait_s = self._timers[0][0] - time.monotonic() if self._timers else None
                if wait_s is None or wait_s > 0:
                    self._condition.wait(wait_s)
                    continue
                timer = heapq.heappop(self._timers)[2]
                call, timer.call = timer.call, None
                if call is not None:
                    return call
        return None
