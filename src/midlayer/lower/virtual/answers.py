"""How a virtual logical unit answers: data, refusals, and the sense data that goes with them."""

from __future__ import annotations

from typing import Any, TypeVar

from midlayer.layout import Layout
from midlayer.mid.command import Command
from midlayer.standards.sam import Status
from midlayer.standards.sense import FieldPointer, SenseKey, descriptor_sense, fixed_sense

_MAX_FIXED_INFORMATION = 0xFFFFFFFF
_MAX_64 = 0xFFFFFFFFFFFFFFFF


class CheckCondition(Exception):
    """Ends a command with CHECK CONDITION; never leaves the driver.

    Args:
        key, asc, ascq: Sense key, additional sense code and its qualifier.
        details: What else `fixed_sense` and `descriptor_sense` take.
    """

    def __init__(self, key: int, asc: int, ascq: int = 0, **details: Any) -> None:
        super().__init__()
        self.key, self.asc, self.ascq = key, asc, ascq
        self.details = details

    def sense_data(self, *, descriptor: bool = False) -> bytes:
        """Return sense data; fixed format leaves out an INFORMATION of more than 32 bits (SPC-4 4.5.3)."""
        details = self.details
        information = details.get("information")
        if information is not None and information < 0:  # two's complement, as long as the field is
            details = {
                **details,
                "information": information & (_MAX_64 if descriptor else _MAX_FIXED_INFORMATION),
            }
        if descriptor:
            return descriptor_sense(self.key, self.asc, self.ascq, **details)
        if (details.get("information") or 0) > _MAX_FIXED_INFORMATION:
            details = {**details, "information": None}
        return fixed_sense(self.key, self.asc, self.ascq, **details)


class ReservationConflict(Exception):
    """Ends a command with RESERVATION CONFLICT; never leaves the driver."""


def illegal_request(
    asc: int, ascq: int = 0, *, byte: int | None = None, bit: int | None = None
) -> CheckCondition:
    """Return ILLEGAL REQUEST, with a field pointer into the CDB if `byte` is given."""
    pointer = None if byte is None else FieldPointer(in_cdb=True, byte=byte, bit=bit)
    return CheckCondition(SenseKey.ILLEGAL_REQUEST, asc, ascq, field_pointer=pointer)


def invalid_field(byte: int, bit: int | None = None) -> CheckCondition:
    """Return INVALID FIELD IN CDB, pointing at the field."""
    return illegal_request(0x24, byte=byte, bit=bit)


def invalid_parameter(byte: int, bit: int | None = None) -> CheckCondition:
    """Return INVALID FIELD IN PARAMETER LIST, pointing at the byte."""
    pointer = FieldPointer(in_cdb=False, byte=byte, bit=bit)
    return CheckCondition(SenseKey.ILLEGAL_REQUEST, 0x26, field_pointer=pointer)


def parameter_list_length_error() -> CheckCondition:
    """Return PARAMETER LIST LENGTH ERROR."""
    return illegal_request(0x1A)


def lba_out_of_range() -> CheckCondition:
    """Return LOGICAL BLOCK ADDRESS OUT OF RANGE."""
    return illegal_request(0x21)


_L = TypeVar("_L", bound=Layout)


def fields(layout: type[_L], command: Command) -> _L:
    """Decode a CDB.

    Raises:
        CheckCondition: INVALID FIELD IN CDB, if it is shorter than the command's.
    """
    cdb = command.cdb
    if len(cdb) < layout.size:
        raise invalid_field(len(cdb) - 1)
    return layout.decode(cdb)


def no_data(command: Command) -> None:
    """Say that nothing of the buffer was moved."""
    command.residual = command.requested_bytes


def send(command: Command, data: bytes | bytearray | memoryview, allocation_length: int) -> None:
    """Give `data` to the initiator, cut at the allocation length and at the buffer, and set the residual."""
    buffer = command.data_in
    room = len(buffer) if buffer is not None else 0
    count = min(len(data), allocation_length, room)
    if buffer is not None:
        buffer[:count] = data[:count]
    command.residual = command.requested_bytes - count


def received(command: Command, length: int) -> memoryview:
    """Return `length` bytes from the initiator.

    Raises:
        CheckCondition: PARAMETER LIST LENGTH ERROR, if it sent less.
    """
    data = memoryview(command.data_out if command.data_out is not None else b"")
    if len(data) < length:
        raise parameter_list_length_error()
    command.residual = len(data) - length
    return data[:length]


def fail(command: Command, sense_data: bytes) -> None:
    """End a command with CHECK CONDITION; nothing was transferred."""
    command.status = Status.CHECK_CONDITION
    command.sense_data = sense_data
    command.residual = command.requested_bytes


def fail_with_data(command: Command, sense_data: bytes, moved_bytes: int) -> None:
    """End a command with CHECK CONDITION that has transferred something all the same."""
    command.status = Status.CHECK_CONDITION
    command.sense_data = sense_data
    command.residual = command.requested_bytes - moved_bytes


def conflict(command: Command) -> None:
    """End a command with RESERVATION CONFLICT; nothing was transferred."""
    command.status = Status.RESERVATION_CONFLICT
    command.residual = command.requested_bytes
