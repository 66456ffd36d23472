"""Commands and data of media changers (SMC-3): CDBs, element status, mode pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import DecodeError, Layout, bits, flag, text, uint

__all__ = [
    "DeviceCapabilitiesPage",
    "Element",
    "ElementAddressPage",
    "ElementDescriptor",
    "ElementType",
    "ExchangeMedium",
    "InitializeWithRange",
    "MoveMedium",
    "PositionToElement",
    "ReadElementStatus",
    "VolumeTag",
    "decode_element_status",
    "encode_element_status",
]


class ElementType(IntEnum):
    """ELEMENT TYPE CODE (SMC-3 table 4)."""

    ALL = 0
    MEDIUM_TRANSPORT = 1
    STORAGE = 2
    IMPORT_EXPORT = 3
    DATA_TRANSFER = 4


class InitializeWithRange(Layout, size=10):
    """INITIALIZE ELEMENT STATUS WITH RANGE (SMC-3 6.4)."""

    opcode = uint(0, const=0x37)
    fast: bool = flag(1, 1)
    range: bool = flag(1, 0)
    starting_element_address: int = uint(2, 2)
    number_of_elements: int = uint(6, 2)
    control: int = uint(9)


class PositionToElement(Layout, size=10):
    """POSITION TO ELEMENT (SMC-3 6.8)."""

    opcode = uint(0, const=0x2B)
    medium_transport_address: int = uint(2, 2)
    destination_address: int = uint(4, 2)
    invert: bool = flag(8, 0)
    control: int = uint(9)


class MoveMedium(Layout, size=12):
    """MOVE MEDIUM (SMC-3 6.6)."""

    opcode = uint(0, const=0xA5)
    medium_transport_address: int = uint(2, 2)
    source_address: int = uint(4, 2)
    destination_address: int = uint(6, 2)
    invert: bool = flag(10, 0)
    control: int = uint(11)


class ExchangeMedium(Layout, size=12):
    """EXCHANGE MEDIUM (SMC-3 6.2): source to first destination, what was there to the second."""

    opcode = uint(0, const=0xA6)
    medium_transport_address: int = uint(2, 2)
    source_address: int = uint(4, 2)
    first_destination_address: int = uint(6, 2)
    second_destination_address: int = uint(8, 2)
    inv1: bool = flag(10, 1)
    inv2: bool = flag(10, 0)
    control: int = uint(11)


class ReadElementStatus(Layout, size=12):
    """READ ELEMENT STATUS (SMC-3 6.11)."""

    opcode = uint(0, const=0xB8)
    voltag: bool = flag(1, 4)
    element_type_code: int = bits(1, 3, 0)
    starting_element_address: int = uint(2, 2)
    number_of_elements: int = uint(4, 2)
    curdata: bool = flag(6, 1)
    dvcid: bool = flag(6, 0)
    allocation_length: int = uint(7, 3)
    control: int = uint(11)


class StatusHeader(Layout, size=8):
    """Element status data header (SMC-3 table 26)."""

    first_element_address_reported: int = uint(0, 2)
    number_of_elements_available: int = uint(2, 2)
    byte_count_of_report_available: int = uint(5, 3)


class StatusPageHeader(Layout, size=8):
    """Element status page header (SMC-3 table 27)."""

    element_type_code: int = uint(0)
    pvoltag: bool = flag(1, 7)
    avoltag: bool = flag(1, 6)
    element_descriptor_length: int = uint(2, 2)
    byte_count_of_descriptor_data_available: int = uint(5, 3)


class ElementDescriptor(Layout, size=12):
    """The part of an element descriptor that all types have in common (SMC-3 6.11.3 to 6.11.6).

    The four bits from `oir` to `exenab` and `impexp` are those of an import/export element alone.
    """

    element_address: int = uint(0, 2)
    oir: bool = flag(2, 7)
    cmc: bool = flag(2, 6)
    inenab: bool = flag(2, 5)
    exenab: bool = flag(2, 4)
    access: bool = flag(2, 3)
    exception: bool = flag(2, 2)
    impexp: bool = flag(2, 1)
    full: bool = flag(2, 0)
    additional_sense_code: int = uint(4)
    additional_sense_code_qualifier: int = uint(5)
    svalid: bool = flag(9, 7)
    invert: bool = flag(9, 6)
    ed: bool = flag(9, 3)
    medium_type: int = bits(9, 2, 0)
    source_storage_element_address: int = uint(10, 2)


class VolumeTag(Layout, size=36):
    """Volume tag information (SMC-3 table 8)."""

    volume_identifier: str = text(0, 32)
    volume_sequence_number: int = uint(34, 2)


class DeviceIdentifier(Layout, size=4):
    """What goes before the identifier of a data transfer device (SMC-3 table 30)."""

    code_set: int = bits(0, 3, 0)
    identifier_type: int = bits(1, 3, 0)
    identifier_length: int = uint(3)


class ElementAddressPage(Layout, size=20):
    """Mode page 1Dh, Element Address Assignment (SMC-3 7.3.4)."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x1D)
    page_length = uint(1, const=18, strict=False)
    first_medium_transport_element_address: int = uint(2, 2)
    number_of_medium_transport_elements: int = uint(4, 2)
    first_storage_element_address: int = uint(6, 2)
    number_of_storage_elements: int = uint(8, 2)
    first_import_export_element_address: int = uint(10, 2)
    number_of_import_export_elements: int = uint(12, 2)
    first_data_transfer_element_address: int = uint(14, 2)
    number_of_data_transfer_elements: int = uint(16, 2)


