"""A driver that completes commands from a thread of its own, and helps to recover from errors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from ramdisk import RamDisk

from midlayer import Command, Host, Subsystem
from midlayer.mid.recovery_callbacks import FAILED, SUCCESS

Done = Callable[[Command], None]
MOST_S = 5.0


class ThreadedRamDisk(RamDisk):
    """The RAM disk, behind a queue that one thread works off; each host has a driver of its own."""

    name, proc_name = "example threaded RAM disk", "threaded"
    cmd_per_lun = 8

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[tuple[Command, Done]] = deque()
        self._changed = threading.Condition()
        self._busy: Command | None = None
        self._over = False
        threading.Thread(target=self._work, name="threaded-ramdisk", daemon=True).start()

    def queuecommand(self, command: Command, done: Done) -> int:
        """Take a command; it ends later, in another thread."""
        with self._changed:
            self._queue.append((command, done))
            self._changed.notify_all()
        return 0

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = None
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._over)
                if self._over:
                    return
                self._busy, done = self._queue.popleft()
            super().queuecommand(self._busy, done)  # without the lock: `done` may bring the next command

    def eh_abort_handler(self, command: Command) -> int:
        """Forget a command that waits; one that is being worked on can not be stopped."""
        with self._changed:
            kept = [entry for entry in self._queue if entry[0] is not command]
            found = len(kept) < len(self._queue)
            self._queue = deque(kept)
        return SUCCESS if found else FAILED

    def eh_device_reset_handler(self, command: Command) -> int:
        """Forget all commands, and see that none is being worked on any more."""
        with self._changed:
            self._queue.clear()
            return SUCCESS if self._changed.wait_for(lambda: self._busy is None, MOST_S) else FAILED

    def release(self, host: Host) -> None:
        """End the thread; it may be the one that calls this, so it is not waited for."""
        with self._changed:
            self._over = True
            self._changed.notify_all()


def bring_up(subsystem: Subsystem) -> Host:
    """Make a host, add it and scan it."""
    host = subsystem.host_alloc(ThreadedRamDisk())
    subsystem.add_host(host)
    subsystem.scan_host(host)
    return host
