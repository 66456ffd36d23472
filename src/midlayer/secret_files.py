"""CHAP secrets and tokens, each in a file that only its owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from midlayer.errors import UsageError

SHORTEST_BYTES = 12
"""Secrets of less than 96 bits can be found by trying (RFC 7143 9.2.1)."""

LONGEST_BYTES = 255


def read_secret(path: Path, *, shortest: int = SHORTEST_BYTES) -> bytes:
    """Return what is in a secret file, without the newline at its end.

    Args:
        path: The file.
        shortest: Fewest bytes of a secret; less than `SHORTEST_BYTES` for one that somebody else has chosen.

    Raises:
        UsageError: If it can not be read, if others may read it, or if the secret is too short or too long.
            The message never has any of it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UsageError(f"{path}: others may read it (mode {mode:04o}); run: chmod 600 {path}")
            secret = file.read(LONGEST_BYTES + 3).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if not shortest <= len(secret) <= LONGEST_BYTES:
        raise UsageError(f"{path}: a secret has {shortest} to {LONGEST_BYTES} bytes")
    return secret
