"""What to do with a command that came back: the kernel's tables, as tables.

Order: host byte, then status, then sense. Pass-through commands (those with ``allowed == 0``) are never
retried for what the device said, but BUSY, TASK SET FULL and DID_REQUEUE still go back to the queue
until the command's whole life, ``(allowed + 1) * timeout_s``, is over.
"""

from __future__ import annotations

from enum import Enum, auto

from midlayer.mid.command import Command, HostByte
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey


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


def decide(command: Command) -> Disposition:
    """Return what to do with a command that did not end in GOOD."""
    if command.host_byte:
        return _decide_by_host_byte(command)
    if command.status == Status.CHECK_CONDITION:
        return _decide_by_sense(command)
    return _BY_STATUS.get(command.status, _FAILED)


def may_retry(command: Command) -> bool:
    """Return whether one more try is allowed; a limit of -1 means endless."""
    if command.passthrough and not command.host_byte:
        return False
    return command.allowed < 0 or command.retries < command.allowed


def _decide_by_host_byte(command: Command) -> Disposition:
    if command.host_byte == HostByte.DID_PASSTHROUGH:
        command.host_byte = HostByte.DID_OK
        return _SUCCESS
    if command.host_byte == HostByte.DID_TIME_OUT:
        quiet = command.cdb[0] in (Opcode.TEST_UNIT_READY, Opcode.INQUIRY)
        return _SUCCESS if quiet else _FAILED
    if command.host_byte == HostByte.DID_ERROR and command.status == Status.RESERVATION_CONFLICT:
        return _SUCCESS
    return _BY_HOST_BYTE.get(command.host_byte, _FAILED)


def _decide_by_sense(command: Command) -> Disposition:
    sense = Sense.decode(command.sense_data)
    if sense is None:
        return _FAILED
    if sense.deferred:
        return _RETRY
    if command.cdb[0] == Opcode.TEST_UNIT_READY or sense.filemark or sense.eom or sense.ili:
        return _SUCCESS
    for key in ((sense.key, sense.asc, sense.ascq), (sense.key, sense.asc), (sense.key,)):
        if key in _BY_SENSE:
            return _BY_SENSE[key]
    return _SUCCESS
