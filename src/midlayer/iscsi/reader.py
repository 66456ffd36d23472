"""Cutting the bytes of a connection into PDUs, without copying data that has a place to go.

Whoever reads the socket asks for `room`, fills some of it, says so with `received`, and takes PDUs with
`next` until it is None::

    reader.received(socket.recv_into(reader.room()))
    while (pdu := reader.next()) is not None:
        ...

Data that has come whole is a view of the reader's own memory, good until the next call of `room`; who
wants to keep it calls `keep`. Data that comes in pieces is received where `place` says.
"""

from __future__ import annotations

from collections.abc import Callable

from midlayer.iscsi import digest
from midlayer.iscsi.codes import HEADER_BYTES, RejectReason
from midlayer.iscsi.errors import DigestError, ProtocolError

Data = memoryview | bytes
Pdu = tuple[bytes, bytes, Data]
"""Basic header segment, additional header segments, data segment without its padding."""

SIZE_BYTES = 1 << 18
_PLACE_ABOVE = 4096
_LONG = 1 << 16
_NOTHING: tuple[bytes, bytes] = (b"", b"")


def no_place(header: bytes, length: int) -> memoryview | None:
    """Have the reader keep the data itself."""
    return None


class PduReader:
    """Bytes in, PDUs out.

    Args:
        max_data_bytes: Longest data segment that is taken (our MaxRecvDataSegmentLength).
        size_bytes: Size of the memory that it receives into.

    Attributes:
        header_digest, data_digest: True once they were negotiated.
        place: Called with a header and the length of its data when the data is not all there; returns
            where it goes, or None.
    """

    __slots__ = (
        "_after_long",
        "_buffer",
        "_end",
        "_filled",
        "_part",
        "_placed",
        "_size",
        "_start",
        "_view",
        "data_digest",
        "header_digest",
        "max_data_bytes",
        "place",
    )

    def __init__(self, max_data_bytes: int, size_bytes: int = SIZE_BYTES) -> None:
        self.max_data_bytes = max_data_bytes
        self.header_digest = self.data_digest = False
        self.place: Callable[[bytes, int], memoryview | None] = no_place
        self._size = size_bytes
        self._buffer = bytearray(size_bytes)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._placed: memoryview | None = None
        self._filled = 0
        self._after_long = False
        self._part = _NOTHING

    def room(self) -> memoryview:
        """Return where the next bytes go; never empty. Views of earlier data are not good any more."""
        placed = self._placed
        if placed is not None and self._filled < len(placed):
            return placed[self._filled :]
        start, end = self._start, self._end
        if start == end:
            self._start = self._end = 0
            if self._after_long:  # the next may be as long: take its header alone, and copy none of its data
                self._after_long = False
                return self._view[:HEADER_BYTES]
        elif start and end > self._size // 2:
            rest = end - start
            self._view[:rest] = self._view[start:end]
            self._start, self._end = 0, rest
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """Take note that `count` bytes of `room` were filled."""
        placed = self._placed
        if placed is not None and self._filled < len(placed):
            self._filled += count
        else:
            self._end += count

    def feed(self, data: bytes | bytearray | memoryview) -> int:
        """Copy bytes in, as far as there is room; returns how many were taken."""
        room = self.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        self.received(count)
        return count

    def keep(self) -> None:
        """Leave what views there are to their users, and go on in other memory."""
        start, end = self._start, self._end
        rest = self._view[start:end]
        self._buffer = bytearray(self._size)
        self._view = memoryview(self._buffer)
        self._view[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def ahead(self) -> tuple[memoryview, int, int] | None:
        """Return the memory, and where what is there and was not taken begins and ends in it.

        None unless it begins with a header, and no digests are among it. For whoever cuts plain PDUs out by
        himself and says with `skip` how far he came.
        """
        if self._placed is not None or self.header_digest or self.data_digest:
            return None
        return self._view, self._start, self._end

    def skip(self, to: int) -> None:
        """Take what is ahead of a place as taken."""
        self._start = to

    def next(self) -> Pdu | None:
        """Return the next PDU that has come whole; None if there is none yet.

        Raises:
            ProtocolError: A data segment is longer than what was agreed on.
            DigestError: A digest is wrong; for the header, nothing more can be read then.
        """
        if self._placed is not None:
            return self._placed_pdu()
        start = self._start
        there = self._end - start
        if there < HEADER_BYTES:
            return None
        header_end = start + HEADER_BYTES
        header = bytes(self._view[start:header_end])
        if self.header_digest or self.data_digest:
            return self._longer_pdu(header, start, there)
        length = int.from_bytes(header[4:8], "big")
        if not length:
            self._start = header_end
            return header, b"", b""
        # Longer headers than usual are longer PDUs here as well: byte 4 is above the length of the data.
        if length > self.max_data_bytes or there < HEADER_BYTES + length + (-length & 3):
            return self._longer_pdu(header, start, there)
        end = header_end + length
        self._start = end + (-length & 3)
        return header, b"", self._view[header_end:end]

    def _longer_pdu(self, header: bytes, start: int, there: int) -> Pdu | None:
        """Read a PDU that is more than a header of 48 bytes."""
        view = self._view
        ahs_end = HEADER_BYTES + 4 * header[4]
        length = header[5] << 16 | header[6] << 8 | header[7]
        if length > self.max_data_bytes:
            raise ProtocolError(
                f"a data segment of {length} bytes; at most {self.max_data_bytes} were agreed"
            )
        body = ahs_end + 4 if self.header_digest else ahs_end
        if there < body:
            return None
        if self.header_digest and view[start + ahs_end : start + body] != digest.crc32c(
            view[start : start + ahs_end]
        ):
            raise DigestError("the header digest is wrong")
        ahs = bytes(view[start + HEADER_BYTES : start + ahs_end])
        data_start = start + body
        total = body + length + self._tail_bytes(length)
        if there >= total:
            self._start = start + total
            data = view[data_start : data_start + length]
            self._check(data, view[data_start + length : start + total])
            return header, ahs, data
        if length >= _PLACE_ABOVE:
            self._begin_placed(header, ahs, data_start, length)
            return self._placed_pdu()
        return None

    def _tail_bytes(self, length: int) -> int:
        """Return how many bytes of padding and digest follow a data segment."""
        if not length:
            return 0
        return -length % 4 + (4 if self.data_digest else 0)

    def _begin_placed(self, header: bytes, ahs: bytes, data_start: int, length: int) -> None:
        placed = self.place(header, length)
        if placed is None:
            placed = memoryview(bytearray(length))
        here = min(self._end - data_start, length)
        placed[:here] = self._view[data_start : data_start + here]
        self._placed, self._filled, self._part = placed, here, (header, ahs)
        self._start = data_start + here

    def _placed_pdu(self) -> Pdu | None:
        """Return the PDU whose data was received in its place, once it is whole."""
        placed = self._placed
        assert placed is not None
        tail = self._tail_bytes(len(placed))
        if self._filled < len(placed) or self._end - self._start < tail:
            return None
        start = self._start
        self._start, self._placed = start + tail, None
        self._after_long = len(placed) >= _LONG
        self._check(placed, self._view[start : start + tail])
        return *self._part, placed

    def _check(self, data: memoryview, tail: memoryview) -> None:
        if self.data_digest and len(data) and tail[-4:] != digest.crc32c(data, tail[:-4]):
            raise DigestError("the data digest is wrong", RejectReason.DATA_DIGEST_ERROR)
