"""Portals as people write them: an address, a port, and for some a group."""

from __future__ import annotations

import re
from typing import NamedTuple

DEFAULT_PORT = 3260
MAX_PORTAL_GROUP = 0xFFFF

_PORTAL = re.compile(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^:,\[\]\s]+))(?::(\d{1,5}))?(?:,(\d{1,5}))?", re.ASCII)


class WrittenPortal(NamedTuple):
    """A portal.

    Attributes:
        host: Address or host name, as it was written; an IPv6 address without its brackets.
        port: 3260 if none was given.
        group: Target portal group tag, if one was given.
    """

    host: str
    port: int
    group: int | None


def read_portal(text: object) -> WrittenPortal | None:
    """Read ``192.0.2.1:3260``, ``[2001:db8::1]:3260,2``, or a host name alone; None if it is none."""
    match = _PORTAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    group = int(match[4]) if match[4] else None
    portal = WrittenPortal(match[1] or match[2], int(match[3]) if match[3] else DEFAULT_PORT, group)
    sound = portal.port <= 65535 and (group is None or 1 <= group <= MAX_PORTAL_GROUP)
    return portal if sound else None
