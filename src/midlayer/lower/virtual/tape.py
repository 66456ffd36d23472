"""A tape drive: the medium in it, where the medium stands, and what has gone over the head."""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass

from midlayer.lower.virtual.answers import CheckCondition
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.lower.virtual.tape_medium import FileTape, MemoryTape, TapeMedium
from midlayer.standards.sense import SenseKey

NO_MEDIUM = (int(SenseKey.NOT_READY), 0x3A, 0x00)
LONGEST_BLOCK = 0x800000
DENSITY = 0x46


@dataclass(slots=True)
class Moved:
    """Bytes since the drive was made: what LOG SENSE reports."""

    received: int = 0
    written: int = 0
    read: int = 0
    sent: int = 0


class TapeDrive:
    """A drive; its unit's handlers hold `lock` while they use it.

    Attributes:
        medium: The cartridge in it; None if there is none.
        position: Number of the object that comes next.
        capacity_bytes: Room of a medium.
        early_warning_bytes: How much of it is behind the early warning.
        moved: Counters.
        lock: Held by one command at a time.
    """

    def __init__(self, spec: UnitSpec) -> None:
        self.capacity_bytes = spec.size
        self.early_warning_bytes = min(spec.early_warning, spec.size // 8)
        self.position = 0
        self.moved = Moved()
        self.lock = threading.Lock()
        self.medium: TapeMedium | None = None
        if spec.loaded:
            writable = not spec.write_protected
            self.medium = (
                FileTape(spec.file, spec.barcode, writable=writable)
                if spec.file is not None
                else MemoryTape(spec.barcode, writable=writable)
            )
            self.medium.load()

    def loaded(self) -> TapeMedium:
        """Return the medium.

        Raises:
            CheckCondition: There is none.
        """
        if self.medium is None:
            raise CheckCondition(*NO_MEDIUM)
        return self.medium

    def insert(self, medium: TapeMedium) -> None:
        """Put a cartridge in, at its beginning.

        Raises:
            NodeError: It can not be read.
        """
        with self.lock:
            medium.load()
            self.medium, self.position = medium, 0

    def take_out(self) -> TapeMedium | None:
        """Take the cartridge out and return it."""
        with self.lock:
            medium, self.medium = self.medium, None
            self.position = 0
            if medium is not None:
                medium.flush()
                medium.unload()
            return medium

    def close(self) -> None:
        """Let go of the medium's file."""
        with self.lock:
            if self.medium is not None:
                self.medium.unload()

    @property
    def at_early_warning(self) -> bool:
        """The medium stands where its end is near."""
        used = self.loaded().used_bytes(self.position)
        return used >= self.capacity_bytes - self.early_warning_bytes

    @property
    def file_number(self) -> int:
        """How many filemarks are before the position."""
        return bisect.bisect_left(self.loaded().marks, self.position)

    def room_for(self, taken: int) -> bool:
        """Say whether so many bytes can still be written."""
        return self.loaded().used_bytes(self.position) + taken <= self.capacity_bytes

    def blocks(self, count: int) -> int:
        """Go over that many blocks, backward if it is negative; return how many are left at what stops it."""
        medium, step = self.loaded(), 1 if count > 0 else -1
        if count > 0:
            mark = _first(medium.marks, bisect.bisect_left(medium.marks, self.position), len(medium.lengths))
            moved = min(count, mark - self.position)
        else:
            before = bisect.bisect_left(medium.marks, self.position) - 1
            moved = min(-count, self.position - (medium.marks[before] + 1 if before >= 0 else 0))
        self.position += step * moved
        return abs(count) - moved

    def filemarks(self, count: int) -> int:
        """Go over that many filemarks, backward if it is negative, and return how many are left at an end."""
        medium = self.loaded()
        here = bisect.bisect_left(medium.marks, self.position)
        there = here + count
        if count > 0:
            if there <= len(medium.marks):
                self.position = medium.marks[there - 1] + 1
                return 0
            self.position = len(medium.lengths)
            return there - len(medium.marks)
        if there >= 0:
            self.position = medium.marks[there] if count else self.position
            return 0
        self.position = 0
        return -there


def _first(marks: list[int], at: int, otherwise: int) -> int:
    return marks[at] if at < len(marks) else otherwise
