"""Which logical blocks a command is about, for rules that look for some of them."""

from __future__ import annotations

from typing import NamedTuple

from midlayer.standards.opcodes import Opcode


class _Place(NamedTuple):
    """Where a CDB has its LBA and its number of blocks: offsets and lengths in bytes."""

    lba: int
    lba_bytes: int
    blocks: int
    blocks_bytes: int


_AT_10, _AT_12, _AT_16 = _Place(2, 4, 7, 2), _Place(2, 4, 6, 4), _Place(2, 8, 10, 4)
_AT_32 = _Place(12, 8, 28, 4)
_SIX = frozenset({Opcode.READ_6, Opcode.WRITE_6})
_ACTIONS_32 = range(0x0009, 0x0010)

_PLACES: dict[int, _Place] = {
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
    Opcode.COMPARE_AND_WRITE: _Place(2, 8, 13, 1),
    Opcode.WRITE_ATOMIC_16: _Place(2, 8, 12, 2),
}  # fmt: skip


def blocks_of(cdb: bytes) -> tuple[int, int] | None:
    """Return the first logical block of a command and how many there are; None if it has none, or is cut."""
    if cdb[0] in _SIX:
        if len(cdb) < 6:
            return None
        return int.from_bytes(cdb[1:4], "big") & 0x1FFFFF, cdb[4] or 256
    place = _PLACES.get(cdb[0])
    if cdb[0] == Opcode.VARIABLE_LENGTH_CDB and int.from_bytes(cdb[8:10], "big") in _ACTIONS_32:
        place = _AT_32
    if place is None or len(cdb) < place.blocks + place.blocks_bytes:
        return None
    first = int.from_bytes(cdb[place.lba : place.lba + place.lba_bytes], "big")
    return first, int.from_bytes(cdb[place.blocks : place.blocks + place.blocks_bytes], "big")


def service_action_of(cdb: bytes) -> int | None:
    """Return the service action; None if the CDB is too short to have one."""
    if cdb[0] == Opcode.VARIABLE_LENGTH_CDB:
        return int.from_bytes(cdb[8:10], "big") if len(cdb) >= 10 else None
    return cdb[1] & 0x1F if len(cdb) > 1 else None