class TransportGeometryPage(Layout, size=4):
    """Mode page 1Eh, Transport Geometry Parameters (SMC-3 7.3.5), of one transport that can not rotate."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x1E)
    page_length = uint(1, const=2, strict=False)
    rotate: bool = flag(2, 0)
    member_number_in_transport_element_set: int = uint(3)


class DeviceCapabilitiesPage(Layout, size=20):
    """Mode page 1Fh, Device Capabilities (SMC-3 7.3.2).

    Each number has a bit for a kind of element: 8 data transfer, 4 import/export, 2 storage, 1 transport.
    """

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x1F)
    page_length = uint(1, const=18, strict=False)
    stores: int = bits(2, 3, 0)
    from_transport: int = bits(4, 3, 0)
    from_storage: int = bits(5, 3, 0)
    from_import_export: int = bits(6, 3, 0)
    from_data_transfer: int = bits(7, 3, 0)
    exchange_transport: int = bits(12, 3, 0)
    exchange_storage: int = bits(13, 3, 0)
    exchange_import_export: int = bits(14, 3, 0)
    exchange_data_transfer: int = bits(15, 3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of READ ELEMENT STATUS.

    Attributes:
        kind: Element type code.
        status: The common part of its descriptor.
        tag: Volume tag of the medium in it; None if tags were not asked for.
        device: Designator of the device in it, as text; empty if there is none, or it was not asked for.
    """

    kind: int
    status: ElementDescriptor
    tag: VolumeTag | None = None
    device: str = ""


_ASCII, _T10_VENDOR = 2, 1


def encode_element_status(by_kind: Mapping[int, Sequence[Element]], *, tags: bool, devices: bool) -> bytes:
    """Return READ ELEMENT STATUS data.

    Args:
        by_kind: The elements of each type that has some, in the order in which types are reported.
        tags: Each descriptor has a primary volume tag.
        devices: Data transfer elements have the designator of their device.
    """
    pages, addresses = b"", []
    for kind, listed in by_kind.items():
        if not listed:
            continue
        addresses += [one.status.element_address for one in listed]
        length = max(len(one.device) for one in listed) if devices else 0
        descriptors = [_encode_element(one, length, tags=tags) for one in listed]
        pages += StatusPageHeader(
            element_type_code=kind,
            pvoltag=tags,
            element_descriptor_length=len(descriptors[0]),
            byte_count_of_descriptor_data_available=sum(map(len, descriptors)),
        ).encode() + b"".join(descriptors)
    head = StatusHeader(
        first_element_address_reported=min(addresses, default=0),
        number_of_elements_available=len(addresses),
        byte_count_of_report_available=len(pages),
    )
    return head.encode() + pages


def _encode_element(element: Element, device_length: int, *, tags: bool) -> bytes:
    data = element.status.encode()
    if tags:
        data += (element.tag or VolumeTag()).encode() if element.status.full else bytes(VolumeTag.size)
    known = bool(element.device and device_length)
    data += DeviceIdentifier(
        code_set=_ASCII if known else 0,
        identifier_type=_T10_VENDOR if known else 0,
        identifier_length=len(element.device) if known else 0,
    ).encode()
    return data + element.device.encode("ascii")[:device_length].ljust(device_length, b"\0")


def decode_element_status(data: bytes) -> list[Element]:
    """Take READ ELEMENT STATUS data apart; elements that are whole, as far as the data goes.

    Raises:
        DecodeError: The header is not there, or a descriptor is shorter than the standard has it.
    """
    if len(data) < StatusHeader.size:
        raise DecodeError(f"element status: {len(data)} bytes, {StatusHeader.size} needed")
    head = StatusHeader.decode(data)
    end = min(len(data), StatusHeader.size + head.byte_count_of_report_available)
    found: list[Element] = []
    at = StatusHeader.size
    while at + StatusPageHeader.size <= end:
        page = StatusPageHeader.decode(data[at:])
        at += StatusPageHeader.size
        size = page.element_descriptor_length
        if size < ElementDescriptor.size:
            raise DecodeError(f"element status: descriptors of {size} bytes, {ElementDescriptor.size} needed")
        last = min(end, at + page.byte_count_of_descriptor_data_available)
        found += [_decode_element(page, data[one : one + size]) for one in range(at, last - size + 1, size)]
        at = last
    return found


def _decode_element(page: StatusPageHeader, data: bytes) -> Element:
    at, tag = ElementDescriptor.size, None
    if page.pvoltag:
        tag = VolumeTag.decode(data[at:])
        at += VolumeTag.size
    if page.avoltag:
        at += VolumeTag.size
    identifier = DeviceIdentifier.decode(data[at:])
    at += DeviceIdentifier.size
    device = data[at : at + identifier.identifier_length].decode("ascii", "replace")
    return Element(kind=page.element_type_code, status=ElementDescriptor.decode(data), tag=tag, device=device)
