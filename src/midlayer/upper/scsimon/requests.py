"""The ioctls of ``/dev/scsimon``: request number → handler.

Each handler is given the structure of ``scsimon.h`` as the program had it, and returns it as it is to be.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from midlayer.address import Address
from midlayer.errors import StateError, SubsystemError
from midlayer.mid.logical_unit import DeviceState
from midlayer.upper.scsimon import interface
from midlayer.upper.scsimon.elements import device_element, host_element
from midlayer.upper.scsimon.interface import COUNT, INTERFACE, LIST, Request
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.scsimon.driver import Snapshot
    from midlayer.upper.scsimon.node import ScsimonFile
    from midlayer.upper.scsimon.records import DeviceRecord
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller

_log = logging.getLogger("midlayer.scsimon")

PROBE_HOST, GET_BUS_NUMBER = 0x5385, 0x5386
"""Ioctls of <scsi/scsi_ioctl.h> that every host answers."""

_MOST_ELEMENT_BYTES = 4096
_INT_BYTES = 4


class _Call:
    """One ioctl.

    Attributes:
        file: On which.
        memory: The caller's.
        caller: Who calls.
    """

    __slots__ = ("caller", "file", "memory")

    def __init__(self, file: ScsimonFile, memory: Memory, caller: Caller) -> None:
        self.file = file
        self.memory = memory
        self.caller = caller

    def snapshot(self) -> Snapshot:
        return self.file.node.scsimon.snapshot()

    @property
    def event_count(self) -> int:
        return self.file.node.scsimon.event_count


_Record = TypeVar("_Record")
_Handler = Callable[[_Call, bytes], bytes]


class _Refused(Exception):
    """An error whose answer is written all the same.

    Args:
        number: errno.
        answer: The structure.
    """

    def __init__(self, number: int, answer: bytes) -> None:
        super().__init__(number)
        self.number = number
        self.answer = answer


def carry_out(file: ScsimonFile, request: int, argument: int, memory: Memory, caller: Caller) -> int:
    """Carry out an ioctl; raises OSError as `ScsimonFile.ioctl` says."""
    request &= 0xFFFF_FFFF
    handler = _TABLE.get(request)
    if handler is None:
        raise os_error(errno.ENOTTY)
    if request in _NEED_RIGHTS and not (file.may_write and caller.sys_admin):
        raise os_error(errno.EPERM)
    size = request >> 16 & 0x3FFF
    given = b"" if request == Request.GET_STATUS else memory.read(argument, size)
    try:
        answer, error = handler(_Call(file, memory, caller), given), 0
    except _Refused as refused:
        answer, error = refused.answer, refused.number
    memory.write(argument, answer)
    if error:
        raise os_error(error)
    return 0


def _get_status(call: _Call, given: bytes) -> bytes:
    found, scsimon = call.snapshot(), call.file.node.scsimon
    lengths = (len(found.attached), len(found.detached), len(found.hosts))
    return interface.STATUS.pack(
        found.event_count, scsimon.oldest_count, INTERFACE, scsimon.module_lock.count, *lengths
    )


def _get_attached(call: _Call, given: bytes) -> bytes:
    found = call.snapshot()
    return _list(call, given, found.event_count, found.attached, lambda record: _device(call, record))


def _get_detached(call: _Call, given: bytes) -> bytes:
    found = call.snapshot()
    return _list(call, given, found.event_count, found.detached, lambda record: device_element(record, 0))


def _get_hosts(call: _Call, given: bytes) -> bytes:
    found = call.snapshot()
    devices = _devices_by_host(found)
    return _list(call, given, found.event_count, found.hosts, lambda record: host_element(record, devices))


def _list(
    call: _Call, given: bytes, count: int, records: tuple[_Record, ...], element: Callable[[_Record], bytes]
) -> bytes:
    """Put the wanted part of a list into the caller's array."""
    _, elements, size, first, room, _, total = LIST.unpack(given)
    total = len(records)
    wanted = records[first : first + room]
    if wanted and not 0 < size <= _MOST_ELEMENT_BYTES:
        raise os_error(errno.EINVAL)
    if wanted:
        call.memory.write(elements, b"".join(element(each)[:size].ljust(size, b"\0") for each in wanted))
    return LIST.pack(count, elements, size, first, room, len(wanted), total)


def _find_attached(call: _Call, given: bytes) -> bytes:
    attach_event, _, lun, host, bus, target = interface.DEVICE_KEY.unpack_from(given, COUNT.size)
    found = call.snapshot()
    address = str(Address(host, bus, target, lun))
    for record in found.attached:
        if record.attach_count == attach_event or (not attach_event and record.address == address):
            return COUNT.pack(found.event_count) + _device(call, record)
    raise _no_such(found.event_count, given)


def _find_detached(call: _Call, given: bytes) -> bytes:
    attach_event, detach_event, *_ = interface.DEVICE_KEY.unpack_from(given, COUNT.size)
    found = call.snapshot()
    for record in reversed(found.detached):
        if attach_event and record.attach_count != attach_event:
            continue
        if attach_event or record.detach_count == detach_event:
            return COUNT.pack(found.event_count) + device_element(record, 0)
    raise _no_such(found.event_count, given)


