"""What SCSIMON_LOCK_MOD counts: while it is locked, whoever serves scsimon had better not end."""

from __future__ import annotations

import threading


class ModuleLock:
    """A count of locks that outlives the files by which they were set.

    Attributes:
        count: How many there are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def change(self, step: int) -> int | None:
        """Count one lock more, or one less, and return how many there are; None if there was none to take."""
        with self._lock:
            if self.count + step < 0:
                return None
            self.count += step
            return self.count
