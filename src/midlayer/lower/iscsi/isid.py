"""The initiator session identifier: with our name, the name of an initiator port (RFC 7143 11.12.5)."""

from __future__ import annotations

import os

_RANDOM = 0x80


def random_isid() -> bytes:
    """Return an ISID of the random kind: no two sessions of this process, nor of others, have the same."""
    return bytes((_RANDOM,)) + os.urandom(5)
