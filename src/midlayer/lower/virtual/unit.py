"""A virtual logical unit: what it is, where its blocks are, and how it says no."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TypeVar

from midlayer.errors import NodeError
from midlayer.layout import Layout
from midlayer.lower.virtual.medium import FileMedium, Medium, MemoryMedium
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.mid.command import Command
from midlayer.standards.sam import Status
from midlayer.standards.sense import FieldPointer, SenseKey, fixed_sense

MAX_TRANSFER_BYTES = 32 << 20
"""Most bytes that a READ, a WRITE or a VERIFY with data moves."""


class CheckCondition(Exception):
    """Ends a command with CHECK CONDITION; never leaves the driver."""

    def __init__(self, sense_data: bytes) -> None:
        self.sense_data = sense_data


def illegal_request(
    asc: int, ascq: int = 0, *, byte: int | None = None, bit: int | None = None
) -> CheckCondition:
    """Return ILLEGAL REQUEST, with a field pointer into the CDB if `byte` is given."""
    pointer = None if byte is None else FieldPointer(in_cdb=True, byte=byte, bit=bit)
    return CheckCondition(fixed_sense(SenseKey.ILLEGAL_REQUEST, asc, ascq, field_pointer=pointer))


def invalid_field(byte: int, bit: int | None = None) -> CheckCondition:
    """Return INVALID FIELD IN CDB, pointing at the field."""
    return illegal_request(0x24, byte=byte, bit=bit)


def invalid_parameter(byte: int) -> CheckCondition:
    """Return INVALID FIELD IN PARAMETER LIST, pointing at the byte."""
    pointer = FieldPointer(in_cdb=False, byte=byte, bit=None)
    return CheckCondition(fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x26, field_pointer=pointer))


def lba_out_of_range() -> CheckCondition:
    """Return LOGICAL BLOCK ADDRESS OUT OF RANGE."""
    return illegal_request(0x21)


class VirtualUnit:
    """One logical unit of a virtual host.

    Attributes:
        spec: What the configuration says of it.
        blocks: Logical blocks; 0 for a device without a medium.
        block_size: Bytes of a logical block.
        medium: Where the blocks are.
        table: Operation code → `Handler`; what is not in it is not supported.
        max_blocks: Most blocks in one READ or WRITE, as the Block Limits page says.
        plugged: False once it has been pulled out.
        siblings: LUNs of the same target, for REPORT LUNS; called at each command.
    """

    __slots__ = (
        "block_size",
        "blocks",
        "lun_in_cdb",
        "max_blocks",
        "medium",
        "plugged",
        "siblings",
        "spec",
        "table",
    )

    def __init__(
        self, spec: UnitSpec, table: Table, siblings: Callable[[], list[int]], *, has_blocks: bool
    ) -> None:
        self.spec = spec
        self.table = table
        self.siblings = siblings
        self.block_size = spec.block_size
        self.lun_in_cdb = spec.scsi_level <= 2
        self.medium: Medium
        if has_blocks and spec.file is not None:
            self.medium = FileMedium(spec.file, spec.size, writable=not spec.write_protected)
        else:
            self.medium = MemoryMedium(spec.size if has_blocks else 0)
        self.blocks = self.medium.size_bytes // spec.block_size
        self.max_blocks = MAX_TRANSFER_BYTES // spec.block_size
        self.plugged = True
        if has_blocks and not self.blocks:
            self.medium.close()
            raise NodeError(errno.EINVAL, f"{spec.file}: the file has not room for one block")

    def close(self, table: Table) -> None:
        """Let go of the medium, and answer by `table` from now on."""
        self.plugged, self.table = False, table
        self.medium.close()


Handler = Callable[["VirtualUnit", Command], None]
Table = Mapping[int, Handler]


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
        raise illegal_request(0x1A)
    command.residual = len(data) - length
    return data[:length]


def fail(command: Command, sense_data: bytes) -> None:
    """End a command with CHECK CONDITION; nothing was transferred."""
    command.status = Status.CHECK_CONDITION
    command.sense_data = sense_data
    command.residual = command.requested_bytes
