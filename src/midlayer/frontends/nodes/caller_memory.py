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
from midlayer.frontends.nodes.wire import (
    INLINE,
    MOST_FETCH,
    MOST_PIECES,
    PIECE,
    REPLY,
    REPLY_WITH_PIECE,
    REQUEST,
    Operation,
    RequestFlag,
)
from midlayer.upper.sg.header import LP64

_INT = Struct("=i")
_piece, _reply, _reply_with_piece = PIECE.pack, REPLY.pack, REPLY_WITH_PIECE.pack
_unpack_request = REQUEST.unpack_from
_REQUEST_BYTES, _SG_HEADER_BYTES = REQUEST.size, LP64.size
# By bytes of the CDB: what comes along with SG_IO, taken apart in one go.
_SG_IO_BODIES = [Struct(f"={_SG_HEADER_BYTES}s{length}s").unpack_from for length in range(253)]
# Plain numbers: arithmetic on enum members would cost every command.
_WAITS, _FILLED = int(Operation.IOCTL), int(RequestFlag.WINDOW_FILLED)
_RESIDUAL_AT = {64: 8, 108: 28}
"""Of `sg_io_hdr` and `sg_io_v4`: where the driver's members begin, and the residual among them."""

LAST_ADDRESS = (1 << 63) - 1
"""No program has memory above it."""

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
        self._flags = self._operation = 0
        self._viewed = False
        self.window_back = 0
        self._next_offset = 0
        self._pieces: list[tuple[int, int, int]] = []
        self._inline: list[bytes | bytearray | memoryview] = []
        self._inline_bytes = 0

    def begin(self, message: memoryview) -> tuple[int, int, int, int, int]:
        """Take over what came with a request.

        Args:
            message: The request, and the program's bytes that came along. It may be used again afterwards.

        Returns:
            Operation, file, request, argument and flags of it.

        Raises:
            OSError: EFAULT, if it counts on more shared memory than there is.
        """
        (
            operation, number, request, argument, flags, window_length, self._window_at,
            header_length, cdb_length, self._cdb_at,
        ) = _unpack_request(message)  # fmt: skip
        if self._pieces:
            self._pieces, self._inline, self._inline_bytes = [], [], 0
        self.window_back = self._next_offset = 0
        self._viewed = False
        if header_length == _SG_HEADER_BYTES and cdb_length < len(_SG_IO_BODIES):
            self._header, self._cdb = _SG_IO_BODIES[cdb_length](message, _REQUEST_BYTES)
        else:
            end = _REQUEST_BYTES + header_length
            self._header = message[_REQUEST_BYTES:end].tobytes()
            self._cdb = message[end : end + cdb_length].tobytes()
        self._header_at, self._flags, self._operation = argument, flags, operation
        self._window_length = window_length
        if window_length > self._shared.length:
            self._window_length = 0
            raise efault()
        return operation, number, request, argument, flags

    def read(self, address: int, length: int) -> bytes:
        """Return a copy; raises OSError EFAULT."""
        if address == self._header_at and length == len(self._header):
            return self._header
        if address == self._cdb_at and length <= len(self._cdb):
            return self._cdb if length == len(self._cdb) else self._cdb[:length]
        at = address - self._header_at
        if at >= 0 and at + length <= len(self._header):
            return self._header[at : at + length]
        at = address - self._window_at
        if self._flags & _FILLED and at >= 0 and at + length <= self._window_length:
            return bytes(self._shared.view[at : at + length])
        return b"".join(
            self._fetch(address + done, min(MOST_FETCH, length - done))
            for done in range(0, length, MOST_FETCH)
        )

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        """Return the window, if the call waits for the device and `address` is the window's."""
        if self._operation != _WAITS or address != self._window_at or length > self._window_length:
            return None
        if writable:
            self._viewed = True
            self.window_back = length
        elif not self._flags & _FILLED:
            return None
        return self._shared.view[:length]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Note what the program is to put into its memory; a wild address shows then."""
        length = len(data)
        if not length:
            return
        if address > LAST_ADDRESS:
            raise efault()
        if length > _MOST_INLINE or self._inline_bytes + length > _MOST_INLINE_TOTAL:
            self._write_shared(address, data, length)
            return
        if self._viewed:
            residual_at = _RESIDUAL_AT.get(address - self._header_at)
            if residual_at is not None and length > residual_at:
                residual = _INT.unpack_from(data, residual_at)[0]
                self.window_back = max(0, self.window_back - max(0, residual))
        self._pieces.append((address, length, INLINE))
        self._inline.append(data if type(data) is bytes else bytes(data))
        self._inline_bytes += length

    def _write_shared(self, address: int, data: bytes | bytearray | memoryview, length: int) -> None:
        if address == self._window_at and length <= self._window_length:
            self._shared.view[:length] = data
            self.window_back = length
            return
        offset = self._next_offset or (self._window_length + 63) & ~63
        self._shared.grow(offset + length)
        self._shared.view[offset : offset + length] = data
        self._pieces.append((address, length, offset))
        self._next_offset = (offset + length + 63) & ~63

    def answer(self) -> tuple[int, bytes]:
        """Return the number of pieces for the program, and their bytes in the form of a reply."""
        pieces = self._pieces
        if not pieces:
            return 0, b""
        return len(pieces), b"".join([*(_piece(*piece) for piece in pieces), *self._inline])

    def reply(self, error: int, result: int, flags: int) -> bytes:
        """Return the whole reply to the request."""
        pieces = self._pieces
        back = 0 if error else self.window_back
        if len(pieces) == 1 and self._inline:
            address, length, place = pieces[0]
            fixed = _reply_with_piece(
                0, error, result, 1, back, flags, self._shared.length, address, length, place
            )
            return fixed + self._inline[0]
        count, raw = self.answer()
        if count > MOST_PIECES:
            return _reply(0, errno.ENOMEM, result, 0, 0, flags, self._shared.length)
        return _reply(0, error, result, count, back, flags, self._shared.length) + raw
