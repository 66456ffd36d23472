"""A command of a session: as it is asked for, while it is on its way, and its result."""

from __future__ import annotations

from typing import NamedTuple

from midlayer.mid.command import Buffer, Command, DriverByte, Result
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.task_management import abort_command
from midlayer.upper.sg.buffers import DEFAULT_TIMEOUT_S

_new_tuple = tuple.__new__
_DRIVER_OK, _DRIVER_SENSE = DriverByte.DRIVER_OK, DriverByte.DRIVER_SENSE


class Request(NamedTuple):
    """A command to submit.

    Attributes:
        cdb: 6 to 260 bytes.
        data_out: Bytes for the device; they must stay as they are until the result is there.
        data_in: A writable buffer for what the device sends, or a number of bytes to make one of.
        timeout_s: Seconds that the device has.
    """

    cdb: bytes
    data_out: Buffer | None = None
    data_in: bytearray | memoryview | int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


class Sent(Command):
    """A command with the number that its submitter knows it by."""

    __slots__ = ("pack_id",)
    pack_id: int


def abort_on_its_way(command: Command) -> bool:
    """Have the mid level give up a command that is on its way."""
    return abort_command(command) == SUCCESS


def result_of(command: Sent) -> Result:
    sense_data = command.sense_data
    # Result(…) without the detour through the constructor that NamedTuple makes.
    return _new_tuple(
        Result,
        (
            command.status,
            command.host_byte,
            _DRIVER_SENSE if sense_data else _DRIVER_OK,
            sense_data,
            command.residual,
            command.duration_s,
            command.data_in,
            command.device.address,
            command.cdb,
        ),
    )