def _find_host(call: _Call, given: bytes) -> bytes:
    (number,) = interface.HOST_KEY.unpack_from(given, COUNT.size)
    found = call.snapshot()
    for record in found.hosts:
        if record.host_no == number:
            return COUNT.pack(found.event_count) + host_element(record, _devices_by_host(found))
    raise _no_such(found.event_count, given)


def _wait(call: _Call, given: bytes) -> bytes:
    _, since, timeout_ms = interface.WAIT.unpack(given)
    try:
        count = call.file.wait(since, None if timeout_ms < 0 else timeout_ms / 1000)
    except OSError as error:
        answer = interface.WAIT.pack(call.event_count, since, timeout_ms)
        raise _Refused(error.errno or errno.EIO, answer) from None
    return interface.WAIT.pack(count, since, timeout_ms)


def _set_position(call: _Call, given: bytes) -> bytes:
    _, since = interface.POSITION.unpack(given)
    call.file.set_position(since)
    return interface.POSITION.pack(call.event_count, since)


def _set_online_state(call: _Call, given: bytes) -> bytes:
    _, attach_event, online = interface.ONLINE.unpack(given)
    if online not in (0, 1):
        raise os_error(errno.EINVAL)
    record = next((each for each in call.snapshot().attached if each.attach_count == attach_event), None)
    error = errno.ENODEV if record is None else _switch(call, record, online == 1)
    answer = interface.ONLINE.pack(call.event_count, attach_event, online)
    if error:
        raise _Refused(error, answer)
    return answer


def _switch(call: _Call, record: DeviceRecord, online: bool) -> int:
    """Take a device offline or online, and return 0 or an errno; not one that has come in its place."""
    subsystem, address = call.file.node.subsystem, Address.parse(record.address)
    try:
        device = subsystem.device(address)
        with device.host.scan_mutex:
            if call.file.node.scsimon.attach_count(address) != record.attach_count:
                return errno.ENODEV
            state = DeviceState.RUNNING if online else DeviceState.OFFLINE
            if device.state is not state:
                subsystem.set_device_state(device, state)
    except StateError:
        return errno.EINVAL
    except SubsystemError:
        return errno.ENODEV
    return 0


def _send_host_ioctl(call: _Call, given: bytes) -> bytes:
    _, argument, number, command, _ = interface.HOST_IOCTL.unpack(given)
    result = _host_ioctl(call, number, command, argument)
    answer = interface.HOST_IOCTL.pack(call.event_count, argument, number, command, result)
    if result < 0:
        raise _Refused(-result, answer)
    return answer


def _host_ioctl(call: _Call, number: int, command: int, argument: int) -> int:
    try:
        host = call.file.node.subsystem.host(number)
    except SubsystemError:
        return -errno.ENODEV
    if command == GET_BUS_NUMBER:
        call.memory.write(argument, host.host_no.to_bytes(_INT_BYTES, "little"))
        return 0
    if command == PROBE_HOST:
        if argument:
            room = int.from_bytes(call.memory.read(argument, _INT_BYTES), "little")
            text = host.info.encode(errors="replace") + b"\0"
            call.memory.write(argument, text[: min(room, len(text))])
        return 1
    device = next(iter(host.devices()), None)
    if device is None:
        return -errno.ENODEV
    try:
        return int(host.template.ioctl(device, command, argument))
    except Exception:
        _log.exception("host %d: ioctl %#x of driver %s raised", number, command, host.name)
        return -errno.EIO


def _lock_mod(call: _Call, given: bytes) -> bytes:
    _, lock, _ = interface.LOCK.unpack(given)
    if lock not in (0, 1):
        raise os_error(errno.EINVAL)
    now = call.file.node.scsimon.module_lock.change(1 if lock else -1)
    if now is None:
        raise _Refused(errno.EINVAL, interface.LOCK.pack(call.event_count, lock, 0))
    return interface.LOCK.pack(call.event_count, lock, now)


def _device(call: _Call, record: DeviceRecord) -> bytes:
    references = 1
    with suppress(SubsystemError):  # it may be gone by now
        references = call.file.node.subsystem.device(Address.parse(record.address)).references
    return device_element(record, max(0, references - 1))


def _devices_by_host(found: Snapshot) -> Counter[int]:
    return Counter(int(record.address.partition(":")[0]) for record in found.attached)


def _no_such(count: int, given: bytes) -> _Refused:
    return _Refused(errno.ENODEV, COUNT.pack(count) + given[COUNT.size :])


_TABLE: dict[int, _Handler] = {
    int(Request.GET_STATUS): _get_status,
    int(Request.GET_ATTACHED): _get_attached,
    int(Request.GET_DETACHED): _get_detached,
    int(Request.GET_HOSTS): _get_hosts,
    int(Request.FIND_ATTACHED): _find_attached,
    int(Request.FIND_DETACHED): _find_detached,
    int(Request.FIND_HOST): _find_host,
    int(Request.WAIT): _wait,
    int(Request.SET_POSITION): _set_position,
    int(Request.SET_ONLINE_STATE): _set_online_state,
    int(Request.SEND_HOST_IOCTL): _send_host_ioctl,
    int(Request.LOCK_MOD): _lock_mod,
}
_NEED_RIGHTS = frozenset({Request.SET_ONLINE_STATE, Request.SEND_HOST_IOCTL, Request.LOCK_MOD})
