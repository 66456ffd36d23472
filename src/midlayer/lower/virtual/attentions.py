"""Unit attention conditions: what each initiator has not been told yet (SAM-5 5.14)."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from midlayer.mid.nexus import Nexus

MOST_PENDING = 32
"""Conditions that are kept for one nexus; the oldest goes when there are more."""


class Attention(NamedTuple):
    """Additional sense code and qualifier of a unit attention condition."""

    asc: int
    ascq: int


RESET = Attention(0x29, 0x00)
BUS_RESET = Attention(0x29, 0x02)
DEVICE_RESET = Attention(0x29, 0x03)
MODE_PARAMETERS_CHANGED = Attention(0x2A, 0x01)
RESERVATIONS_PREEMPTED = Attention(0x2A, 0x03)
RESERVATIONS_RELEASED = Attention(0x2A, 0x04)
REGISTRATIONS_PREEMPTED = Attention(0x2A, 0x05)
ASYMMETRIC_ACCESS_STATE_CHANGED = Attention(0x2A, 0x06)
CAPACITY_CHANGED = Attention(0x2A, 0x09)
MEDIUM_MAY_HAVE_CHANGED = Attention(0x28, 0x00)
INQUIRY_DATA_CHANGED = Attention(0x3F, 0x03)
REPORTED_LUNS_CHANGED = Attention(0x3F, 0x0E)
THIN_PROVISIONING_SOFT_THRESHOLD = Attention(0x38, 0x07)


class Attentions:
    """A queue of conditions for each nexus that a logical unit knows. Safe in any thread.

    Attributes:
        pending: True if some nexus has a condition to be told of.
    """

    __slots__ = ("_lock", "_queues", "pending")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Nexus, deque[Attention]] = {}
        self.pending = False

    def meet(self, nexus: Nexus) -> None:
        """Keep a queue for a nexus from now on; what came before is no news to it."""
        with self._lock:
            self._queues.setdefault(nexus, deque(maxlen=MOST_PENDING))

    def known(self) -> list[Nexus]:
        """Return the nexuses that have a queue."""
        with self._lock:
            return list(self._queues)

    def lose(self, nexus: Nexus) -> None:
        """Forget a nexus that is no more."""
        with self._lock:
            self._queues.pop(nexus, None)
            self._count()

    def establish(self, attention: Attention, *, spare: Nexus | None = None) -> None:
        """Establish a condition for every nexus but `spare`, once for each that has not been told."""
        with self._lock:
            for nexus, queue in self._queues.items():
                if nexus != spare and attention not in queue:
                    queue.append(attention)
            self._count()

    def establish_for(self, nexus: Nexus, attention: Attention) -> None:
        """Establish a condition for one nexus; one that is not known has nothing to be told."""
        with self._lock:
            queue = self._queues.get(nexus)
            if queue is not None and attention not in queue:
                queue.append(attention)
            self._count()

    def replace_all(self, attention: Attention) -> None:
        """Tell every nexus of a reset, and of nothing that was before it (SAM-5 5.14.1)."""
        with self._lock:
            for queue in self._queues.values():
                queue.clear()
                queue.append(attention)
            self._count()

    def take(self, nexus: Nexus) -> Attention | None:
        """Return the oldest condition of a nexus and clear it; None if there is none."""
        with self._lock:
            queue = self._queues.get(nexus)
            if not queue:
                return None
            attention = queue.popleft()
            self._count()
            return attention

    def clear(self, nexus: Nexus, attention: Attention) -> None:
        """Clear one condition that a nexus has learned of in another way."""
        with self._lock:
            queue = self._queues.get(nexus)
            if queue and attention in queue:
                queue.remove(attention)
            self._count()

    def _count(self) -> None:
        self.pending = any(self._queues.values())
