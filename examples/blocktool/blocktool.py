"""A small storage program: who is this disk, and a copy of it that survives bad blocks."""

from __future__ import annotations

from collections.abc import Iterator

from midlayer import CommandError, Device
from midlayer.errors import MediumError
from midlayer.standards.sbc import Read10, ReadCapacity10, ReadCapacity10Data
from midlayer.standards.spc import Inquiry
from midlayer.standards.vpd import UnitSerialNumber

BLOCKS_AT_ONCE = 8


def serial_number(disk: Device) -> str:
    """Return the unit serial number (VPD page 80h)."""
    cdb = Inquiry(evpd=True, page_code=0x80, allocation_length=252).encode()
    page = disk.execute(cdb, data_in=252).raise_for_status().data
    return UnitSerialNumber.decode(bytes(page)).serial.decode().strip()


def blocks(disk: Device) -> Iterator[bytes | None]:
    """Yield every block of a disk; None for one that can not be read.

    Raises:
        CommandError: If the disk fails in any other way.
    """
    capacity = ReadCapacity10Data.decode(
        bytes(disk.execute(ReadCapacity10().encode(), data_in=8).raise_for_status().data)
    )
    size, end = capacity.block_length_in_bytes, capacity.returned_logical_block_address + 1
    for first in range(0, end, BLOCKS_AT_ONCE):
        count = min(BLOCKS_AT_ONCE, end - first)
        try:
            data = _read(disk, first, count, size)
        except MediumError:  # one of them is bad: find out which
            yield from (_read_or_none(disk, lba, size) for lba in range(first, first + count))
        else:
            yield from (data[at : at + size] for at in range(0, len(data), size))


def _read(disk: Device, first: int, count: int, size: int) -> bytes:
    cdb = Read10(logical_block_address=first, transfer_length=count).encode()
    return bytes(disk.execute(cdb, data_in=count * size).raise_for_status().data)


def _read_or_none(disk: Device, lba: int, size: int) -> bytes | None:
    try:
        return _read(disk, lba, 1, size)
    except MediumError:
        return None


__all__ = ["CommandError", "blocks", "serial_number"]
