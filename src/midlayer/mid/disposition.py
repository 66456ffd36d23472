"""What to do with a command that came back: the kernel's tables, as tables.

Order: device offline, host byte, status, sense. Pass-through commands (those with ``allowed == 0``) are never
retried for what the device said, but BUSY, TASK SET FULL and DID_REQUEUE still go back to the queue
until the command's whole life, ``(allowed + 1) * timeout_s``, is over.
"""

from __future__ import annotations

import logging
from enum import Enum, auto

from midlayer.mid import unit_attention
from midlayer.mid.command import Command, FailFast, HostByte
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.quirks import Quirk
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey

_log = logging.getLogger("midlayer.disposition")


class Disposition(Enum):
    """The verdict on a command."""

    SUCCESS = auto()
    """Hand it to its submitter as it is."""
    NEEDS_RETRY = auto()
    """Send it again if it may be retried, else hand it up."""
    ADD_TO_MLQUEUE = auto()
    """Queue it again, without counting a retry."""
    FAILED = auto()
    """Leave it to the error handler."""


_SUCCESS, _RETRY = Disposition.SUCCESS, Disposition.NEEDS_RETRY
_REQUEUE, _FAILED = Disposition.ADD_TO_MLQUEUE, Disposition.FAILED

_BY_HOST_BYTE: dict[int, Disposition] = {
    HostByte.DID_NO_CONNECT: _SUCCESS,
    HostByte.DID_BAD_TARGET: _SUCCESS,
    HostByte.DID_ABORT: _SUCCESS,
    HostByte.DID_RESET: _SUCCESS,
    HostByte.DID_TRANSPORT_FAILFAST: _SUCCESS,
    HostByte.DID_TRANSPORT_MARGINAL: _SUCCESS,
    HostByte.DID_SOFT_ERROR: _RETRY,
    HostByte.DID_TRANSPORT_DISRUPTED: _RETRY,
    HostByte.DID_BUS_BUSY: _RETRY,
    HostByte.DID_PARITY: _RETRY,
    HostByte.DID_ERROR: _RETRY,
    HostByte.DID_IMM_RETRY: _REQUEUE,
    HostByte.DID_REQUEUE: _REQUEUE,
}

_BY_STATUS: dict[int, Disposition] = {
    Status.GOOD: _SUCCESS,
    Status.CONDITION_MET: _SUCCESS,
    Status.INTERMEDIATE: _SUCCESS,
    Status.INTERMEDIATE_CONDITION_MET: _SUCCESS,
    Status.ACA_ACTIVE: _SUCCESS,
    Status.COMMAND_TERMINATED: _SUCCESS,
    Status.RESERVATION_CONFLICT: _SUCCESS,
    Status.BUSY: _REQUEUE,
    Status.TASK_SET_FULL: _REQUEUE,
    Status.TASK_ABORTED: _RETRY,
}

# Looked up as (key, asc, ascq), then (key, asc), then key.
_BY_SENSE: dict[tuple[int, ...], Disposition] = {
    **{(key,): _SUCCESS for key in range(16)},
    (SenseKey.ABORTED_COMMAND,): _RETRY,
    (SenseKey.ABORTED_COMMAND, 0x10): _SUCCESS,
    (SenseKey.ABORTED_COMMAND, 0x2E, 0x01): _SUCCESS,
    (SenseKey.ABORTED_COMMAND, 0x2E, 0x02): _SUCCESS,
    (SenseKey.ABORTED_COMMAND, 0x2E, 0x03): _SUCCESS,
    (SenseKey.NOT_READY, 0x04, 0x01): _RETRY,
    (SenseKey.UNIT_ATTENTION, 0x04, 0x01): _RETRY,
    (SenseKey.MEDIUM_ERROR,): _RETRY,
    (SenseKey.MEDIUM_ERROR, 0x11): _SUCCESS,
    (SenseKey.MEDIUM_ERROR, 0x13): _SUCCESS,
    (SenseKey.MEDIUM_ERROR, 0x14): _SUCCESS,
}


