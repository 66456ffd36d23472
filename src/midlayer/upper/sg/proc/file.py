"""One file: its text, what a write does, and one snapshot for each open."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from midlayer.upper.sg.parameters import Caller
from midlayer.upper.sg.proc.numbers import refusal

READ, READ_WRITE = 0o444, 0o644
"""Permission bits; the files belong to root."""

Show = Callable[[], Iterable[str]]
Write = Callable[[bytes, Caller], int]


class Entry(NamedTuple):
    """A file: its text, what a write does (None: EIO), and its permission bits."""

    show: Show
    write: Write | None = None
    mode: int = READ


class ProcFile:
    """An open file. Its text is that of the moment of opening, however often and slowly it is read."""

    def __init__(self, path: str, entry: Entry, caller: Caller, flags: int) -> None:
        self.path = path
        self._entry = entry
        self._caller = caller
        self._access = flags & os.O_ACCMODE
        self._text = b"" if self._access == os.O_WRONLY else "".join(entry.show()).encode()

    def read(self, size: int = -1, offset: int = 0) -> bytes:
        """Return the text, or a part of it.

        Raises:
            OSError: EBADF if it was opened for writing only.
        """
        if self._access == os.O_WRONLY:
            raise refusal(errno.EBADF, self.path)
        return self._text[offset:] if size < 0 else self._text[offset : offset + size]

    def write(self, data: bytes) -> int:
        """Obey what is written and return the number of bytes, all of them.

        Raises:
            OSError: EBADF if it was opened for reading only, EIO if it takes no writes, EACCES without
                the right, and what the file itself refuses.
        """
        if self._access == os.O_RDONLY:
            raise refusal(errno.EBADF, self.path)
        if self._entry.write is None:
            raise refusal(errno.EIO, self.path)
        return self._entry.write(data, self._caller)
