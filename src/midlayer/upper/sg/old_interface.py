"""``sg_header``: the interface of before ``sg_io_hdr``, for write() and read() only.

The header is followed by the CDB and by the data for the device; read() gives a header followed by the
data of the device.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from midlayer.mid.command import HostByte
from midlayer.standards.opcodes import cdb_length
from midlayer.upper.sg.header import (
    DRIVER_SENSE,
    DXFER_FROM_DEV,
    DXFER_NONE,
    DXFER_TO_DEV,
    DXFER_TO_FROM_DEV,
    OLD_HEADER,
    OLD_HEADER_BYTES,
    OLD_SENSE_BYTES,
    OldHeader,
    old_bits,
)
from midlayer.upper.sg.request import Request
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile

_SHORTEST_CDB_BYTES = 6
_VENDOR_OPCODES = 0xC0
_GROUP_3_BYTES = 12
"""The kernel's COMMAND_SIZE for group 3, whose codes have no length of their own."""

RESULTS: dict[int, int] = {
    HostByte.DID_OK: 0,
    HostByte.DID_PASSTHROUGH: 0,
    HostByte.DID_SOFT_ERROR: 0,
    HostByte.DID_NO_CONNECT: errno.EBUSY,
    HostByte.DID_BUS_BUSY: errno.EBUSY,
    HostByte.DID_TIME_OUT: errno.EBUSY,
}
"""``result`` by host byte (SG-45); EIO for every other, and see `_result` for DID_ERROR."""


def start(file: SgFile, data: bytes | bytearray | memoryview) -> Request:
    """Make a request of what was written (SG-15 to SG-19).

    Returns:
        The request, for `SgFile.send`.

    Raises:
        OSError: EIO, EDOM, and what `SgFile.map_data` raises.
    """
    if len(data) < OLD_HEADER_BYTES + _SHORTEST_CDB_BYTES:
        raise os_error(errno.EIO)
    header = OldHeader._make(OLD_HEADER.unpack_from(data))
    request = file.add("", False)
    try:
        size = _cdb_size(file, header, data[OLD_HEADER_BYTES])
        count_out = len(data) - size - OLD_HEADER_BYTES
        if count_out < 0:
            raise os_error(errno.EIO)
        request.cdb = bytes(data[OLD_HEADER_BYTES : OLD_HEADER_BYTES + size])
        request.opcode, request.cmd_len = request.cdb[0], size
        request.pack_id, request.reply_len = header.pack_id, header.reply_len
        request.dxfer_len = max(0, count_out, header.reply_len - OLD_HEADER_BYTES)
        request.timeout_ms = file.timeout_ms
        payload = memoryview(data)[OLD_HEADER_BYTES + size :]
        direction = _direction(header, count_out, request.dxfer_len)
        file.map_data(request, _Written(payload), direction, _PAYLOAD_AT if count_out else 0, 0)
        if request.transfer is not None:
            request.transfer.segments = ()  # what comes from the device is for read()
    except BaseException:
        file.refuse(request)
        raise
    return request


def result(request: Request, count: int) -> tuple[bytes, int]:
    """Return what read() puts into the buffer, and what it returns (SG-44, SG-45).

    Raises:
        OSError: EIO, if the buffer has no room for a header and the command failed.
    """
    outcome = _result(request)
    if count < OLD_HEADER_BYTES:
        if outcome:
            raise os_error(errno.EIO)
        return b"", 0
    header = _header(request, outcome)
    returned = min(count, request.reply_len)
    if returned <= OLD_HEADER_BYTES:
        return header, returned
    source = request.transfer.source if request.transfer is not None else None
    data = bytes(source[: returned - OLD_HEADER_BYTES]) if source is not None else b""
    return header + data, returned


def _cdb_size(file: SgFile, header: OldHeader, opcode: int) -> int:
    with file.lock:
        size, file.next_cmd_len = file.next_cmd_len, 0
    if size:
        return size
    if opcode >= _VENDOR_OPCODES and header.twelve_byte:
        return 12
    return cdb_length(opcode) or _GROUP_3_BYTES


def _direction(header: OldHeader, count_out: int, length: int) -> int:
    if count_out:
        return DXFER_TO_FROM_DEV if header.reply_len > OLD_HEADER_BYTES else DXFER_TO_DEV
    return DXFER_FROM_DEV if length else DXFER_NONE


def _result(request: Request) -> int:
    if request.host_byte == HostByte.DID_ERROR:
        no_sense = not request.sense or request.sense[0] == 0
        return 0 if no_sense and not request.masked_status else errno.EIO
    return RESULTS.get(request.host_byte, errno.EIO)


def _header(request: Request, outcome: int) -> bytes:
    has_sense = request.has_sense
    bits = old_bits(
        twelve_byte=request.opcode >= _VENDOR_OPCODES and request.cmd_len == 12,
        target_status=request.masked_status,
        host_status=request.host_byte,
        driver_status=DRIVER_SENSE if has_sense else 0,
    )
    sense = request.sense[:OLD_SENSE_BYTES] if has_sense else b""
    fixed = OLD_HEADER.pack(request.reply_len, request.reply_len, request.pack_id, outcome, bits)
    return fixed + sense.ljust(OLD_SENSE_BYTES, b"\0")


_PAYLOAD_AT = 0x1000
"""Where `_Written` has its first byte; any address but 0, which stands for no memory."""


class _Written:
    """What was written, as the memory that the data of the request comes from."""

    def __init__(self, payload: memoryview) -> None:
        self._payload = payload

    def read(self, address: int, length: int) -> bytes:
        at = address - _PAYLOAD_AT
        return bytes(self._payload[at : at + length]).ljust(length, b"\0")

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        raise os_error(errno.EFAULT)

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        return None
