"""A CD or DVD drive: what is to be said of its disc to each initiator, and how fast it reads."""

from __future__ import annotations

import threading

from midlayer.mid.nexus import Nexus
from midlayer.standards.mmc import Profile

MOST_CD_BLOCKS = 449_850
"""Blocks of the longest CD, of nearly 100 minutes; what is longer is a DVD."""

FASTEST_KBYTES = 7056  # 40 times the speed of a CD with audio

NO_CHANGE, NEW_MEDIUM, MEDIUM_REMOVED = 0, 2, 3


class DiscDrive:
    """What a drive has besides its blocks. Safe in any thread.

    Attributes:
        speed_kbytes: What SET CD SPEED has set, in 1,000 bytes a second.
    """

    def __init__(self) -> None:
        self.speed_kbytes = FASTEST_KBYTES
        self._lock = threading.Lock()
        self._events: dict[Nexus, int] = {}

    def note(self, event: int, nexuses: list[Nexus]) -> None:
        """Keep a media event until each of the nexuses has asked for it; a later one takes its place."""
        with self._lock:
            self._events = dict.fromkeys(nexuses, event)

    def take(self, nexus: Nexus) -> int:
        """Return the media event that a nexus has not been told of, and forget it."""
        with self._lock:
            return self._events.pop(nexus, NO_CHANGE)

    def has_event(self, nexus: Nexus) -> bool:
        """Say whether there is a media event that a nexus has not been told of."""
        return nexus in self._events


def profile(blocks: int) -> Profile:
    """Return what kind of disc has so many blocks."""
    return Profile.CD_ROM if blocks <= MOST_CD_BLOCKS else Profile.DVD_ROM
