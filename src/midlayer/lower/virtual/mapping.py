"""A file's own pages, lent to whoever sends them on, so that what is in memory already is not copied."""

from __future__ import annotations

import ctypes
import mmap

_PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


class Mapping:
    """A shared mapping of a file.

    Args:
        number: A descriptor for reading and writing, without which mincore(2) does not tell the truth.
        size_bytes: How much of the file.

    Raises:
        OSError, ValueError, OverflowError: It can not be mapped, for want of addresses, say.
    """

    __slots__ = ("_address", "_map", "_view")

    def __init__(self, number: int, size_bytes: int) -> None:
        self._map = mmap.mmap(number, size_bytes)
        self._view = memoryview(self._map).toreadonly()
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def lend(self, offset_bytes: int, length_bytes: int) -> memoryview | None:
        """Return a range, if all of it is in memory.

        None for all else: a page that would have to be read first may not be readable, and one that is not
        there, as in the holes of a file in tmpfs, would be made.
        """
        if offset_bytes + length_bytes > len(self._view):
            return None
        first = offset_bytes // _PAGE
        pages = -(-(offset_bytes + length_bytes) // _PAGE) - first
        # To look for pages that are not there takes long; often the first one tells.
        if not (self._there(first, 1) and self._there(first, pages)):
            return None
        return self._view[offset_bytes : offset_bytes + length_bytes]

    def _there(self, first: int, pages: int) -> bool:
        there = (ctypes.c_char * pages)()
        start = ctypes.c_void_p(self._address + first * _PAGE)
        return not _libc.mincore(start, ctypes.c_size_t(pages * _PAGE), there) and b"\0" not in there.raw