_FAILFAST: dict[int, FailFast] = {
    HostByte.DID_TIME_OUT: FailFast.DEVICE,
    HostByte.DID_BUS_BUSY: FailFast.TRANSPORT,
    HostByte.DID_PARITY: FailFast.DEVICE,
    HostByte.DID_ERROR: FailFast.DRIVER,
    HostByte.DID_SOFT_ERROR: FailFast.DRIVER,
}
"""For which wish of the submitter a host byte means that there is no retry."""


def decide(command: Command, *, recovering: bool = False) -> Disposition:
    """Return what to do with a command that did not end in GOOD.

    Args:
        command: As it came back.
        recovering: True for a command of the error handler's own.
    """
    if not command.device.online:
        return _SUCCESS
    if command.host_byte:
        return _decide_by_host_byte(command)
    if command.status == Status.CHECK_CONDITION:
        return decide_by_sense(command, recovering=recovering)
    if command.status == Status.RESERVATION_CONFLICT:
        _log.info("%s: reservation conflict", command)
    return _BY_STATUS.get(command.status, _FAILED)


def may_retry(command: Command) -> bool:
    """Return whether one more try is allowed; a limit of -1 means endless."""
    wish = _FAILFAST.get(command.host_byte, FailFast.NONE) if command.host_byte else FailFast.DEVICE
    passthrough = command.passthrough and command.host_byte in (HostByte.DID_OK, HostByte.DID_TIME_OUT)
    if passthrough or command.failfast & wish:
        return False
    return command.allowed < 0 or command.retries < command.allowed


def _decide_by_host_byte(command: Command) -> Disposition:
    if command.host_byte == HostByte.DID_PASSTHROUGH:
        command.host_byte = HostByte.DID_OK
        return _SUCCESS
    if command.host_byte == HostByte.DID_ABORT and command.abort_tried:
        command.host_byte = HostByte.DID_TIME_OUT
        return _SUCCESS
    if command.host_byte == HostByte.DID_TIME_OUT:
        quiet = command.cdb[0] in (Opcode.TEST_UNIT_READY, Opcode.INQUIRY)
        return _SUCCESS if quiet else _FAILED
    if command.host_byte == HostByte.DID_ERROR and command.status == Status.RESERVATION_CONFLICT:
        return _SUCCESS
    return _BY_HOST_BYTE.get(command.host_byte, _FAILED)


def decide_by_sense(command: Command, *, recovering: bool = False) -> Disposition:
    """Return what to do with a command that ended in CHECK CONDITION."""
    sense = Sense.decode(command.sense_data)
    if sense is None:
        return _FAILED
    device = command.device
    if sense.key == SenseKey.UNIT_ATTENTION:
        unit_attention.report(device, sense)
    if sense.deferred:
        return _RETRY
    asked_for = command.cdb[0] == Opcode.TEST_UNIT_READY and not recovering
    if asked_for or sense.filemark or sense.eom or sense.ili:
        return _SUCCESS
    return _decide_by_device(device, sense) or _decide_by_key(sense)


def _decide_by_key(sense: Sense) -> Disposition:
    for key in ((sense.key, sense.asc, sense.ascq), (sense.key, sense.asc), (sense.key,)):
        if key in _BY_SENSE:
            return _BY_SENSE[key]
    return _SUCCESS


def _decide_by_device(device: LogicalUnit, sense: Sense) -> Disposition | None:
    """What depends on the state of the device, and on its quirks."""
    code = (sense.asc, sense.ascq)
    if sense.key in (SenseKey.NOT_READY, SenseKey.UNIT_ATTENTION):
        if device.expecting_cc_ua and code != (0x28, 0x00):
            # 28/00 is about a medium that was changed: whoever sits above has to know.
            device.expecting_cc_ua = False
            return _RETRY
        if device.target.expecting_lun_change and code == (0x3F, 0x0E):
            return _RETRY
        if device.allow_restart and code == (0x04, 0x02):
            return _FAILED
    flags = Quirk(device.flags)
    if sense.key == SenseKey.ABORTED_COMMAND:
        transport = flags & Quirk.RETRY_ITF and sense.asc == 0x44
        if transport or (flags & Quirk.RETRY_ASC_C1 and code == (0xC1, 0x01)):
            return _REQUEUE
    if sense.key == SenseKey.HARDWARE_ERROR and flags & Quirk.RETRY_HWERROR:
        return _REQUEUE
    return None
