"""What a connection is to both roles: bytes in through a reader, bytes out as a list of buffers."""

from __future__ import annotations

from midlayer.iscsi import state
from midlayer.iscsi.codes import DIGEST_BYTES
from midlayer.iscsi.digest import crc32c
from midlayer.iscsi.login import LOGIN_DATA_BYTES
from midlayer.iscsi.negotiation import Parameters
from midlayer.iscsi.pdu import with_lengths
from midlayer.iscsi.reader import PduReader
from midlayer.iscsi.state import Event, State

Buffer = bytes | bytearray | memoryview

_PADDING = (b"", b"\0", b"\0\0", b"\0\0\0")


class Connection:
    """One connection of either role.

    Attributes:
        reader: Takes bytes from the socket: ``room()``, ``received(count)``, or ``feed(data)``.
        parameters: What was agreed on.
        state: Where the connection is.
        output: Buffers to send, in order; `take_output` hands them over.
        output_bytes: How many bytes they are, padding and digests included.
    """

    __slots__ = (
        "_data_digest",
        "_header_digest",
        "output",
        "output_bytes",
        "parameters",
        "reader",
        "state",
    )

    def __init__(self, parameters: Parameters) -> None:
        self.reader = PduReader(LOGIN_DATA_BYTES)
        self.parameters = parameters
        self.state = State.IN_LOGIN
        self.output: list[Buffer] = []
        self.output_bytes = 0
        self._header_digest = self._data_digest = False

    @property
    def closed(self) -> bool:
        """True once nothing more is to come, in either direction."""
        return self.state is State.CLOSED

    def take_output(self) -> list[Buffer]:
        """Return what is to be sent, and begin a new list."""
        output, self.output, self.output_bytes = self.output, [], 0
        return output

    def lost(self) -> None:
        """Take note that the other side is gone."""
        self._advance(Event.LOST)

    def _advance(self, event: Event) -> None:
        self.state = state.advance(self.state, event)

    def _begin_full_feature(self) -> None:
        """Go by what the login agreed on, from the next PDU on."""
        self._advance(Event.LOGIN_FINAL)
        parameters, reader = self.parameters, self.reader
        self._header_digest = reader.header_digest = parameters.choice("HeaderDigest") == "CRC32C"
        self._data_digest = reader.data_digest = parameters.choice("DataDigest") == "CRC32C"
        reader.max_data_bytes = parameters.number("MaxRecvDataSegmentLength")

    def _send(self, header: bytes, data: Buffer = b"") -> None:
        """Put one PDU out; the header's data length is filled in, padding and digests are added."""
        length = len(data)
        if length:
            header = with_lengths(header, length, 4 * header[4])
        self._send_ready(header, data, length)

    def _send_ready(self, header: bytes, data: Buffer, length: int) -> None:
        """The same for a header that has its lengths."""
        output = self.output
        output.append(header)
        self.output_bytes += len(header) + length
        if self._header_digest:
            output.append(crc32c(header))
            self.output_bytes += DIGEST_BYTES
        if not length:
            return
        output.append(data)
        padding = _PADDING[-length & 3]
        if padding:
            output.append(padding)
            self.output_bytes += len(padding)
        if self._data_digest:
            output.append(crc32c(data, padding))
            self.output_bytes += DIGEST_BYTES
