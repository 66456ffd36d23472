"""Which uevents are new, which a look at sysfs has covered, and which are missing. No I/O."""

from __future__ import annotations

from enum import Enum, auto

_MAX_MISSING = 4096


class Coverage(Enum):
    """How an event relates to the last look at sysfs."""

    COVERED = auto()
    """It happened before the look began: sysfs showed its outcome already."""
    AMBIGUOUS = auto()
    """It happened during the look, which may or may not have seen it."""
    NEW = auto()
    """It happened after the look."""


class Sequence:
    """Keeps account of event numbers.

    The number counts all uevents of the machine. Some are not for us (other network namespaces), and
    since Linux 6.10 two events of different objects may swap places, so that a gap alone does not prove
    a loss: it is forgotten if the missing event comes late, and costs a look at sysfs otherwise.
    """

    def __init__(self) -> None:
        self._covered_to = 0
        self._ambiguous_to = 0
        self._last = 0  # 0: any number may come next
        self._missing: set[int] = set()
        self._too_many = False

    @property
    def last(self) -> int:
        """Highest number that came, or that a look at sysfs has covered."""
        return max(self._last, self._covered_to)

    @property
    def incomplete(self) -> bool:
        """True if events since the last look at sysfs are missing."""
        return bool(self._missing) or self._too_many

    def looked(self, before: int, after: int) -> None:
        """Note a look at sysfs, and the number of the last event before and after it."""
        self._covered_to, self._ambiguous_to = before, max(before, after)
        self._last = before
        self._missing.clear()
        self._too_many = False

    def note(self, seqnum: int) -> bool:
        """Note an event that came. Returns True if events before it are missing."""
        if seqnum <= self._covered_to:
            return False
        expected = self._last + 1 if self._last else seqnum
        if seqnum < expected:
            self._missing.discard(seqnum)
            return False
        self._last = seqnum
        if seqnum == expected:
            return False
        if seqnum - expected + len(self._missing) > _MAX_MISSING:
            self._too_many = True
        else:
            self._missing.update(range(expected, seqnum))
        return True

    def coverage(self, seqnum: int) -> Coverage:
        """Return how an event relates to the last look at sysfs."""
        if seqnum <= self._covered_to:
            return Coverage.COVERED
        return Coverage.AMBIGUOUS if seqnum <= self._ambiguous_to else Coverage.NEW
