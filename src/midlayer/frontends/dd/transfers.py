"""CDBs that move blocks: READ, WRITE and VERIFY of every size."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from midlayer.errors import UsageError
from midlayer.standards.opcodes import Opcode

_LIMITS = {6: (1 << 21, 256), 10: (1 << 32, 0xFFFF), 12: (1 << 32, 0xFFFFFFFF), 16: (1 << 64, 0xFFFFFFFF)}
"""By CDB size: addresses, and blocks in one command."""

_pack_6 = Struct(">BBHBx").pack
_pack_10 = Struct(">BBIxHx").pack
_pack_12 = Struct(">BBIIxx").pack
_pack_16 = Struct(">BBQIxx").pack

_DPO, _FUA, _BYTCHK = 0x10, 0x08, 0x02

OPCODES: dict[str, dict[int, Opcode]] = {
    "read": {6: Opcode.READ_6, 10: Opcode.READ_10, 12: Opcode.READ_12, 16: Opcode.READ_16},
    "write": {6: Opcode.WRITE_6, 10: Opcode.WRITE_10, 12: Opcode.WRITE_12, 16: Opcode.WRITE_16},
    "verify": {10: Opcode.VERIFY_10, 12: Opcode.VERIFY_12, 16: Opcode.VERIFY_16},
}

MakeCdb = Callable[[int, int], bytes]
"""From an address and a number of blocks to a CDB."""


def maker(
    kind: str, wanted: int, *, last_lba: int, most_blocks: int, flags: frozenset[str], name: str
) -> MakeCdb:
    """Return the function that makes the CDBs of a copy.

    Args:
        kind: ``read``, ``write`` or ``verify``, a key of `OPCODES`.
        wanted: Bytes of a CDB; 0 for 10, or 16 where the numbers need it.
        last_lba, most_blocks: Greatest address and number of blocks of the copy.
        flags: ``dpo`` and ``fua`` are looked at.
        name: Of the device, for errors.

    Raises:
        UsageError: If the numbers do not fit into a CDB of the size that is wanted.
    """
    size = wanted or (10 if _fits(10, last_lba, most_blocks) else 16)
    if kind == "verify" and size == 6:
        size = 10
    if not _fits(size, last_lba, most_blocks):
        lbas, blocks = _LIMITS[size]
        raise UsageError(
            f"dd: {name}: cdbsz={size} reaches {lbas} blocks and moves {blocks} at once; "
            f"this copy needs block {last_lba} and {most_blocks} at once"
        )
    if size == 6 and flags & {"dpo", "fua"}:
        raise UsageError(f"dd: {name}: a CDB of 6 bytes has no DPO and no FUA bit; give cdbsz=10 or more")
    opcode = OPCODES[kind][size]
    bits = (_DPO if "dpo" in flags else 0) | (_FUA if "fua" in flags and kind != "verify" else 0)
    bits |= _BYTCHK if kind == "verify" else 0
    if size == 6:
        return lambda lba, blocks: _pack_6(opcode, lba >> 16, lba & 0xFFFF, blocks & 0xFF)
    pack = {10: _pack_10, 12: _pack_12, 16: _pack_16}[size]
    return lambda lba, blocks: pack(opcode, bits, lba, blocks)


def _fits(size: int, last_lba: int, most_blocks: int) -> bool:
    lbas, blocks = _LIMITS[size]
    return last_lba < lbas and most_blocks <= blocks
