"""Commands of a virtual disk (SBC) that move blocks, and the part of them that a CD knows."""

from __future__ import annotations

from midlayer.lower.virtual.answers import fields, invalid_field, lba_out_of_range, no_data, send
from midlayer.lower.virtual.blocks import (
    FUA,
    Unpack,
    extent,
    unpack_6,
    unpack_10,
    unpack_12,
    unpack_16,
    write_protected,
)
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command, HostByte
from midlayer.standards import sbc
from midlayer.standards.opcodes import Opcode

# READ and WRITE are nearly all that a disk does. Their CDBs (`sbc.Read10` and its kin) are unpacked
# without a value in between, and each width gets its own function, made here, to save a call.


def _reader(unpack: Unpack, length_byte: int) -> Handler:
    def read(unit: VirtualUnit, command: Command) -> None:
        flags, lba, blocks = unpack(command.cdb)
        if flags & 0xE0 and not unit.lun_in_cdb:
            raise invalid_field(1, 7)
        if lba + blocks > unit.blocks:
            raise lba_out_of_range()
        if blocks > unit.max_blocks:
            raise invalid_field(length_byte)
        buffer = command.data_in
        if buffer is None:
            no_data(command)
            return
        block_size = unit.block_size
        length = blocks * block_size
        room = len(buffer)
        if command.borrows and unit.medium.lends_from_bytes <= room <= length:
            borrowed = unit.medium.borrow(lba * block_size, room)
            if borrowed is not None:
                command.data_in = borrowed
                return
        if room > length:
            command.residual = room - length
            buffer = buffer[:length]
        unit.medium.read_into(lba * block_size, buffer)

    return read


def _writer(unpack: Unpack, length_byte: int) -> Handler:
    def write(unit: VirtualUnit, command: Command) -> None:
        flags, lba, blocks = unpack(command.cdb)
        if flags & 0xE0 and not unit.lun_in_cdb:
            raise invalid_field(1, 7)
        if lba + blocks > unit.blocks:
            raise lba_out_of_range()
        if blocks > unit.max_blocks:
            raise invalid_field(length_byte)
        if unit.read_only:
            raise write_protected(unit)
        length = blocks * unit.block_size
        data = command.data_out if command.data_out is not None else b""
        if len(data) != length:
            if len(data) < length:
                # The initiator promised more than it has: a host adapter sees that, a device can not.
                command.host_byte = HostByte.DID_ERROR
                no_data(command)
                return
            command.residual = len(data) - length
            data = memoryview(data)[:length]
        with unit.exclusive:  # not between the two halves of a COMPARE AND WRITE
            unit.medium.write(lba * unit.block_size, data)
        if flags & FUA or unit.write_through:
            unit.medium.flush()

    return write


# An unpacker, and the CDB byte where the transfer length begins.
_WIDTHS: tuple[tuple[Unpack, int], ...] = (
    (unpack_6, 4),
    (unpack_10, 7),
    (unpack_12, 6),
    (unpack_16, 10),
)
read_6, read_10, read_12, read_16 = (_reader(*width) for width in _WIDTHS)
write_6, write_10, write_12, write_16 = (_writer(*width) for width in _WIDTHS)


def read_capacity_10(unit: VirtualUnit, command: Command) -> None:
    """READ CAPACITY(10) (SBC-3 5.15); FFFFFFFFh stands for a disk that needs READ CAPACITY(16)."""
    cdb = fields(sbc.ReadCapacity10, command)
    if cdb.logical_block_address and not cdb.pmi:
        raise invalid_field(2)
    last = min(unit.blocks - 1, 0xFFFFFFFF)
    data = sbc.ReadCapacity10Data(returned_logical_block_address=last, block_length_in_bytes=unit.block_size)
    send(command, data.encode(), 8)


def read_capacity_16(unit: VirtualUnit, command: Command) -> None:
    """READ CAPACITY(16) (SBC-3 5.16)."""
    cdb = fields(sbc.ReadCapacity16, command)
    if cdb.logical_block_address and not cdb.pmi:
        raise invalid_field(2)
    data = sbc.ReadCapacity16Data(
        returned_logical_block_address=unit.blocks - 1,
        block_length_in_bytes=unit.block_size,
        logical_blocks_per_physical_block_exponent=unit.spec.physical_exponent,
        lbpme=unit.spec.thin,
        lbprz=unit.spec.thin,
    )
    send(command, data.encode(), cdb.allocation_length)


def synchronize_cache(unit: VirtualUnit, command: Command) -> None:
    """SYNCHRONIZE CACHE(10) and (16) (SBC-3 5.22, 5.23)."""
    extent(unit, command.cdb, moves=False)
    unit.medium.flush()
    no_data(command)


def prefetch(unit: VirtualUnit, command: Command) -> None:
    """PRE-FETCH(10) and (16) (SBC-3 5.7, 5.8).

    GOOD, and not CONDITION MET: the disk has no cache of its own that it could promise to keep blocks in.
    """
    extent(unit, command.cdb, moves=False)
    no_data(command)


READ_ONLY_TABLE: dict[int, Handler] = {
    Opcode.READ_CAPACITY_10: read_capacity_10,
    Opcode.READ_10: read_10,
    Opcode.READ_12: read_12,
}

BLOCK_TABLE: dict[int, Handler] = {
    **READ_ONLY_TABLE,
    Opcode.READ_6: read_6,
    Opcode.READ_16: read_16,
    Opcode.WRITE_6: write_6,
    Opcode.WRITE_10: write_10,
    Opcode.WRITE_12: write_12,
    Opcode.WRITE_16: write_16,
    Opcode.SYNCHRONIZE_CACHE_10: synchronize_cache,
    Opcode.SYNCHRONIZE_CACHE_16: synchronize_cache,
    Opcode.PRE_FETCH_10: prefetch,
    Opcode.PRE_FETCH_16: prefetch,
}
