"""One look at a file descriptor, without waiting."""

from __future__ import annotations

import select


def is_now(descriptor: int, events: int) -> bool:
    """Return whether one of the POLL bits `events`, an error or a hang-up holds now (poll(2))."""
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(0))
