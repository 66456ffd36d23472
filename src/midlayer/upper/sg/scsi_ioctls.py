"""The ioctls that sg hands down to the mid level (the kernel's ``scsi_ioctl``)."""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING

from midlayer.mid import error_handler
from midlayer.mid.dispatch import execute
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.standards.opcodes import Opcode, cdb_length
from midlayer.standards.sense import SenseKey
from midlayer.upper.sg.command_filter import is_allowed
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.mid.command import Result
    from midlayer.upper.sg.ioctls import Call

NO_ESCALATE = 0x100
_LEVELS = {1: "device", 4: "target", 2: "bus", 3: "host"}
"""Value of SG_SCSI_RESET → what is reset; each level that fails leads to the next."""

_INT, _UNSIGNED, _IDLUN = Struct("=i"), Struct("=I"), Struct("=II")
_TIMEOUT_S, _RETRIES = 10.0, 5
_LONG_TIMEOUT_S = 60.0
_MAX_DATA_BYTES = 4096
_OLD_SENSE_BYTES = 16


def get_idlun(call: Call) -> int:
    """SCSI_IOCTL_GET_IDLUN: the address in four bytes, then the host's unique id."""
    host_no, channel, target, lun = call.file.device.device.address
    packed = (target & 0xFF) | (lun & 0xFF) << 8 | (channel & 0xFF) << 16 | (host_no & 0xFF) << 24
    call.memory.write(
        call.argument, _IDLUN.pack(packed, call.file.device.device.host.unique_id & 0xFFFF_FFFF)
    )
    return 0


def get_bus_number(call: Call) -> int:
    """SCSI_IOCTL_GET_BUS_NUMBER: the number of the host."""
    return call.put_int(call.file.device.device.address.host)


def probe_host(call: Call) -> int:
    """SCSI_IOCTL_PROBE_HOST: a line about the host, as long as the int at the argument allows; returns 1."""
    if not call.argument:
        return 1
    room = _UNSIGNED.unpack(call.memory.read(call.argument, 4))[0]
    text = call.file.device.device.host.info.encode(errors="replace") + b"\0"
    call.memory.write(call.argument, text[: min(room, len(text))])
    return 1


def reset(call: Call) -> int:
    """SG_SCSI_RESET: device, target, bus, host, up the ladder until one succeeds.

    Raises:
        OSError: EACCES without the rights, EFAULT, EIO if nothing succeeded or the value is unknown.
    """
    if not (call.caller.sys_admin and call.caller.sys_rawio):
        raise os_error(errno.EACCES)
    value = call.get_int()
    wanted = value & ~NO_ESCALATE
    if wanted == 0:
        return 0
    level = _LEVELS.get(wanted)
    if level is None:
        raise os_error(errno.EIO)
    device = call.file.device.device
    if error_handler.reset(device, level, escalate=not value & NO_ESCALATE) != SUCCESS:
        raise os_error(errno.EIO)
    return 0


def start_unit(call: Call) -> int:
    """SCSI_IOCTL_START_UNIT."""
    return _internal(call, bytes((Opcode.START_STOP_UNIT, 0, 0, 0, 1, 0)), _LONG_TIMEOUT_S)


def stop_unit(call: Call) -> int:
    """SCSI_IOCTL_STOP_UNIT."""
    return _internal(call, bytes((Opcode.START_STOP_UNIT, 0, 0, 0, 0, 0)), _LONG_TIMEOUT_S)


def lock_door(call: Call) -> int:
    """SCSI_IOCTL_DOORLOCK: keep the medium in; nothing to do where it can not be taken out."""
    return _set_removal(call, prevent=1)


def unlock_door(call: Call) -> int:
    """SCSI_IOCTL_DOORUNLOCK: let the medium out."""
    return _set_removal(call, prevent=0)


def _set_removal(call: Call, *, prevent: int) -> int:
    if not call.file.device.device.removable:
        return 0
    return _internal(call, bytes((Opcode.PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, prevent, 0)))


def _internal(call: Call, cdb: bytes, timeout_s: float = _TIMEOUT_S) -> int:
    device = call.file.device.device
    result = execute(device, cdb, None, None, timeout_s, _RETRIES, True)
    sense = result.sense
    if device.removable and sense is not None and sense.key == SenseKey.UNIT_ATTENTION:
        return 0  # a changed medium is no error here
    return _word(result)


def _word(result: Result) -> int:
    return result.status | result.host_byte << 16


def send_command(call: Call) -> int:
    """SCSI_IOCTL_SEND_COMMAND: lengths in and out, then a CDB and data, all in one buffer.

    Returns:
        The SCSI status.

    Raises:
        OSError: EINVAL for no buffer or more than a page, EFAULT, EPERM.
    """
    at, memory, file = call.argument, call.memory, call.file
    if not at:
        raise os_error(errno.EINVAL)
    count_out, count_in = _IDLUN.unpack(memory.read(at, 8))
    if max(count_out, count_in) > _MAX_DATA_BYTES:
        raise os_error(errno.EINVAL)
    opcode = memory.read(at + 8, 1)[0]
    cdb = memory.read(at + 8, cdb_length(opcode) or 12)
    data = bytearray(max(count_out, count_in))
    data[:count_out] = memory.read(at + 8 + len(cdb), count_out) if count_out else b""
    if not is_allowed(cdb, call.caller, writable=file.may_write):
        raise os_error(errno.EPERM)
    moves = {"data_out": bytes(data)} if count_out else {"data_in": memoryview(data)} if data else {}
    result = execute(file.device.device, cdb, timeout_s=_LONG_TIMEOUT_S, passthrough=True, **moves)
    if result.status:
        memory.write(at + 8, result.sense_data[:_OLD_SENSE_BYTES])
    elif count_in:
        memory.write(at + 8, bytes(data[:count_in]))
    return result.status
