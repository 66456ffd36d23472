"""``sg_io_v4`` by SG_IO: what a bsg node takes, and an sg node if the parameter says so."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from midlayer.upper.sg.command_filter import is_allowed
from midlayer.upper.sg.header import (
    DRIVER_SENSE,
    DXFER_FROM_DEV,
    DXFER_NONE,
    DXFER_TO_DEV,
    INFO_CHECK,
    V4_ANSWER,
    V4_ANSWER_AT,
    V4_BYTES,
    V4_REQUEST,
    SgIoV4,
)
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller
    from midlayer.upper.sg.request import Request

GUARD = ord("Q")
MAX_CDB_BYTES = 32
DEFAULT_TIMEOUT_MS, LEAST_TIMEOUT_MS = 60_000, 7_000


def is_version_4(address: int, memory: Memory) -> bool:
    """Say whether the header at an address is one of version 4; False for what can not be read."""
    try:
        return memory.read(address, 4) == GUARD.to_bytes(4, "little")
    except OSError:
        return False


def sg_io(file: SgFile, address: int, memory: Memory, caller: Caller) -> int:
    """Carry out SG_IO with a version 4 header.

    Raises:
        OSError: EFAULT, EINVAL, EOPNOTSUPP for data both ways, EPERM, EINTR.
    """
    header = SgIoV4._make(V4_REQUEST.unpack_from(memory.read(address, V4_BYTES)))
    if header.guard != GUARD or header.protocol or header.subprotocol:
        raise os_error(errno.EINVAL)
    if header.dout_xfer_len and header.din_xfer_len:
        raise os_error(errno.EOPNOTSUPP)
    if header.request_len > MAX_CDB_BYTES:
        raise os_error(errno.EINVAL)
    cdb = memory.read(header.request, header.request_len) if header.request_len else b""
    if not is_allowed(cdb, caller, writable=file.may_write):
        raise os_error(errno.EPERM)
    if not cdb:
        raise os_error(errno.EINVAL)
    request = _submit(file, header, cdb, memory)
    forgotten = file.wait(request)
    try:
        memory.write(address + V4_ANSWER_AT, _answer(request, header, memory))
        if request.transfer is not None:
            request.transfer.deliver(memory)
    finally:
        if not forgotten:
            file.finish(request)
    return 0


def _submit(file: SgFile, header: SgIoV4, cdb: bytes, memory: Memory) -> Request:
    file.cmd_q = True
    request = file.add("Q", True)
    try:
        to_device = header.dout_xfer_len > 0
        request.dxfer_len = header.dout_xfer_len or header.din_xfer_len
        request.cdb, request.usr_ptr = cdb, header.usr_ptr
        request.cmd_len, request.opcode = len(cdb), cdb[0]
        request.timeout_ms = max(header.timeout or DEFAULT_TIMEOUT_MS, LEAST_TIMEOUT_MS)
        direction = DXFER_TO_DEV if to_device else DXFER_FROM_DEV if request.dxfer_len else DXFER_NONE
        address = header.dout_xferp if to_device else header.din_xferp
        if request.dxfer_len and not address:  # unlike version 3, where NULL leaves the data in the buffer
            raise os_error(errno.EFAULT)
        pieces = header.dout_iovec_count if to_device else header.din_iovec_count
        file.map_data(request, memory, direction, address, pieces)
    except BaseException:
        file.refuse(request)
        raise
    file.send(request)
    return request


def _answer(request: Request, header: SgIoV4, memory: Memory) -> bytes:
    length = 0
    if request.sense and header.response:
        length = min(header.max_response_len, len(request.sense))
        memory.write(header.response, request.sense[:length])
    driver_status = DRIVER_SENSE if request.masked_status & 1 else 0
    info = INFO_CHECK if request.status or request.host_byte or driver_status else 0
    to_device = header.dout_xfer_len > 0
    return V4_ANSWER.pack(
        driver_status,
        request.host_byte,
        request.status,
        0,
        info,
        request.duration_ms,
        length,
        0 if to_device else request.residual,
        request.residual if to_device else 0,
        0,
    )
