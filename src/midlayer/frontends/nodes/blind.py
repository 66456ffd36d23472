"""Programs that a preload library does not reach, told from their files: so that nobody wonders at them."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

_INTERPRETER = 3
"""Type of the program header that names the dynamic loader (``PT_INTERP``)."""

_MOST_SCRIPTS = 5
_CLASS = 2 if struct.calcsize("P") == 8 else 1


def why_blind(program: str) -> str | None:
    """Return why a program will not see the nodes; None if it will, or if nobody can tell.

    Args:
        program: As the user wrote it.
    """
    found = shutil.which(program)
    for _ in range(_MOST_SCRIPTS):
        if found is None:
            return None
        try:
            with Path(found).open("rb") as file:
                begin = file.read(4096)
            status = os.stat(found)
        except OSError:
            return None
        if not begin.startswith(b"#!"):
            return _of_executable(begin, status)
        words = begin[2:].split(b"\n", 1)[0].split()
        found = os.fsdecode(words[0]) if words else None
    return None


def _of_executable(begin: bytes, status: os.stat_result) -> str | None:
    for bit, number, ours, what in (
        (0o4000, status.st_uid, os.getuid(), "set-user-id"),
        (0o2000, status.st_gid, os.getgid(), "set-group-id"),
    ):
        if status.st_mode & bit and number != ours:
            return f"it runs {what}, and the loader ignores preload libraries for it"
    if len(begin) < 64 or not begin.startswith(b"\x7fELF"):
        return None
    if begin[4] != _CLASS:
        return "it has addresses of another size than the preload library"
    return None if _INTERPRETER in _program_headers(begin) else "it is linked statically"


def _program_headers(begin: bytes) -> list[int]:
    """Return the types of the program headers."""
    at, size, count = (
        (*struct.unpack_from("=Q", begin, 32), *struct.unpack_from("=HH", begin, 54))
        if _CLASS == 2
        else (*struct.unpack_from("=I", begin, 28), *struct.unpack_from("=HH", begin, 42))
    )
    places = [at + number * size for number in range(count)]
    return [struct.unpack_from("=I", begin, place)[0] for place in places if place + 4 <= len(begin)]
