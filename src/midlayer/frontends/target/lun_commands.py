"""What the target answers itself: REPORT LUNS for what an initiator sees, and LUNs that are not there."""

from __future__ import annotations

from collections.abc import Iterable

from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import FieldPointer, SenseKey, descriptor_sense, fixed_sense

NO_LOGICAL_UNIT = b"\x7f\x00\x06\x02\x1f" + bytes(31)
"""Standard INQUIRY data of a LUN that is not there: qualifier 011b, type 1Fh (SPC-4 6.6.2)."""

LUN_NOT_SUPPORTED = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x25)
WRITE_PROTECTED = fixed_sense(SenseKey.DATA_PROTECT, 0x27)
REPORT_LUNS_WELL_KNOWN = bytes.fromhex("c101000000000000")

READS_ONLY = frozenset(
    {
        *(0x00, 0x03, 0x08, 0x12, 0x16, 0x17, 0x1A, 0x1B, 0x1C, 0x1E, 0x25, 0x28, 0x2F, 0x34, 0x35),
        *(0x37, 0x3C, 0x43, 0x46, 0x4A, 0x4D, 0x5A, 0x5E, 0x5F, 0x84, 0x88, 0x8C, 0x8F, 0x90, 0x91),
        *(0x9E, 0xA0, 0xA3, 0xA8, 0xAB, 0xAD, 0xAF, 0xB7, 0xB9, 0xBE),
        # A tape that is wound, a changer that is looked at, a track: to a disk these say nothing that writes.
        *(0x01, 0x05, 0x11, 0x2B, 0x44, 0x52, 0x92, 0xB8),
    }
)
"""Operation codes that a read-only export lets through: those that change no data, by the standards of
disks, CDs, tapes and changers."""

_MODE_SENSE: dict[int, int] = {Opcode.MODE_SENSE_6: 2, Opcode.MODE_SENSE_10: 3}
_WP = 0x80


class Refusal(Exception):
    """The answer is CHECK CONDITION."""

    def __init__(self, sense: bytes) -> None:
        self.sense = sense


def report_luns(cdb: bytes, luns: Iterable[bytes]) -> bytes:
    """Return what REPORT LUNS gives (SPC-4 6.33), cut to its allocation length.

    Raises:
        Refusal: For a SELECT REPORT that is reserved, or an allocation length below 16.
    """
    select, allocation = cdb[2], int.from_bytes(cdb[6:10], "big")
    if select > 2:
        raise _invalid_field(2)
    if allocation < 16:
        raise _invalid_field(6)
    entries = b"".join(luns) if select != 1 else b""
    return (len(entries).to_bytes(4, "big") + bytes(4) + entries)[:allocation]


def answer_for_missing(cdb: bytes) -> bytes:
    """Return the data for a LUN that is not there, or that the initiator must not see.

    Raises:
        Refusal: LOGICAL UNIT NOT SUPPORTED for all but INQUIRY and REQUEST SENSE.
    """
    if cdb[0] == Opcode.INQUIRY:
        if cdb[1] & 3 or cdb[2]:
            raise _invalid_field(1 if cdb[1] & 3 else 2)
        return NO_LOGICAL_UNIT[: int.from_bytes(cdb[3:5], "big")]
    if cdb[0] == Opcode.REQUEST_SENSE:
        encode = descriptor_sense if cdb[1] & 1 else fixed_sense
        return encode(SenseKey.ILLEGAL_REQUEST, 0x25)[: cdb[4]]
    raise Refusal(LUN_NOT_SUPPORTED)


def show_write_protection(cdb: bytes, data: memoryview) -> memoryview:
    """Return MODE SENSE data of a read-only export: with WP set, whatever the device says."""
    at = _MODE_SENSE.get(cdb[0])
    if at is None or len(data) <= at:
        return data
    changed = bytearray(data)
    changed[at] |= _WP
    return memoryview(changed)


def _invalid_field(byte: int) -> Refusal:
    pointer = FieldPointer(in_cdb=True, byte=byte, bit=None)
    return Refusal(fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x24, field_pointer=pointer))
