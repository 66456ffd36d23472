"""A thread for what must not be done where it is noticed: in a timer, or while a command completes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("midlayer.policy")

END_S = 5.0
"""How long the end waits for a call that runs."""

Call = Callable[[], None]


class Executor(Protocol):
    """Who makes calls later: a `Worker`, or `Inline` in a test."""

    def submit(self, call: Call) -> None:
        """Make a call; what it raises is logged."""

    def close(self) -> None:
        """Make no more calls."""


class Worker:
    """Makes calls in order, in one thread that starts with the first one."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, call: Call) -> None:
        """Make a call in the thread."""
        with self._condition:
            if self._closed:
                return
            self._calls.append(call)
            self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="midlayer-policy", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Forget the calls that wait, and let one that runs end; a device that hangs is not waited for."""
        with self._condition:
            self._closed = True
            self._calls.clear()
            self._condition.notify()
        thread = self._thread
        if thread is not None and thread.ident not in (None, threading.get_ident()):
            thread.join(END_S)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._calls or self._closed)
                if self._closed:
                    return
                call = self._calls.popleft()
            _make(call)


class Inline:
    """Makes each call at once, in the thread that asks for it; a call that comes from a call waits for it."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._busy = False

    def submit(self, call: Call) -> None:
        """Make a call."""
        self._calls.append(call)
        if self._busy:
            return
        self._busy = True
        try:
            while self._calls:
                _make(self._calls.popleft())
        finally:
            self._busy = False

    def close(self) -> None:
        """Make no more calls."""
        self._calls.clear()


def _make(call: Call) -> None:
    try:
        call()
    except Exception:
        _log.exception("policy: a call failed")
