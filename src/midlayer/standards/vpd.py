"""Vital product data pages (SPC-4 7.8, SBC-3 6.6): who a logical unit is and what it can do.

A page is decoded from what INQUIRY with EVPD returned: the page length in bytes 2 and 3 says where the
page ends, so bytes of the buffer after it are not read, and a page that an allocation length cut short
decodes to what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from midlayer.layout import DecodeError, Layout, bits, flag, inquiry_text, uint
from midlayer.standards.designators import Designator, decode_designators, persistent_name, wwid

__all__ = [
    "PAGES",
    "BlockDeviceCharacteristics",
    "BlockLimits",
    "Designator",
    "DeviceIdentification",
    "ExtendedInquiry",
    "GenericPage",
    "LogicalBlockProvisioning",
    "SupportedVpdPages",
    "UnitSerialNumber",
    "VpdPage",
    "decode_page",
    "persistent_name",
    "wwid",
]


class VpdPage(Protocol):
    """What every page class offers."""

    page_code: int

    def encode(self) -> bytes:
        """Return the whole page, header included."""


def _split(data: bytes) -> tuple[int, int, bytes]:
    """Return the first byte (qualifier and device type), the page code and the page without its header.

    Raises:
        DecodeError: the page code is not there.
    """
    if len(data) < 2:
        raise DecodeError(f"VPD page: {len(data)} bytes, 2 needed for the page code")
    length = int.from_bytes(data[2:4], "big") if len(data) >= 4 else 0
    return data[0], data[1], bytes(data[4 : 4 + length])


def _body(data: bytes, page_code: int) -> tuple[int, bytes]:
    """Return the first byte and the body of a page that has to be `page_code`."""
    first, code, body = _split(data)
    if code != page_code:
        raise DecodeError(f"VPD page at byte 1: {code:02x}h, expected {page_code:02x}h")
    return first, body


def _page(first: int, page_code: int, body: bytes) -> bytes:
    """Put the 4-byte header before a body."""
    return bytes([first, page_code]) + len(body).to_bytes(2, "big") + body


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericPage:
    """A page that has no class here: its code and the bytes after its header."""

    page_code: int
    peripheral: int = 0
    body: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read any page; raises DecodeError if its code is not there."""
        first, code, body = _split(data)
        return cls(page_code=code, peripheral=first, body=body)

    def encode(self) -> bytes:
        """Return the whole page."""
        return _page(self.peripheral, self.page_code, self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportedVpdPages:
    """Page 00h (SPC-4 7.8.14): the page codes, in ascending order in a device that follows the standard.

    `peripheral` is the first byte, qualifier and device type, as in standard INQUIRY data.
    """

    page_code: ClassVar[int] = 0x00
    peripheral: int = 0
    pages: tuple[int, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the page; raises DecodeError if it is another page."""
        first, body = _body(data, cls.page_code)
        return cls(peripheral=first, pages=tuple(body))

    def encode(self) -> bytes:
        """Return the whole page."""
        return _page(self.peripheral, self.page_code, bytes(self.pages))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSerialNumber:
    """Page 80h (SPC-4 7.8.16): the serial number, ASCII; spaces mean that there is none."""

    page_code: ClassVar[int] = 0x80
    peripheral: int = 0
    serial: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the page; raises DecodeError if it is another page."""
        first, body = _body(data, cls.page_code)
        return cls(peripheral=first, serial=body)

    @property
    def text(self) -> str:
        """The serial number by rule SC-6, without the spaces at its ends."""
        return inquiry_text(self.serial).strip()

    def encode(self) -> bytes:
        """Return the whole page."""
        return _page(self.peripheral, self.page_code, self.serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentification:
    """Page 83h (SPC-4 7.8.6): the names of the logical unit, of its port and of its target."""

    page_code: ClassVar[int] = 0x83
    peripheral: int = 0
    designators: tuple[Designator, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the page; a last designator that is cut off is left out.

        Raises:
            DecodeError: it is another page.
        """
        first, body = _body(data, cls.page_code)
        return cls(peripheral=first, designators=decode_designators(body))

    def encode(self) -> bytes:
        """Return the whole page."""
        return _page(self.peripheral, self.page_code, b"".join(one.encode() for one in self.designators))


class _FixedPage(Layout):
    """A page that is one structure: cut at the page length before the layout reads it."""

    page_code: ClassVar[int]

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the page; fields after the page length the device gave are absent.

        Raises:
            DecodeError: it is another page, or its code is not there.
        """
        _, _, body = _split(bytes(data))
        return super().decode(bytes(data[:4]) + body)


class ExtendedInquiry(_FixedPage, size=64):
    """Page 86h, extended INQUIRY data (SPC-4 7.8.7)."""

    peripheral: int = uint(0)
    page_code = uint(1, const=0x86)
    page_length = uint(2, 2, const=60, strict=False)
    activate_microcode: int = bits(4, 7, 6)
    spt: int = bits(4, 5, 3)
    grd_chk: bool = flag(4, 2)
    app_chk: bool = flag(4, 1)
    ref_chk: bool = flag(4, 0)
    uask_sup: bool = flag(5, 5)
    group_sup: bool = flag(5, 4)
    prior_sup: bool = flag(5, 3)
    headsup: bool = flag(5, 2)
    ordsup: bool = flag(5, 1)
    simpsup: bool = flag(5, 0)
    wu_sup: bool = flag(6, 3)
    crd_sup: bool = flag(6, 2)
    nv_sup: bool = flag(6, 1)
    v_sup: bool = flag(6, 0)
    p_i_i_sup: bool = flag(7, 4)
    luiclr: bool = flag(7, 0)
    r_sup: bool = flag(8, 4)
    cbcs: bool = flag(8, 0)
    multi_i_t_nexus_microcode_download: int = bits(9, 3, 0)
    extended_self_test_completion_minutes: int = uint(10, 2)
    poa_sup: bool = flag(12, 7)
    hra_sup: bool = flag(12, 6)
    vsa_sup: bool = flag(12, 5)
    maximum_supported_sense_data_length: int = uint(13)


class BlockLimits(_FixedPage, size=64):
    """Page B0h, block limits (SBC-3 6.6.4); lengths are in logical blocks, 0 means "not reported"."""

    peripheral: int = uint(0)
    page_code = uint(1, const=0xB0)
    page_length = uint(2, 2, const=60, strict=False)
    wsnz: bool = flag(4, 0)
    maximum_compare_and_write_length: int = uint(5)
    optimal_transfer_length_granularity: int = uint(6, 2)
    maximum_transfer_length: int = uint(8, 4)
    optimal_transfer_length: int = uint(12, 4)
    maximum_prefetch_length: int = uint(16, 4)
    maximum_unmap_lba_count: int = uint(20, 4)
    maximum_unmap_block_descriptor_count: int = uint(24, 4)
    optimal_unmap_granularity: int = uint(28, 4)
    ugavalid: bool = flag(32, 7)
    unmap_granularity_alignment: int = bits(32, 6, 0, length=4)
    maximum_write_same_length: int = uint(36, 8)
    maximum_atomic_transfer_length: int = uint(44, 4)
    atomic_alignment: int = uint(48, 4)
    atomic_transfer_length_granularity: int = uint(52, 4)
    maximum_atomic_transfer_length_with_atomic_boundary: int = uint(56, 4)
    maximum_atomic_boundary_size: int = uint(60, 4)


class BlockDeviceCharacteristics(_FixedPage, size=64):
    """Page B1h, block device characteristics (SBC-3 6.6.2, SBC-4).

    `medium_rotation_rate`: 0 not reported, 1 a solid state medium, else revolutions per minute.
    """

    peripheral: int = uint(0)
    page_code = uint(1, const=0xB1)
    page_length = uint(2, 2, const=60, strict=False)
    medium_rotation_rate: int = uint(4, 2)
    product_type: int = uint(6)
    wabereq: int = bits(7, 7, 6)
    wacereq: int = bits(7, 5, 4)
    nominal_form_factor: int = bits(7, 3, 0)
    zoned: int = bits(8, 5, 4)
    fuab: bool = flag(8, 1)
    vbuls: bool = flag(8, 0)
    depopulation_time_seconds: int = uint(12, 4)


class LogicalBlockProvisioning(_FixedPage, size=8):
    """Page B2h, logical block provisioning (SBC-3 6.6.5), without its optional provisioning group."""

    peripheral: int = uint(0)
    page_code = uint(1, const=0xB2)
    page_length = uint(2, 2, const=4, strict=False)
    threshold_exponent: int = uint(4)
    lbpu: bool = flag(5, 7)
    lbpws: bool = flag(5, 6)
    lbpws10: bool = flag(5, 5)
    lbprz: int = bits(5, 4, 2)
    anc_sup: bool = flag(5, 1)
    dp: bool = flag(5, 0)
    minimum_percentage: int = bits(6, 7, 3)
    provisioning_type: int = bits(6, 2, 0)
    threshold_percentage: int = uint(7)


AnyPage = (
    SupportedVpdPages
    | UnitSerialNumber
    | DeviceIdentification
    | ExtendedInquiry
    | BlockLimits
    | BlockDeviceCharacteristics
    | LogicalBlockProvisioning
    | GenericPage
)

# Page code -> class.
PAGES: dict[
    int,
    type[SupportedVpdPages]
    | type[UnitSerialNumber]
    | type[DeviceIdentification]
    | type[ExtendedInquiry]
    | type[BlockLimits]
    | type[BlockDeviceCharacteristics]
    | type[LogicalBlockProvisioning],
] = {
    0x00: SupportedVpdPages,
    0x80: UnitSerialNumber,
    0x83: DeviceIdentification,
    0x86: ExtendedInquiry,
    0xB0: BlockLimits,
    0xB1: BlockDeviceCharacteristics,
    0xB2: LogicalBlockProvisioning,
}


def decode_page(data: bytes) -> AnyPage:
    """Read a page of any code; one without a class here becomes a `GenericPage`.

    Pages B0h to BFh mean what they mean here for direct access devices only (types 00h, 0Eh and 14h);
    from other device types they come back as `GenericPage`.

    Raises:
        DecodeError: fewer than the 2 bytes that a page code needs.
    """
    first, code, _ = _split(data)
    block_page = 0xB0 <= code <= 0xBF
    if code not in PAGES or (block_page and first & 0x1F not in (0x00, 0x0E, 0x14)):
        return GenericPage.decode(data)
    return PAGES[code].decode(data)
