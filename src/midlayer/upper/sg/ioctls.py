"""The ioctls of an sg node: request number → handler.

A handler gets a `Call` and returns what ioctl(2) returns, or raises OSError. A number that is in no table
goes the way of `unknown`.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from midlayer.upper.sg import scsi_ioctls, version_4
from midlayer.upper.sg.header import REQ_INFO, SCSI_ID
from midlayer.upper.sg.request import REQ_STATE, State
from midlayer.upper.sg.sg_io import sg_io
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller

SG_IO = 0x2285
VERSION_NUMBER = 30536
BLOCK_VERSION_NUMBER = 30527
USER_HZ, KERNEL_HZ = 100, 250
MAX_TICKS = 0x7FFF_FFFF * USER_HZ // KERNEL_HZ
"""Longest time-out, in ticks of USER_HZ, that a kernel with 250 ticks a second keeps."""

MAX_NEXT_CDB_BYTES = 252
_REQUEST_TABLE_ROWS = 16
_FILE_SYSTEM_BLOCK_BYTES = 4096
_INT = Struct("=i")

_log = logging.getLogger("midlayer.sg")


class Call(NamedTuple):
    """One ioctl.

    Attributes:
        file: The descriptor.
        argument: The third argument of ioctl(2).
        memory: The caller's.
        caller: Who calls.
    """

    file: SgFile
    argument: int
    memory: Memory
    caller: Caller

    def get_int(self) -> int:
        """Read the int that the argument points at; OSError EFAULT."""
        return int(_INT.unpack(self.memory.read(self.argument, 4))[0])

    def put_int(self, value: int) -> int:
        """Write an int where the argument points, and return 0; OSError EFAULT."""
        self.memory.write(self.argument, _INT.pack((value + 0x8000_0000) % (1 << 32) - 0x8000_0000))
        return 0

    def refuse_if_detaching(self) -> None:
        """Raise OSError ENODEV if the device is going away."""
        if self.file.device.detaching:
            raise os_error(errno.ENODEV)


Handler = Callable[[Call], int]


def unknown(call: Call, request: int) -> int:
    """An ioctl that is in no table: EPERM unless the descriptor is open for both, else the driver's."""
    if call.file.bsg:
        raise os_error(errno.ENOTTY)
    if not (call.file.may_read and call.file.may_write):
        raise os_error(errno.EPERM)
    return to_the_mid_level(call, lambda call: _ask_the_driver(call, request))


def to_the_mid_level(call: Call, handler: Handler) -> int:
    """Wait for error recovery, then go on; ENODEV if the device is offline then."""
    file = call.file
    if not file.device.wait_for_recovery(file.waiting):
        raise os_error(errno.ENODEV)
    return handler(call)


def _refused(call: Call) -> int:
    raise os_error(errno.EINVAL)


def _ask_the_driver(call: Call, request: int) -> int:
    device = call.file.device.device
    try:
        answer = int(device.host.template.ioctl(device, request, call.argument))
    except Exception:
        _log.exception("%s: ioctl %#x of driver %s raised", device.address, request, device.host.name)
        raise os_error(errno.EIO) from None
    if answer < 0:
        raise os_error(-answer)
    return answer


def _bsg_sg_io(call: Call) -> int:
    return version_4.sg_io(call.file, call.argument, call.memory, call.caller)


def _set_timeout(call: Call) -> int:
    ticks = call.get_int()
    if ticks < 0:
        raise os_error(errno.EIO)
    call.file.timeout_ticks = min(ticks, MAX_TICKS)
    call.file.timeout_ms = call.file.timeout_ticks * 1000 // USER_HZ
    return 0


def _get_timeout(call: Call) -> int:
    return call.file.timeout_ticks


def _emulated_host(call: Call) -> int:
    call.refuse_if_detaching()
    return call.put_int(int(call.file.device.device.host.emulated))


def _set_command_q(call: Call) -> int:
    call.file.cmd_q = bool(call.get_int())
    return 0


def _get_command_q(call: Call) -> int:
    return call.put_int(int(call.file.cmd_q))


