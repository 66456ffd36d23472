"""What the commands of a block device share: where an LBA and a length stand, and what they may be."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from midlayer.lower.virtual.answers import CheckCondition, invalid_field, lba_out_of_range
from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.standards.sense import SenseKey

FUA = 0x08

CHUNK_BYTES = 1 << 20
"""How much of a long range is moved at once."""

Unpack = Callable[[bytes], tuple[int, ...]]

# Flags, LBA and length of the block commands of each width (SBC-3 5.11 to 5.13 and all that are like them).
_unpack_any_6 = Struct(">xBHBx").unpack_from
unpack_10: Unpack = Struct(">xBIxHx").unpack_from
unpack_12: Unpack = Struct(">xBIIxx").unpack_from
unpack_16: Unpack = Struct(">xBQIxx").unpack_from


def unpack_6(cdb: bytes) -> tuple[int, int, int]:
    """Return flags, LBA and length of READ(6) and WRITE(6), whose length 0 means 256."""
    high, low, blocks = _unpack_any_6(cdb)
    return 0, (high & 0x1F) << 16 | low, blocks or 256


_BY_GROUP: dict[int, tuple[Unpack, int]] = {
    0: (unpack_6, 4),
    1: (unpack_10, 7),
    2: (unpack_10, 7),
    4: (unpack_16, 10),
    5: (unpack_12, 6),
}
"""Group of the operation code → unpacker, and the CDB byte where the length begins."""


class Extent(NamedTuple):
    """Flags of byte 1, first block and number of blocks of a command."""

    flags: int
    lba: int
    blocks: int


def extent(unit: VirtualUnit, cdb: bytes, *, moves: bool = True) -> Extent:
    """Return what a command is about.

    Args:
        unit: That it is for.
        cdb: Of 10, 12 or 16 bytes, with the LBA where READ has it.
        moves: The blocks are transferred, so that the most that one transfer moves is the limit.

    Raises:
        CheckCondition: Blocks that are not there, too many of them, or protection information.
    """
    unpack, length_byte = _BY_GROUP[cdb[0] >> 5]
    flags, lba, blocks = unpack(cdb)
    if flags & 0xE0 and not unit.lun_in_cdb:
        raise invalid_field(1, 7)
    if lba + blocks > unit.blocks:
        raise lba_out_of_range()
    if moves and blocks > unit.max_blocks:
        raise invalid_field(length_byte)
    return Extent(flags, lba, blocks)


def write_protected(unit: VirtualUnit) -> CheckCondition:
    """Return why nothing may be written: the medium is protected, or MODE SELECT has set SWP."""
    return CheckCondition(SenseKey.DATA_PROTECT, 0x27, 0x00 if unit.spec.write_protected else 0x02)


def check_writable(unit: VirtualUnit) -> None:
    """Raise CheckCondition DATA PROTECT if nothing may be written."""
    if unit.read_only:
        raise write_protected(unit)


def written(unit: VirtualUnit, flags: int = 0) -> None:
    """Make what was written safe if FUA, or a cache that is turned off, asks for it."""
    if flags & FUA or unit.write_through:
        unit.medium.flush()


def compare(unit: VirtualUnit, lba: int, blocks: int, expected: bytes) -> None:
    """Compare blocks with `expected`, over and over again if it is shorter than they are.

    Raises:
        CheckCondition: MISCOMPARE; INFORMATION says at which byte.
    """
    start, end = lba * unit.block_size, (lba + blocks) * unit.block_size
    for at in range(start, end, len(expected)):
        stored = bytearray(min(len(expected), end - at))
        unit.medium.read_into(at, memoryview(stored))
        if not expected.startswith(stored):
            pairs = zip(stored, expected, strict=False)
            offset = at - start + next(index for index, (one, other) in enumerate(pairs) if one != other)
            raise CheckCondition(SenseKey.MISCOMPARE, 0x1D, information=offset)


def put(unit: VirtualUnit, lba: int, data: bytes | memoryview) -> None:
    """Write blocks, but not between what another command reads and what it writes for that."""
    with unit.exclusive:
        unit.medium.write(lba * unit.block_size, data)


def erase(unit: VirtualUnit, lba: int, blocks: int) -> None:
    """Make blocks zeros, and give their room back."""
    with unit.exclusive:
        unit.medium.zero(lba * unit.block_size, blocks * unit.block_size)


def fill(unit: VirtualUnit, lba: int, blocks: int, pattern: bytes) -> None:
    """Write a block again and again."""
    step = max(1, CHUNK_BYTES // unit.block_size)
    chunk = memoryview(pattern * min(step, blocks))
    for at in range(lba, lba + blocks, step):
        count = min(step, lba + blocks - at)
        put(unit, at, chunk[: count * unit.block_size])
