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
    SgIoHdr,
)
from midlayer.upper.sg.request import SENSE_BYTES, Request
from midlayer.upper.sg.transfer import check_range, os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller

MAX_HEADER_CDB_BYTES = 252
_INTERFACE_ID = ord("S")


def start(
    file: SgFile,
    data: bytes | bytearray | memoryview,
    memory: Memory,
    *,
    sg_io_owned: bool,
    filter_for: Caller | None = None,
) -> tuple[Request, bytes]:
    """Make a request of a header, errors in the kernel's order (SG-20 to SG-32).

    Args:
        file: The descriptor.
        data: The header.
        memory: The caller's.
        sg_io_owned: It comes by SG_IO.
        filter_for: Who may not send just any command.

    Returns:
        The request and its CDB, for `SgFile.send`.

    Raises:
        OSError: See the rules.
    """
    if len(data) < file.abi.size:
        raise os_error(errno.EINVAL)
    file.cmd_q = True  # even if nothing comes of the request
    request = file.add("S", sg_io_owned=sg_io_owned)
    with file.refusing(request):
        header = SgIoHdr._make(file.abi.request.unpack_from(data))
        if header.interface_id != _INTERFACE_ID:
            raise os_error(errno.ENOSYS)
        _take_header(request, header, bytes(data[: file.abi.size]))
        if header.flags & FLAG_MMAP_IO:
            _check_mmap(file, header)
        cdb = _read_cdb(header, memory)
        check_range(file.abi, header.cmdp, header.cmd_len)
        request.opcode = cdb[0]
        writable, device_type = file.may_write, file.device.device.type
        if filter_for is not None and not is_allowed(
            cdb, filter_for, device_type=device_type, writable=writable
        ):
            raise os_error(errno.EPERM)
        file.map_data(
            request,
            memory,
            direction=header.dxfer_direction,
            address=header.dxferp,
            iovec_count=header.iovec_count,
        )
    return request, cdb


def sg_io(file: SgFile, address: int, memory: Memory, caller: Caller) -> int:
    """Carry out SG_IO with a version 3 header.

    Raises:
        OSError: As `start`; EFAULT; EINTR.
    """
    try:
        data = memory.read(address, file.abi.size)
    except OSError:
        file.cmd_q = True
        with file.refusing(file.add("S", sg_io_owned=True)):  # a full queue is said before a wild pointer
            raise
    full_access = file.may_read and file.may_write
    request = start(file, data, memory, sg_io_owned=True, filter_for=None if full_access else caller)
    file.send(request)
    made = request[0]
    file.wait(made)
    try:
        answer = _answer(made, memory)
        memory.write(address + file.abi.answer_at, answer)
        _deliver(made, memory)
    finally:
        file.finish(made)
    return 0


def result(request: Request, count: int, memory: Memory) -> bytes:
    """Return the header of a request that has ended; data and sense go to the caller's memory.

    Raises:
        OSError: EINVAL if the buffer is too short for it (SG-43), EFAULT.
    """
    abi = request.abi
    if count < abi.size:
        raise os_error(errno.EINVAL)
    answer = _answer(request, memory)
    _deliver(request, memory)
    given = request.header
    return given[: abi.answer_at] + answer + given[abi.answer_at + len(answer) :]


def _take_header(request: Request, header: SgIoHdr, raw: bytes) -> None:
    request.header = raw
    request.pack_id, request.usr_ptr = header.pack_id, header.usr_ptr
    request.flags, request.dxfer_len = header.flags, header.dxfer_len
    request.mx_sb_len, request.sbp = header.mx_sb_len, header.sbp
    request.cmd_len = header.cmd_len
    request.timeout_ms = header.timeout


def _check_mmap(file: SgFile, header: SgIoHdr) -> None:
    if header.dxfer_len > file.reserved_bytes:
        raise os_error(errno.ENOMEM)
    if header.flags & FLAG_DIRECT_IO:
        raise os_error(errno.EINVAL)
    if file.reserve_busy:
        raise os_error(errno.EBUSY)


def _read_cdb(header: SgIoHdr, memory: Memory) -> bytes:
    if not header.cmdp or not 6 <= header.cmd_len <= MAX_HEADER_CDB_BYTES:
        raise os_error(errno.EMSGSIZE)
    return memory.read(header.cmdp, header.cmd_len)


def _answer(request: Request, memory: Memory) -> bytes:
    """Copy the sense data, and return the driver's members of the header (SG-46 to SG-48)."""
    sense_length = driver_status = 0
    if request.mx_sb_len and request.sbp and request.has_sense:
        sense = request.sense.ljust(SENSE_BYTES, b"\0")
        sense_length = min(8 + sense[7], request.mx_sb_len, SENSE_BYTES)
        driver_status = request.driver_status = DRIVER_SENSE
        memory.write(request.sbp, sense[:sense_length])
    info = INFO_DIRECT_IO if request.transfer is not None and request.transfer.kind == "dio" else 0
    if request.masked_status or request.host_status or driver_status:
        info |= INFO_CHECK
    return ANSWER.pack(
        request.status,
        request.masked_status,
        0,
        sense_length,
        request.host_status,
        driver_status,
        request.resid,
        request.duration_ms,
        info,
    )


def _deliver(request: Request, memory: Memory) -> None:
    if request.transfer is not None:
        request.transfer.deliver(memory)