def _get_reserved_size(call: Call) -> int:
    return call.put_int(min(call.file.reserved_bytes, call.file.device.usual_max_bytes))


def _set_reserved_size(call: Call) -> int:
    size = call.get_int()
    if size < 0:
        raise os_error(errno.EINVAL)
    file = call.file
    size = min(size, file.device.usual_max_bytes)
    with file.lock:
        if size != file.reserved_bytes:
            if file.mmap_called or file.reserve_busy:
                raise os_error(errno.EBUSY)
            file.set_reserved(size)
    return 0


def _get_scsi_id(call: Call) -> int:
    call.refuse_if_detaching()
    device = call.file.device.device
    host_no, channel, target, lun = device.address
    lun = (lun + 0x8000_0000) % (1 << 32) - 0x8000_0000
    depths = (_short(device.host.cmd_per_lun), _short(device.queue_depth))
    call.memory.write(call.argument, SCSI_ID.pack(host_no, channel, target, lun, device.type, *depths))
    return 0


def _short(value: int) -> int:
    return (value + 0x8000) % (1 << 16) - 0x8000


def _set_force_low_dma(call: Call) -> int:
    return 0


def _get_low_dma(call: Call) -> int:
    return call.put_int(0)


def _set_force_pack_id(call: Call) -> int:
    call.file.force_pack_id = bool(call.get_int())
    return 0


def _get_pack_id(call: Call) -> int:
    with call.file.lock:
        ready = [request.pack_id for request in call.file.table if request.readable]
    return call.put_int(ready[0] if ready else -1)


def _get_num_waiting(call: Call) -> int:
    with call.file.lock:
        count = sum(request.readable for request in call.file.table)
    return call.put_int(count)


def _set_debug(call: Call) -> int:
    value = call.get_int() & 0xFF
    call.file.device.sgdebug = value - 256 if value > 127 else value
    return 0


def _get_sg_tablesize(call: Call) -> int:
    return call.put_int(call.file.device.sg_tablesize)


def _get_version_num(call: Call) -> int:
    return call.put_int(VERSION_NUMBER)


def _next_cmd_len(call: Call) -> int:
    length = call.get_int()
    if length > MAX_NEXT_CDB_BYTES:
        raise os_error(errno.ENOMEM)
    call.file.next_cmd_len = max(length, 0)
    return 0


def _get_request_table(call: Call) -> int:
    file = call.file
    rows = []
    with file.lock:
        now_s = file.device.device.host.monotonic()
        for request in file.table[:_REQUEST_TABLE_ROWS]:
            done = request.state in (State.RCV, State.FIN)
            problem = request.masked_status & request.host_byte & request.driver_status if done else 0
            duration_ms = request.duration_ms if done else request.elapsed_ms(now_s)
            rows.append(
                REQ_INFO.pack(
                    REQ_STATE[request.state],
                    request.orphan,
                    request.sg_io_owned,
                    problem,
                    request.pack_id,
                    request.usr_ptr,
                    min(duration_ms, 0xFFFF_FFFF),
                    0,
                )
            )
    call.memory.write(call.argument, b"".join(rows).ljust(_REQUEST_TABLE_ROWS * REQ_INFO.size, b"\0"))
    return 0


def _set_keep_orphan(call: Call) -> int:
    call.file.keep_orphan = call.get_int() & 0xFF  # the kernel keeps it in a byte
    return 0


def _get_keep_orphan(call: Call) -> int:
    return call.put_int(call.file.keep_orphan)


def _get_access_count(call: Call) -> int:
    return call.put_int(1)


def _max_bytes(call: Call) -> int:
    return call.put_int(call.file.device.usual_max_bytes)


def _block_size(call: Call) -> int:
    # 2 was SCSI_IOCTL_TEST_UNIT_READY, but the kernel's file layer takes it for FIGETBSZ before sg sees it.
    return call.put_int(_FILE_SYSTEM_BLOCK_BYTES)


def _set_nonblock(call: Call) -> int:
    call.file.nonblock = bool(call.get_int())
    return 0


