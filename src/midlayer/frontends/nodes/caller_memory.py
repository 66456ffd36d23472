"""The memory of a program behind a channel, as the sg driver asks for it.

What the program sent along is known, and data goes through the window in shared memory; whatever else the
driver reads is fetched. What it writes goes with the answer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from struct import Struct

from midlayer.frontends.nodes.shared import SharedMemory
from midlayer.frontends.nodes.wire import INLINE, MOST_FETCH, PIECE

_INT = Struct("=i")
_piece = PIECE.pack
_RESIDUAL_AT = {64: 8, 108: 28}
"""Of `sg_io_hdr` and `sg_io_v4`: where the driver's members begin, and the residual among them."""

_MOST_INLINE = 1024
_MOST_INLINE_TOTAL = 32768


def efault() -> OSError:
    """Return the error for an address where nothing is."""
    return OSError(errno.EFAULT, os.strerror(errno.EFAULT))


class CallerMemory:
    """Memory of a program, for one request at a time.

    Args:
        shared: The channel's.
        fetch: Asks the program for up to `MOST_FETCH` bytes at an address.

    Attributes:
        window_back: Bytes of the window that the program has to copy to its own memory.
    """

    def __init__(self, shared: SharedMemory, fetch: Callable[[int, int], bytes]) -> None:
        self._shared = shared
        self._fetch = fetch
        self._header_at = self._cdb_at = self._window_at = 0
        self._header = self._cdb = b""
        self._window_length = 0
        self._filled = self._in_place = self._viewed = False
        self.window_back = 0
        self._next_offset = 0
        self._pieces: list[bytes] = []
        self._inline: list[bytes] = []
        self._inline_bytes = 0

    def begin(  # noqa: PLR0917 (keywords would cost every command)
        self,
        header_at: int,
        header: bytes,
        cdb_at: int,
        cdb: bytes,
        window_at: int,
        window_length: int,
        filled: bool,
        in_place: bool,
    ) -> None:
        """Take over what came with a request; `in_place` says that its call waits for the device."""
        self._header_at, self._header = header_at, header
        self._cdb_at, self._cdb = cdb_at, cdb
        self._window_at, self._window_length = window_at, window_length
        self._filled, self._in_place, self._viewed = filled, in_place, False
        self.window_back = 0
        if self._pieces:
            self._pieces, self._inline, self._inline_bytes = [], [], 0
        self._next_offset = (window_length + 63) & ~63

    def read(self, address: int, length: int) -> bytes:
        """Return a copy; raises OSError EFAULT."""
        if address == self._cdb_at and length <= len(self._cdb):
            return self._cdb if length == len(self._cdb) else self._cdb[:length]
        at = address - self._header_at
        if at >= 0 and at + length <= len(self._header):
            return self._header[at : at + length] if length != len(self._header) else self._header
        at = address - self._window_at
        if self._filled and at >= 0 and at + length <= self._window_length:
            return bytes(self._shared.view[at : at + length])
        return b"".join(
            self._fetch(address + done, min(MOST_FETCH, length - done))
            for done in range(0, length, MOST_FETCH)
        )

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        """Return the window, if the call waits for the device and `address` is the window's."""
        if not self._in_place or address != self._window_at or length > self._window_length:
            return None
        if writable:
            self._viewed = True
            self.window_back = length
        elif not self._filled:
            return None
        return self._shared.view[:length]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Note what the program is to put into its memory; a wild address shows then."""
        length = len(data)
        if not length:
            return
        if length > _MOST_INLINE or self._inline_bytes + length > _MOST_INLINE_TOTAL:
            self._write_shared(address, data, length)
            return
        if self._viewed:
            residual_at = _RESIDUAL_AT.get(address - self._header_at)
            if residual_at is not None and length > residual_at:
                residual = _INT.unpack_from(data, residual_at)[0]
                self.window_back = max(0, self.window_back - max(0, residual))
        self._pieces.append(_piece(address, length, INLINE))
        self._inline.append(bytes(data))
        self._inline_bytes += length

    def _write_shared(self, address: int, data: bytes | bytearray | memoryview, length: int) -> None:
        if address == self._window_at and length <= self._window_length:
            self._shared.view[:length] = data
            self.window_back = length
            return
        offset = self._next_offset
        self._shared.grow(offset + length)
        self._shared.view[offset : offset + length] = data
        self._pieces.append(_piece(address, length, offset))
        self._next_offset = (offset + length + 63) & ~63

    def answer(self) -> tuple[int, bytes]:
        """Return the number of pieces for the program, and their bytes in the form of a reply."""
        pieces = self._pieces
        if not pieces:
            return 0, b""
        if len(pieces) == 1 and self._inline:  # the header alone
            return 1, pieces[0] + self._inline[0]
        return len(pieces), b"".join(pieces + self._inline)
