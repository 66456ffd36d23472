"""Exit statuses, as sg3_utils(8) numbers them."""

from __future__ import annotations

import errno

from midlayer.errors import (
    ConfigError,
    DaemonError,
    EventLogBehind,
    EventLogError,
    InvalidRequest,
    MidlayerError,
    NodeError,
    SubsystemError,
    UsageError,
)
from midlayer.mid.command import HostByte, Result
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey

GOOD = 0
SYNTAX_ERROR = 1
OS_ERROR = 15
TIMEOUT = 33
TRANSPORT_ERROR = 35
MALFORMED = 97
OTHER_SENSE = 98
OTHER = 99
_ERRNO_BASE = 50
_HIGHEST_ERRNO = 46

_BY_STATUS: dict[int, int] = {
    Status.GOOD: 0,
    Status.CONDITION_MET: 25,
    Status.BUSY: 26,
    Status.RESERVATION_CONFLICT: 24,
    Status.TASK_SET_FULL: 27,
    Status.ACA_ACTIVE: 28,
    Status.TASK_ABORTED: 29,
}

# Looked up as (key, asc, ascq), then (key, asc), then key.
_BY_SENSE: dict[tuple[int, ...], int] = {
    (SenseKey.NO_SENSE,): 20,
    (SenseKey.RECOVERED_ERROR,): 21,
    (SenseKey.NOT_READY,): 2,
    (SenseKey.NOT_READY, 0x04, 0x04): 16,
    (SenseKey.NOT_READY, 0x04, 0x07): 16,
    (SenseKey.NOT_READY, 0x04, 0x0B): 12,
    (SenseKey.NOT_READY, 0x04, 0x0C): 13,
    (SenseKey.MEDIUM_ERROR,): 3,
    (SenseKey.HARDWARE_ERROR,): 3,
    (SenseKey.BLANK_CHECK,): 3,
    (SenseKey.ILLEGAL_REQUEST,): 5,
    (SenseKey.ILLEGAL_REQUEST, 0x20, 0x00): 9,
    (SenseKey.ILLEGAL_REQUEST, 0x21, 0x00): 22,
    (SenseKey.ILLEGAL_REQUEST, 0x26, 0x00): 19,
    (SenseKey.UNIT_ATTENTION,): 6,
    (SenseKey.DATA_PROTECT,): 7,
    (SenseKey.COPY_ABORTED,): 10,
    (SenseKey.ABORTED_COMMAND,): 11,
    (SenseKey.ABORTED_COMMAND, 0x10): 40,
    (SenseKey.MISCOMPARE,): 14,
}
_WITH_INFORMATION: dict[int, int] = {3: 18, 5: 17, 40: 41}


def of_result(result: Result) -> int:
    """Return the exit status for the outcome of a command."""
    if result.host_byte:
        return TIMEOUT if result.host_byte == HostByte.DID_TIME_OUT else TRANSPORT_ERROR
    if result.status == Status.CHECK_CONDITION:
        sense = result.sense
        return OTHER_SENSE if sense is None else _of_sense(sense)
    return _BY_STATUS.get(result.status, OTHER)


def of_error(error: MidlayerError) -> int:
    """Return the exit status for an error that is not the outcome of a command."""
    if isinstance(error, UsageError | ConfigError | InvalidRequest):
        return SYNTAX_ERROR
    if isinstance(error, DaemonError):
        return error.exit_status
    if isinstance(error, NodeError) and error.errno and error.errno <= _HIGHEST_ERRNO:
        return _ERRNO_BASE + error.errno
    if isinstance(error, EventLogBehind):
        return _ERRNO_BASE + errno.ENOSPC
    if isinstance(error, NodeError | SubsystemError | EventLogError):
        return OS_ERROR
    return OTHER


def _of_sense(sense: Sense) -> int:
    for key in ((sense.key, sense.asc, sense.ascq), (sense.key, sense.asc), (sense.key,)):
        if key in _BY_SENSE:
            status = _BY_SENSE[key]
            return status if sense.information is None else _WITH_INFORMATION.get(status, status)
    return OTHER_SENSE
