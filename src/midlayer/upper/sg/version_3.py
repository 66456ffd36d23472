"""``sg_io_hdr``: from a header to a request, and from its result back to a header."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from midlayer.upper.sg.command_filter import is_allowed
from midlayer.upper.sg.header import (
    ANSWER,
    DRIVER_SENSE,
    FLAG_DIRECT_IO,
    FLAG_MMAP_IO,
    INFO_CHECK,
    INFO_DIRECT_IO,
)
from midlayer.upper.sg.queue import MAX_CDB_BYTES
from midlayer.upper.sg.request import SENSE_BYTES, Request
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller

MAX_HEADER_CDB_BYTES = 252
_INTERFACE_ID = ord("S")
_ALL_IS_WELL = bytes(ANSWER.size)


def start(
    file: SgFile,
    data: bytes | bytearray | memoryview,
    memory: Memory,
    sg_io_owned: bool,
    filter_for: Caller | None = None,
) -> Request:
    """Make a request of a header, errors in the kernel's order (SG-20 to SG-32).

    Args:
        file: The descriptor.
        data: The header.
        memory: The caller's.
        sg_io_owned: It comes by SG_IO.
        filter_for: Who may not send just any command.

    Returns:
        The request, for `SgFile.send`.

    Raises:
        OSError: See the rules.
    """
    abi = file.abi
    if len(data) < abi.size:
        raise os_error(errno.EINVAL)
    file.cmd_q = True  # even if nothing comes of the request
    request = file.add("S", sg_io_owned)
    try:
        (
            interface_id, direction, cmd_len, request.mx_sb_len, iovec_count, request.dxfer_len, dxferp,
            cmdp, request.sbp, request.timeout_ms, flags, request.pack_id, request.usr_ptr,
        ) = abi.request.unpack_from(data)  # fmt: skip
        if interface_id != _INTERFACE_ID:
            raise os_error(errno.ENOSYS)
        request.flags, request.cmd_len = flags, cmd_len
        request.header = bytes(data) if len(data) == abi.size else bytes(data[: abi.size])
        if flags & FLAG_MMAP_IO:
            _check_mmap(file, request)
        if not cmdp or not 6 <= cmd_len <= MAX_HEADER_CDB_BYTES:
            raise os_error(errno.EMSGSIZE)
        cdb = request.cdb = memory.read(cmdp, cmd_len)
        if cmdp + cmd_len > abi.address_end:
            raise os_error(errno.EFAULT)
        request.opcode = cdb[0]
        if filter_for is not None:
            _check_filter(file, cdb, filter_for)
        if request.dxfer_len or cmd_len > MAX_CDB_BYTES:
            file.map_data(request, memory, direction, dxferp, iovec_count)
    except BaseException:
        file.refuse(request)
        raise
    return request


def result(request: Request, count: int, memory: Memory) -> bytes:
    """Return the header of a request that has ended; data and sense go to the caller's memory.

    Raises:
        OSError: EINVAL if the buffer is too short for it (SG-43), EFAULT.
    """
    abi = request.abi
    if count < abi.size:
        raise os_error(errno.EINVAL)
    answered = answer(request, memory)
    deliver(request, memory)
    given = request.header
    return given[: abi.answer_at] + answered + given[abi.answer_at + len(answered) :]


def _check_mmap(file: SgFile, request: Request) -> None:
    if request.dxfer_len > file.reserved_bytes:
        raise os_error(errno.ENOMEM)
    if request.flags & FLAG_DIRECT_IO:
        raise os_error(errno.EINVAL)
    if file.reserve_busy:
        raise os_error(errno.EBUSY)


def _check_filter(file: SgFile, cdb: bytes, caller: Caller) -> None:
    device_type = file.device.device.type
    if not is_allowed(cdb, caller, device_type=device_type, writable=file.may_write):
        raise os_error(errno.EPERM)


def answer(request: Request, memory: Memory) -> bytes:
    """Copy the sense data, and return the driver's members of the header (SG-46 to SG-48)."""
    status, host_status = request.status, request.host_byte
    info = INFO_DIRECT_IO if request.transfer is not None and request.transfer.kind == "dio" else 0
    if not (status or host_status or request.sense_data):
        if request.residual or request.duration_ms or info:
            return ANSWER.pack(0, 0, 0, 0, 0, 0, request.residual, request.duration_ms, info)
        return _ALL_IS_WELL
    sense_length = driver_status = 0
    if request.mx_sb_len and request.sbp and request.has_sense:
        sense = request.sense.ljust(SENSE_BYTES, b"\0")
        sense_length = min(8 + sense[7], request.mx_sb_len, SENSE_BYTES)
        driver_status = request.driver_status = DRIVER_SENSE
        memory.write(request.sbp, sense[:sense_length])
    if request.masked_status or host_status or driver_status:
        info |= INFO_CHECK
    return ANSWER.pack(
        status,
        request.masked_status,
        0,
        sense_length,
        host_status,
        driver_status,
        request.residual,
        request.duration_ms,
        info,
    )


def deliver(request: Request, memory: Memory) -> None:
    """Copy what the device sent to the caller; raises OSError EFAULT."""
    if request.transfer is not None:
        request.transfer.deliver(memory)
