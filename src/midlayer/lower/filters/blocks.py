"""Which logical blocks a command is about, for rules that look for some of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from midlayer.standards.opcodes import Opcode

if TYPE_CHECKING:
    from midlayer.mid.command import Command


class _Place(NamedTuple):
    """Where a CDB has its LBA and its number of blocks, and what a number of 0 stands for there."""

    fields: struct.Struct
    none_means: int = 0
    lba_mask: int = (1 << 64) - 1


_AT_6 = _Place(struct.Struct(">IBx"), 256, 0x1FFFFF)  # the LBA is 21 bits of bytes 1 to 3
_AT_10 = _Place(struct.Struct(">2xIxH"))
_AT_12 = _Place(struct.Struct(">2xII"))
_AT_16 = _Place(struct.Struct(">2xQI"))
_AT_32 = _Place(struct.Struct(">12xQ8xI"))
_ACTIONS_32 = range(0x0009, 0x0010)

_PLACES: dict[int, _Place] = {
    **dict.fromkeys((Opcode.READ_6, Opcode.WRITE_6), _AT_6),
    **dict.fromkeys(
        (
            Opcode.READ_10, Opcode.WRITE_10, Opcode.WRITE_AND_VERIFY_10, Opcode.VERIFY_10,
            Opcode.PRE_FETCH_10, Opcode.SYNCHRONIZE_CACHE_10, Opcode.WRITE_SAME_10,
        ),
        _AT_10,
    ),
    **dict.fromkeys((Opcode.READ_12, Opcode.WRITE_12, Opcode.WRITE_AND_VERIFY_12, Opcode.VERIFY_12), _AT_12),
    **dict.fromkeys(
        (
            Opcode.READ_16, Opcode.WRITE_16, Opcode.ORWRITE_16, Opcode.WRITE_AND_VERIFY_16, Opcode.VERIFY_16,
            Opcode.PRE_FETCH_16, Opcode.SYNCHRONIZE_CACHE_16, Opcode.WRITE_SAME_16,
        ),
        _AT_16,
    ),
    Opcode.COMPARE_AND_WRITE: _Place(struct.Struct(">2xQ3xB")),
    Opcode.WRITE_ATOMIC_16: _Place(struct.Struct(">2xQ2xH")),
    Opcode.VARIABLE_LENGTH_CDB: _AT_32,
}  # fmt: skip

WITH_BLOCKS = frozenset(_PLACES)
"""Operation codes of commands that name logical blocks."""


def blocks_of(cdb: bytes) -> tuple[int, int] | None:
    """Return the first logical block of a command and how many there are; None if it has none, or is cut."""
    place = _PLACES.get(cdb[0])
    if place is None or not _names_blocks(cdb):
        return None
    try:
        lba, blocks = place.fields.unpack_from(cdb)
    except struct.error:
        return None
    return lba & place.lba_mask, blocks or place.none_means


def touches(opcode: int, first: int, last: int) -> Callable[[Command], bool]:
    """Return a test of the commands with one operation code: is one of these blocks among theirs?

    A command without a length, such as SYNCHRONIZE CACHE to the end of the medium, counts as one block.
    """
    unpack = _PLACES[opcode].fields.unpack_from
    if _PLACES[opcode] in (_AT_6, _AT_32):

        def among(command: Command) -> bool:
            blocks = blocks_of(command.cdb)
            return blocks is not None and blocks[0] <= last and first < blocks[0] + (blocks[1] or 1)

        return among

    def touched(command: Command) -> bool:
        try:
            lba, blocks = unpack(command.cdb)
        except struct.error:
            return False
        found: bool = lba <= last and first < lba + (blocks or 1)
        return found

    return touched


def service_action_of(cdb: bytes) -> int | None:
    """Return the service action; None if the CDB is too short to have one."""
    if cdb[0] == Opcode.VARIABLE_LENGTH_CDB:
        return int.from_bytes(cdb[8:10], "big") if len(cdb) >= 10 else None
    return cdb[1] & 0x1F if len(cdb) > 1 else None


def _names_blocks(cdb: bytes) -> bool:
    return cdb[0] != Opcode.VARIABLE_LENGTH_CDB or service_action_of(cdb) in _ACTIONS_32