def _no_trace(call: Call) -> int:
    raise os_error(errno.ENOTTY)


def _from_the_mid_level(handler: Handler) -> Handler:
    def carry_out(call: Call) -> int:
        call.refuse_if_detaching()
        return to_the_mid_level(call, handler)

    return carry_out


def _reset(call: Call) -> int:
    call.refuse_if_detaching()
    device = call.file.device
    if call.file.nonblock:
        if device.in_recovery:
            raise os_error(errno.EAGAIN)
        return scsi_ioctls.reset(call)
    return to_the_mid_level(call, scsi_ioctls.reset)


def _send_command(call: Call) -> int:
    call.refuse_if_detaching()
    return scsi_ioctls.send_command(call)


def _with_full_access(handler: Handler) -> Handler:
    def carry_out(call: Call) -> int:
        if not (call.file.may_read and call.file.may_write):
            raise os_error(errno.EPERM)
        return to_the_mid_level(call, handler)

    return carry_out


TABLE: dict[int, Handler] = {
    0x2201: _set_timeout,
    0x2202: _get_timeout,
    0x2203: _emulated_host,
    0x2204: _with_full_access(_refused),  # SG_SET_TRANSFORM
    0x2205: _from_the_mid_level(_refused),  # SG_GET_TRANSFORM
    0x2270: _get_command_q,
    0x2271: _set_command_q,
    0x2272: _get_reserved_size,
    0x2275: _set_reserved_size,
    0x2276: _get_scsi_id,
    0x2279: _set_force_low_dma,
    0x227A: _get_low_dma,
    0x227B: _set_force_pack_id,
    0x227C: _get_pack_id,
    0x227D: _get_num_waiting,
    0x227E: _set_debug,
    0x227F: _get_sg_tablesize,
    0x2282: _get_version_num,
    0x2283: _next_cmd_len,
    0x2284: _reset,
    SG_IO: lambda call: sg_io(*call),
    0x2286: _get_request_table,
    0x2287: _set_keep_orphan,
    0x2288: _get_keep_orphan,
    0x2289: _get_access_count,
    0x1267: _max_bytes,
    0xC0481273: _no_trace,  # BLKTRACESETUP
    0x1274: _refused,  # BLKTRACESTART, STOP, TEARDOWN: no trace was set up
    0x1275: _refused,
    0x1276: _refused,
    0x0001: _send_command,
    0x0002: _block_size,
    0x0005: _with_full_access(scsi_ioctls.start_unit),
    0x0006: _with_full_access(scsi_ioctls.stop_unit),
    0x5380: _with_full_access(scsi_ioctls.lock_door),
    0x5381: _with_full_access(scsi_ioctls.unlock_door),
    0x5382: _from_the_mid_level(scsi_ioctls.get_idlun),
    0x5385: _from_the_mid_level(scsi_ioctls.probe_host),
    0x5386: _from_the_mid_level(scsi_ioctls.get_bus_number),
    0x5421: _set_nonblock,
}
"""Of ``/dev/sgN``."""


def _block_version(call: Call) -> int:
    return call.put_int(BLOCK_VERSION_NUMBER)


def _always_emulated(call: Call) -> int:
    return call.put_int(1)


def _zero(call: Call) -> int:
    return call.put_int(0)


def _get_bsg_queue(call: Call) -> int:
    return call.put_int(call.file.bsg_queue)


def _set_bsg_queue(call: Call) -> int:
    limit = call.get_int()
    if limit < 1:
        raise os_error(errno.EINVAL)
    call.file.bsg_queue = limit
    return 0


BSG_TABLE: dict[int, Handler] = {
    0x2201: _set_timeout,
    0x2202: _get_timeout,
    0x2203: _always_emulated,
    0x2270: _get_bsg_queue,
    0x2271: _set_bsg_queue,
    0x2272: _get_reserved_size,
    0x2275: _set_reserved_size,
    0x2282: _block_version,
    0x2285: _bsg_sg_io,
    0x5382: scsi_ioctls.get_idlun,
    0x5386: _zero,
}
"""Of ``/dev/bsg/H:C:T:L``."""
