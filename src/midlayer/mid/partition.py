"""Partition tables, and the geometry that a PC's BIOS made of them (the kernel's ``scsicam``).

`bios_ptable` reads the table of a disk, `partsize` finds the geometry that it was written for, and
`bios_geometry` is what a program gets that asks for heads, sectors and cylinders.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

from midlayer.errors import DriverError, MidlayerError
from midlayer.mid.dispatch import execute
from midlayer.mid.recovery_callbacks import provides
from midlayer.standards.sbc import Read10, ReadCapacity10

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit

TABLE_AT, TABLE_BYTES = 0x1BE, 66
"""Where the table of a master boot record is: four entries of 16 bytes, and the signature."""

_SIGNATURE = b"\x55\xaa"
_ENTRY = struct.Struct("<B3sB3sII")
_GPT_HEADER = struct.Struct("<8sIII4xQQQQ16sQII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_PROTECTIVE = 0xEE
_TIMEOUT_S = 30.0
_RETRIES = 5
_MOST_ENTRY_BYTES = 4096
_MOST_ENTRIES = 1024


class Geometry(NamedTuple):
    """Heads and sectors are per cylinder and per track."""

    heads: int
    sectors: int
    cylinders: int


class Partition(NamedTuple):
    """One partition; both kinds of table, in blocks.

    Attributes:
        number: From 1, the place in the table.
        first_block: Where it begins.
        length_blocks: How long it is.
        type: ``0x83`` in a master boot record, a GUID in a GPT.
        name: Of a GPT partition; empty in a master boot record.
    """

    number: int
    first_block: int
    length_blocks: int
    type: str
    name: str = ""


def bios_ptable(device: LogicalUnit) -> bytes:
    """Read the partition table in a disk's first block, 66 bytes, whatever they are.

    Raises:
        CommandError: If the disk can not be read.
        DriverError: If it gave fewer than 512 bytes.
    """
    return _read(device, 0, 1)[TABLE_AT : TABLE_AT + TABLE_BYTES]


def partsize(table: bytes, capacity_blocks: int) -> Geometry | None:
    """Find the geometry for which a table was written, from the end of its last partition.

    Args:
        table: As `bios_ptable` gives it.
        capacity_blocks: Size of the disk.

    Returns:
        None if there is no table, or if it contradicts itself, as tables of large disks do.
    """
    entries = [entry for entry in _entries(table) if entry[2]]
    if not entries:
        return None
    last = max(entries, key=lambda entry: _cylinder(entry[1]))
    _, _, _, end, first, length = last
    heads, sectors, end_cylinder = end[0] + 1, end[1] & 0x3F, _cylinder(end)
    if not sectors:
        return None
    logical_end = first + length
    track_end = (heads - 1) * sectors + sectors
    beyond = (logical_end - track_end) // (heads * sectors)  # for more cylinders than an entry can say
    agrees = logical_end == end_cylinder * heads * sectors + track_end
    agrees_beyond = end_cylinder == 1023 and logical_end == beyond * heads * sectors + track_end
    if not (agrees or agrees_beyond):
        return None
    return Geometry(heads, sectors, capacity_blocks // (heads * sectors))


def usual_geometry(capacity_blocks: int) -> Geometry:
    """Return the geometry of a disk without a table: few cylinders first, then few sectors in a track."""
    cylinders, sectors = 1024, 62
    heads, rest = divmod(capacity_blocks, cylinders * sectors)
    if rest:
        heads += 1
        sectors, rest = divmod(capacity_blocks, cylinders * heads)
        if rest:
            sectors += 1
            cylinders = capacity_blocks // (heads * sectors)
    if 0 < heads <= 255 and 0 < sectors <= 63 and cylinders:
        return Geometry(heads, sectors, cylinders)
    heads, sectors = (255, 63) if capacity_blocks >> 11 > 65534 else (64, 32)
    return Geometry(heads, sectors, capacity_blocks // (heads * sectors))


def bios_geometry(device: LogicalUnit, capacity_blocks: int) -> Geometry:
    """Return heads, sectors and cylinders: the driver's word, else the table's, else the usual ones."""
    template = device.host.template
    if provides(template, "bios_param"):
        try:
            said = template.bios_param(device, capacity_blocks)
            if said is not None:
                return Geometry(*said)
        except Exception as error:
            raise DriverError(f"{device.address}: {device.host.name} raised in bios_param") from error
    try:
        found = partsize(bios_ptable(device), capacity_blocks)
    except MidlayerError:
        found = None  # a disk that can not be read has a geometry all the same
    return found or usual_geometry(capacity_blocks)


def partitions(device: LogicalUnit) -> list[Partition]:
    """Read the partitions of a disk, from its GPT if a protective entry says that there is one.

    Raises:
        CommandError: If the disk can not be read.
        DriverError: If it gave fewer bytes than were asked for.
    """
    table = bios_ptable(device)
    entries = _entries(table)
    if not any(entry[2] == _PROTECTIVE for entry in entries):
        return [
            Partition(number, first, length, f"{kind:#04x}")
            for number, (_, _, kind, _, first, length) in enumerate(entries, 1)
            if kind
        ]
    header = _read(device, 1, 1)
    place = gpt_array(header)
    if place is None or not place.entries:
        return []
    array = _read(device, place.first_block, -(-place.entries * place.entry_bytes // len(header)))
    return gpt_partitions(array, place)


class GptArray(NamedTuple):
    """Where the entries of a GPT are."""

    first_block: int
    entries: int
    entry_bytes: int


def gpt_array(header: bytes) -> GptArray | None:
    """Read the header of a GPT; None if it is none, or claims more than a disk can mean."""
    if len(header) < _GPT_HEADER.size or header[:8] != b"EFI PART":
        return None
    *_, at, count, size = _GPT_HEADER.unpack_from(header)
    if not _GPT_ENTRY.size <= size <= _MOST_ENTRY_BYTES or count > _MOST_ENTRIES or at >> 32:
        return None
    return GptArray(at, count, size)


def gpt_partitions(array: bytes, place: GptArray) -> list[Partition]:
    """Read the entries of a GPT, as many as there are bytes for; unused ones are left out."""
    found = []
    for number in range(min(place.entries, len(array) // place.entry_bytes)):
        kind, _, first, last, _, name = _GPT_ENTRY.unpack_from(array, number * place.entry_bytes)
        if any(kind) and first <= last:
            text = name.decode("utf-16-le", "replace").partition("\0")[0]
            guid = str(uuid.UUID(bytes_le=kind))
            found.append(Partition(number + 1, first, last - first + 1, guid, text))
    return found


def _entries(table: bytes) -> list[tuple[int, bytes, int, bytes, int, int]]:
    if table[64:66] != _SIGNATURE:
        return []
    return list(_ENTRY.iter_unpack(table[:64]))


def _cylinder(place: bytes) -> int:
    """Head, sector with two bits of the cylinder, and its other eight."""
    return place[2] | (place[1] & 0xC0) << 2


def _read(device: LogicalUnit, block: int, count: int) -> bytes:
    block_bytes = _block_bytes(device)
    buffer = bytearray(block_bytes * count)
    cdb = Read10(logical_block_address=block, transfer_length=count).encode()
    result = execute(
        device, cdb, data_in=memoryview(buffer), timeout_s=_TIMEOUT_S, allowed=_RETRIES
    ).raise_for_status()
    if len(result.data) < len(buffer):
        raise DriverError(f"{result}: {len(result.data)} bytes came, not {len(buffer)}")
    return bytes(buffer)


def _block_bytes(device: LogicalUnit) -> int:
    buffer = bytearray(8)
    execute(device, ReadCapacity10().encode(), data_in=memoryview(buffer), timeout_s=_TIMEOUT_S)
    length = int.from_bytes(buffer[4:], "big")
    return length if 512 <= length <= 1 << 16 else 512
