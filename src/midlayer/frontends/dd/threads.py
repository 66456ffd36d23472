"""A copy by several threads, for devices that keep the thread which sends a command until its end.

As with sgp_dd each thread takes a chunk from step to step, and the kernel moves the data of several of them
at once. The state of the copy is under one lock, which nobody holds while an end does something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midlayer.frontends.dd.copier import Copier
    from midlayer.frontends.dd.ends import Chunk

_JOIN_S = 1.0


class Threads:
    """The threads of one copy.

    Args:
        copier: The copy.
        count: Of threads.
        on_progress: Called with the number of blocks that are done, with the lock held.
    """

    def __init__(self, copier: Copier, count: int, on_progress: Callable[[int], None]) -> None:
        self._copier, self._on_progress = copier, on_progress
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle = 0  # threads that wait for the condition
        self._stopped = False
        self._ends: SimpleQueue[BaseException | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"midlayer-dd-{number}", daemon=True)
            for number in range(count)
        ]

    def run(self) -> None:
        """Copy everything.

        Raises:
            MidlayerError: What ended the copy early.
        """
        try:
            for thread in self._threads:
                thread.start()
            for _ in self._threads:
                failure = self._ends.get()
                if failure is not None:
                    raise failure
        except BaseException:
            self._stop()
            # Not for ever: a command ends with the device's answer, or in the time that it has.
            end_s = time.monotonic() + _JOIN_S
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join(max(0.0, end_s - time.monotonic()))
            raise

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with self._lock:
                self._work()
        except BaseException as error:  # raised again in the thread that waits
            self._stop()
            self._ends.put(error)
        else:
            self._ends.put(None)

    def _work(self) -> None:
        """Take one step after the other. The caller holds the lock."""
        copier = self._copier
        while (chunk := self._next()) is not None:
            if copier.must_keep_order(chunk):
                ended = copier.send(chunk)
            else:
                self._lock.release()
                try:
                    ended = copier.send(chunk)
                finally:
                    self._lock.acquire()
            if self._stopped:
                return
            copier.take_back(ended)
            self._on_progress(copier.done)
            if self._idle:
                self._changed.notify_all()

    def _next(self) -> Chunk | None:
        """Return a chunk with something to be done; wait as long as only others have any."""
        while not self._stopped:
            chunk = self._copier.next_chunk()
            if chunk is not None or not self._copier.active:
                return chunk
            self._idle += 1
            self._changed.wait()
            self._idle -= 1
        return None
