"""What a command's end means on the wire: status, sense, data and residual."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from midlayer.frontends.target import lun_commands, mid_functions
from midlayer.iscsi.connection import Buffer
from midlayer.iscsi.task import Task
from midlayer.mid.command import Command, HostByte
from midlayer.standards.sam import Status
from midlayer.standards.sense import SenseKey, fixed_sense

_NOTHING = b""
_UNIT_TOO_SHORT = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x0E, 0x01)
_TARGET_FAILURE = fixed_sense(SenseKey.ABORTED_COMMAND, 0x44)

HOST_BYTES: dict[int, bytes] = {
    HostByte.DID_NO_CONNECT: lun_commands.LUN_NOT_SUPPORTED,
    HostByte.DID_BAD_TARGET: lun_commands.LUN_NOT_SUPPORTED,
    HostByte.DID_TIME_OUT: fixed_sense(SenseKey.ABORTED_COMMAND, 0x08, 0x01),
    HostByte.DID_PARITY: fixed_sense(SenseKey.ABORTED_COMMAND, 0x47),
    HostByte.DID_TRANSPORT_DISRUPTED: fixed_sense(SenseKey.ABORTED_COMMAND, 0x08),
}
"""Sense data that stands for a host byte; the others are an internal failure of the target (44/00)."""

_ABORTED = frozenset({HostByte.DID_ABORT, HostByte.DID_RESET})


class Answer(NamedTuple):
    """The arguments of `TargetConnection.respond`, after the task."""

    status: int
    sense: bytes
    data: Buffer
    residual: int


def of(task: Task, command: Command) -> Answer:
    """Return the answer to a task whose command has ended."""
    if command.host_byte:
        return _of_host_byte(task, command)
    residual, data = command.residual, command.data_in
    if data is None or not task.read:
        residual = -task.overflow_bytes or residual if task.write else 0
        return Answer(command.status, command.sense_data, _NOTHING, residual)
    if residual > 0:
        data = data[: len(data) - residual]
    if task.overflow_bytes:
        data = data[: task.expected_bytes]
        return Answer(command.status, command.sense_data, data, -task.overflow_bytes)
    short = task.expected_bytes - len(data)
    return Answer(command.status, command.sense_data, data, short or min(residual, 0))


def _of_host_byte(task: Task, command: Command) -> Answer:
    expected = task.expected_bytes
    if command.host_byte in _ABORTED:
        return Answer(Status.TASK_ABORTED, b"", _NOTHING, expected)
    if command.host_byte == HostByte.DID_ERROR and task.write and command.error is None:
        # A driver says so of a write that has less data than its CDB promised.
        return Answer(Status.CHECK_CONDITION, _UNIT_TOO_SHORT, _NOTHING, expected)
    sense = HOST_BYTES.get(command.host_byte, _TARGET_FAILURE)
    return Answer(Status.CHECK_CONDITION, sense, _NOTHING, expected)


def abandon(tasks: Iterable[Task]) -> None:
    """Tell the mid level to give up commands whose initiator has gone."""
    for task in list(tasks):
        command = task.owner  # read once: it ends, and is taken away, in threads of its own
        if command is not None:
            mid_functions.abort(command)
