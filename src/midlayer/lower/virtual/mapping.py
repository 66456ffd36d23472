"""A file's own pages, lent to whoever sends them on, so that what is in memory already is not copied."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from time import monotonic as real_monotonic

_PAGE = mmap.PAGESIZE
_CHUNK_PAGES = 64
_CHUNK_BYTES = _CHUNK_PAGES * _PAGE

LOOK_IS_GOOD_S = 1.0
"""How long pages are taken to be where they were seen. One that has gone since is read again when it is sent;
only an error of the file has no good answer then: the connection ends, and the initiator asks again."""

ASKED_BEFORE_A_LOOK = 4
"""How often a chunk is asked for before a look at it is worth more than the copies of short reads."""

_LONG_BYTES = 65536
_NOT_LOOKED = bytes(_CHUNK_PAGES)

_Vector = ctypes.c_char * _CHUNK_PAGES
_mincore = ctypes.CDLL(None, use_errno=True).mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, _Vector)


class Mapping:
    """A shared mapping of a file.

    Args:
        number: A descriptor for reading and writing, without which mincore(2) does not tell the truth.
        size_bytes: How much of the file.
        monotonic: The time. That of the machine, whose pages these are, but for tests.

    Raises:
        OSError, ValueError, OverflowError: It can not be mapped, for want of addresses, say.
    """

    __slots__ = ("_address", "_asked", "_good_until_s", "_map", "_monotonic", "_seen", "_view")

    def __init__(self, number: int, size_bytes: int, monotonic: Callable[[], float] = real_monotonic) -> None:
        self._map = mmap.mmap(number, size_bytes)
        self._view = memoryview(self._map).toreadonly()
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._monotonic = monotonic
        self._good_until_s = 0.0
        self._seen: dict[int, bytes] = {}
        self._asked: dict[int, int] = {}

    def lend(self, offset_bytes: int, length_bytes: int) -> memoryview | None:
        """Return a range of at least one byte, if all of it is in memory.

        None for all else: a page that would have to be read first may not be readable, and one that is not
        there, as in the holes of a file in tmpfs, would be made.
        """
        now_s = self._monotonic()
        if now_s >= self._good_until_s:
            self.forget()
            self._good_until_s = now_s + LOOK_IS_GOOD_S
        end_bytes = offset_bytes + length_bytes
        if end_bytes > len(self._view):
            return None
        at = offset_bytes
        while at < end_bytes:  # nearly always once
            chunk = at // _CHUNK_BYTES
            start = chunk * _CHUNK_BYTES
            there = self._seen.get(chunk) or self._look(chunk, length_bytes)
            if there.find(0, (at - start) // _PAGE, (end_bytes - 1 - start) // _PAGE + 1) >= 0:
                return None
            at = start + _CHUNK_BYTES
        return self._view[offset_bytes:end_bytes]

    def forget(self) -> None:
        """Look again before anything is lent: pages have gone, or may have."""
        self._seen, self._asked = {}, {}

    def _look(self, chunk: int, length_bytes: int) -> bytes:
        """Return a byte for each page of a chunk, not 0 if the page is in memory."""
        seen, asked = self._seen, self._asked
        if length_bytes < _LONG_BYTES:
            count = asked[chunk] = asked.get(chunk, 0) + 1
            if count < ASKED_BEFORE_A_LOOK:
                return _NOT_LOOKED
        there = _Vector()
        start = chunk * _CHUNK_BYTES
        if _mincore(self._address + start, min(_CHUNK_BYTES, len(self._view) - start), there):
            return _NOT_LOOKED
        found = seen[chunk] = there.raw
        return found
