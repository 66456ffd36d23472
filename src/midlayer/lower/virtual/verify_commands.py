"""Commands of a virtual disk that look at blocks before or after they write: VERIFY and its kin (SBC)."""

from __future__ import annotations

from midlayer.lower.virtual.answers import invalid_field, no_data, received
from midlayer.lower.virtual.blocks import CHUNK_BYTES, Extent, check_writable, compare, extent, put, written
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode

_BYTCHK_BLOCKS, _BYTCHK_RESERVED, _BYTCHK_ONE_BLOCK = 1, 2, 3


def verify(unit: VirtualUnit, command: Command) -> None:
    """VERIFY(10), (12) and (16) (SBC-3 5.29 to 5.31).

    BYTCHK 01b compares block for block, 11b one block with all of them.
    """
    flags, lba, blocks = extent(unit, command.cdb, moves=False)
    bytchk = flags >> 1 & 3
    if bytchk == _BYTCHK_RESERVED:
        raise invalid_field(1, 2)
    if not bytchk or not blocks:
        no_data(command)
        return
    sent = 1 if bytchk == _BYTCHK_ONE_BLOCK else blocks
    if sent > unit.max_blocks:
        raise invalid_field(1, 2)
    expected = bytes(received(command, sent * unit.block_size))
    if bytchk == _BYTCHK_ONE_BLOCK:
        expected *= max(1, min(blocks, CHUNK_BYTES // unit.block_size))
    compare(unit, lba, blocks, expected)


def write_and_verify(unit: VirtualUnit, command: Command) -> None:
    """WRITE AND VERIFY(10), (12) and (16) (SBC-3 5.36 to 5.38): the data is on the medium at the end."""
    flags, lba, blocks = extent(unit, command.cdb)
    if flags >> 1 & 3 not in (0, _BYTCHK_BLOCKS):
        raise invalid_field(1, 2)
    check_writable(unit)
    data = bytes(received(command, blocks * unit.block_size))
    if blocks:
        with unit.exclusive:  # what another command writes meanwhile would be a miscompare
            unit.medium.write(lba * unit.block_size, data)
            compare(unit, lba, blocks, data)
        unit.medium.flush()


def compare_and_write(unit: VirtualUnit, command: Command) -> None:
    """COMPARE AND WRITE (SBC-3 5.2): half of the data is compared, the other half written if it is equal."""
    flags, lba, blocks = _at_byte_13(unit, command)
    check_writable(unit)
    length = blocks * unit.block_size
    data = bytes(received(command, 2 * length))
    if not blocks:
        if command.data_out:  # 256 blocks do not fit in the CDB; GOOD would pass for a lock that was taken
            raise invalid_field(13)
        return
    with unit.exclusive:
        compare(unit, lba, blocks, data[:length])
        unit.medium.write(lba * unit.block_size, data[length:])
    written(unit, flags)


def _at_byte_13(unit: VirtualUnit, command: Command) -> Extent:
    """Decode a CDB whose number of blocks has one byte."""
    cdb = command.cdb
    return extent(unit, cdb[:10] + bytes(3) + cdb[13:14] + cdb[14:])


def or_write(unit: VirtualUnit, command: Command) -> None:
    """ORWRITE(16) (SBC-3 5.6): what is stored, or what is sent, bit by bit."""
    flags, lba, blocks = extent(unit, command.cdb)
    check_writable(unit)
    length = blocks * unit.block_size
    data = received(command, length)
    if not blocks:
        return
    stored = bytearray(length)
    with unit.exclusive:
        unit.medium.read_into(lba * unit.block_size, memoryview(stored))
        merged = int.from_bytes(stored, "big") | int.from_bytes(data, "big")
        unit.medium.write(lba * unit.block_size, merged.to_bytes(length, "big"))
    written(unit, flags)


def write_atomic(unit: VirtualUnit, command: Command) -> None:
    """WRITE ATOMIC(16) (SBC-4 5.48): a length of 16 bits, after an atomic boundary, which has to be zero."""
    cdb = command.cdb
    if cdb[10:12] != b"\0\0":
        raise invalid_field(10)
    flags, lba, blocks = extent(unit, cdb)
    check_writable(unit)
    put(unit, lba, received(command, blocks * unit.block_size))
    written(unit, flags)


VERIFY_TABLE: dict[int, Handler] = {
    Opcode.VERIFY_10: verify,
    Opcode.VERIFY_12: verify,
    Opcode.VERIFY_16: verify,
    Opcode.WRITE_AND_VERIFY_10: write_and_verify,
    Opcode.WRITE_AND_VERIFY_12: write_and_verify,
    Opcode.WRITE_AND_VERIFY_16: write_and_verify,
    Opcode.COMPARE_AND_WRITE: compare_and_write,
    Opcode.ORWRITE_16: or_write,
    Opcode.WRITE_ATOMIC_16: write_atomic,
}
