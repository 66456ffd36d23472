"""Who answers at an address: what the record says, what the device says now, and what differs."""

from __future__ import annotations

from typing import NamedTuple

from midlayer.errors import NodeError
from midlayer.mid.command import Result
from midlayer.mid.dispatch import execute
from midlayer.mid.inquiry import read_inquiry, read_vpd_pages
from midlayer.mid.logical_unit import Gate, LogicalUnit
from midlayer.standards.designators import wwid
from midlayer.standards.sbc import ReadCapacity10, ReadCapacity10Data, ReadCapacity16, ReadCapacity16Data
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.standards.spc import StandardInquiry
from midlayer.standards.vpd import UnitSerialNumber

CAPACITY_TIMEOUT_S = 30.0
_WITH_CAPACITY = frozenset(
    {
        Type.DIRECT_ACCESS,
        Type.CD_DVD,
        Type.OPTICAL_MEMORY,
        Type.SIMPLIFIED_DIRECT_ACCESS,
        Type.HOST_MANAGED_ZONED_BLOCK,
    }
)
_BEYOND_10 = 0xFFFFFFFF
_TRIES = 3


class Identity(NamedTuple):
    """What tells one unit from another. None is what nobody knows; it differs from nothing.

    Attributes:
        vendor, model, type, serial, wwid: Who it is: another value means another unit.
        revision, qualifier, capacity: How it is: another value means the same unit, changed.
    """

    vendor: str | None
    model: str | None
    type: int | None
    serial: str | None
    wwid: str | None
    revision: str | None
    qualifier: str | None
    capacity: str | None


WHO = ("vendor", "model", "type", "serial", "wwid")
"""What differs when another unit answers."""

Differences = dict[str, tuple[str, str]]


class Answer(NamedTuple):
    """What a device says of itself now.

    Attributes:
        identity: Who it is; None if it does not say.
        inquiry: Its standard INQUIRY data.
        vpd_pages: Its VPD pages, as a scan would keep them.
        reason: Why `identity` is None.
    """

    identity: Identity | None
    inquiry: bytes = b""
    vpd_pages: dict[int, bytes] | None = None
    reason: str = ""


def recorded(device: LogicalUnit, capacity: str | None = None) -> Identity:
    """Return the identity that is on record: what the scan, or the kernel, read from a device.

    Args:
        device: The device.
        capacity: From `read_capacity` when the record was made; None if it was not read.
    """
    if not device.inquiry_data:
        return Identity(*[None] * len(Identity._fields))
    return _identity(device.inquiry_data, device.vpd_pages, capacity)


def ask(device: LogicalUnit) -> Answer:
    """Ask a device who it is: INQUIRY, VPD pages and capacity. Changes nothing of what is on record."""
    if device.gate is not Gate.OPEN:
        return Answer(None, reason=f"it can not be asked, because it is {device.state.value}")
    try:
        flags = device.flags
        inquiry = read_inquiry(device)
        device.flags = flags  # the quirks of whoever answers now are not those of who was there
        if inquiry is None:
            return Answer(None, reason="it does not answer INQUIRY")
        standard = StandardInquiry.decode(inquiry)
        if standard.peripheral_qualifier == 0b011:
            return Answer(None, inquiry, reason="its target answers with qualifier 011b: no unit there")
        pages = read_vpd_pages(device)
        ready = standard.peripheral_qualifier == 0
        capacity = read_capacity(device, standard.peripheral_device_type) if ready else None
    except NodeError as error:
        return Answer(None, reason=str(error))
    return Answer(_identity(inquiry, pages, capacity), inquiry, pages)


def difference(before: Identity, now: Identity) -> Differences:
    """Return what differs, before and now, by name; what is not known on either side does not differ."""
    return {
        key: (str(old), str(new))
        for key, old, new in zip(Identity._fields, before, now, strict=True)
        if old is not None and new is not None and old != new
    }


def is_replaced(differences: Differences) -> bool:
    """Return whether differences mean that another unit answers."""
    return any(key in WHO for key in differences)


def read_capacity(device: LogicalUnit, device_type: int) -> str | None:
    """Return blocks and block size, such as ``2048x512``; None for a device without, or that will not say."""
    if device_type not in _WITH_CAPACITY:
        return None
    result = _try(device, ReadCapacity10().encode(), 8)
    if not result.ok or len(result.data) < 8:
        return None
    short = ReadCapacity10Data.decode(bytes(result.data))
    if short.returned_logical_block_address != _BEYOND_10:
        return f"{short.returned_logical_block_address + 1}x{short.block_length_in_bytes}"
    result = _try(device, ReadCapacity16(allocation_length=32).encode(), 32)
    if not result.ok or len(result.data) < 12:
        return None
    long = ReadCapacity16Data.decode(bytes(result.data))
    return f"{long.returned_logical_block_address + 1}x{long.block_length_in_bytes}"


def _try(device: LogicalUnit, cdb: bytes, length: int) -> Result:
    """Run a command, and again if all that came was a unit attention."""
    for _ in range(_TRIES):
        buffer = bytearray(length)
        result = execute(
            device, cdb, data_in=memoryview(buffer), timeout_s=CAPACITY_TIMEOUT_S, passthrough=True
        )
        sense = None if result.host_byte else result.sense
        if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
            break
    return result


def _identity(inquiry: bytes, pages: dict[int, bytes], capacity: str | None) -> Identity:
    standard = StandardInquiry.decode(inquiry)
    return Identity(
        vendor=standard.vendor,
        model=standard.product,
        type=int(standard.peripheral_device_type),
        serial=_text(pages, 0x80, _serial),
        wwid=_text(pages, 0x83, lambda page: wwid(page) or ""),
        revision=standard.revision,
        qualifier=f"{standard.peripheral_qualifier:03b}b",
        capacity=capacity,
    )


def _text(pages: dict[int, bytes], code: int, read: object) -> str | None:
    """Return what a page says; empty if the device lists no such page, None if nobody knows."""
    page = pages.get(code)
    if page is None:
        return "" if 0x00 in pages and code not in pages[0x00][4:] else None
    assert callable(read)
    return str(read(page))


def _serial(page: bytes) -> str:
    try:
        return UnitSerialNumber.decode(page).text
    except ValueError:
        return ""
