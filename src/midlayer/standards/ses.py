"""Diagnostic pages of an enclosure (SES-3 clause 6): what RECEIVE and SEND DIAGNOSTIC carry.

`decode_configuration` says which elements there are and in which order; the other pages follow that order,
with one overall element before those of each type. `ses_elements` has the elements themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from midlayer.layout import DecodeError, Layout, bits, flag, text, uint

__all__ = [
    "Additional",
    "AdditionalHead",
    "Configuration",
    "ControlHead",
    "EnclosureDescriptor",
    "Page",
    "PhyDescriptor",
    "SasSlot",
    "StatusHead",
    "TypeDescriptorHeader",
    "decode_additional",
    "decode_configuration",
    "decode_descriptors",
    "decode_elements",
    "encode_configuration",
    "encode_descriptors",
    "encode_page",
]

ELEMENT_BYTES = 4


class Page:
    """Diagnostic page codes of SES-3 (table 9)."""

    SUPPORTED = 0x00
    CONFIGURATION = 0x01
    STATUS = 0x02
    THRESHOLD = 0x05
    ELEMENT_DESCRIPTOR = 0x07
    ADDITIONAL_ELEMENT_STATUS = 0x0A


class Head(Layout, size=4):
    """The first bytes of every diagnostic page (SPC-4 7.2.1)."""

    page_code: int = uint(0)
    page_length: int = uint(2, 2)


class ConfigurationHead(Layout, size=8):
    """Configuration diagnostic page (SES-3 6.1.2), up to the descriptors."""

    page_code = uint(0, const=0x01)
    number_of_secondary_subenclosures: int = uint(1)
    page_length: int = uint(2, 2)
    generation_code: int = uint(4, 4)


class EnclosureDescriptor(Layout, size=40):
    """Enclosure descriptor (SES-3 6.1.2.2), without vendor specific bytes."""

    relative_enclosure_services_process_identifier: int = bits(0, 6, 4)
    number_of_enclosure_services_processes: int = bits(0, 2, 0)
    subenclosure_identifier: int = uint(1)
    number_of_type_descriptor_headers: int = uint(2)
    enclosure_descriptor_length: int = uint(3)
    enclosure_logical_identifier: int = uint(4, 8)
    enclosure_vendor_identification: str = text(12, 8)
    product_identification: str = text(20, 16)
    product_revision_level: str = text(36, 4)


class TypeDescriptorHeader(Layout, size=4):
    """Type descriptor header (SES-3 6.1.2.3)."""

    element_type: int = uint(0)
    number_of_possible_elements: int = uint(1)
    subenclosure_identifier: int = uint(2)
    type_descriptor_text_length: int = uint(3)


class StatusHead(Layout, size=8):
    """Enclosure Status diagnostic page (SES-3 6.1.4), up to the elements."""

    page_code = uint(0, const=0x02)
    invop: bool = flag(1, 4)
    info: bool = flag(1, 3)
    non_crit: bool = flag(1, 2)
    crit: bool = flag(1, 1)
    unrecov: bool = flag(1, 0)
    page_length: int = uint(2, 2)
    generation_code: int = uint(4, 4)


class ControlHead(Layout, size=8):
    """Enclosure Control, Threshold Out and what is like them (SES-3 6.1.3, 6.1.7), up to the elements."""

    page_code: int = uint(0)
    info: bool = flag(1, 3)
    non_crit: bool = flag(1, 2)
    crit: bool = flag(1, 1)
    unrecov: bool = flag(1, 0)
    page_length: int = uint(2, 2)
    expected_generation_code: int = uint(4, 4)


class AdditionalHead(Layout, size=4):
    """Additional Element Status descriptor with EIP set to one (SES-3 6.1.13.2)."""

    invalid: bool = flag(0, 7)
    eip: bool = flag(0, 4)
    protocol_identifier: int = bits(0, 3, 0)
    additional_element_status_descriptor_length: int = uint(1)
    eiioe: int = bits(2, 1, 0)
    element_index: int = uint(3)


class SasSlot(Layout, size=4):
    """SAS information of a device slot, descriptor type 00b (SES-3 6.1.13.3.2), up to the phys."""

    number_of_phy_descriptors: int = uint(0)
    descriptor_type: int = bits(1, 7, 6)
    not_all_phys: bool = flag(1, 0)
    device_slot_number: int = uint(3)


class PhyDescriptor(Layout, size=28):
    """One phy of a device slot (SES-3 table 50)."""

    device_type: int = bits(0, 6, 4)
    ssp_initiator_port: bool = flag(2, 3)
    stp_initiator_port: bool = flag(2, 2)
    smp_initiator_port: bool = flag(2, 1)
    sata_port_selector: bool = flag(3, 7)
    ssp_target_port: bool = flag(3, 3)
    stp_target_port: bool = flag(3, 2)
    smp_target_port: bool = flag(3, 1)
    sata_device: bool = flag(3, 0)
    attached_sas_address: int = uint(4, 8)
    sas_address: int = uint(12, 8)
    phy_identifier: int = uint(20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Page 01h taken apart.

    Attributes:
        generation_code: Changes with what follows.
        enclosures: The primary subenclosure first.
        types: In the order in which other pages have their elements.
        texts: One for each of the types; fewer if the page was cut short.
    """

    generation_code: int
    enclosures: tuple[EnclosureDescriptor, ...]
    types: tuple[TypeDescriptorHeader, ...]
    texts: tuple[str, ...]

    def places(self) -> Iterator[tuple[int, int | None]]:
        """Yield type index and element number, None for an overall element, in the order of all pages."""
        for index, header in enumerate(self.types):
            yield index, None
            for number in range(header.number_of_possible_elements):
                yield index, number


class Additional(NamedTuple):
    """One descriptor of page 0Ah; `slot` and `phys` are there if it is about a device slot and SAS."""

    head: AdditionalHead
    slot: SasSlot | None
    phys: tuple[PhyDescriptor, ...]


def encode_page(code: int, generation: int, body: bytes, flags: int = 0) -> bytes:
    """Return a page with a generation code: all but 00h have one in front of what they are about."""
    return bytes((code, flags)) + (len(body) + 4).to_bytes(2, "big") + generation.to_bytes(4, "big") + body


def encode_configuration(
    generation: int, enclosure: EnclosureDescriptor, types: Sequence[tuple[int, int, str]]
) -> bytes:
    """Return page 01h of an enclosure without secondary subenclosures.

    Args:
        generation: The generation code.
        enclosure: Its lengths and counts are filled in.
        types: Element type, number of elements and text of each type.
    """
    descriptor = enclosure.replace(
        number_of_type_descriptor_headers=len(types),
        enclosure_descriptor_length=EnclosureDescriptor.size - 4,
    )
    headers = b"".join(
        TypeDescriptorHeader(
            element_type=kind, number_of_possible_elements=count, type_descriptor_text_length=len(words)
        ).encode()
        for kind, count, words in types
    )
    words = "".join(words for _, _, words in types).encode("ascii")
    return encode_page(Page.CONFIGURATION, generation, descriptor.encode() + headers + words)


def encode_descriptors(generation: int, texts: Iterable[str]) -> bytes:
    """Return page 07h; overall elements have a text as well, which may be empty (SES-3 6.1.10)."""
    body = b"".join(bytes(2) + len(one).to_bytes(2, "big") + one.encode("ascii") for one in texts)
    return encode_page(Page.ELEMENT_DESCRIPTOR, generation, body)


def _body(data: bytes, code: int) -> bytes:
    """Return what a page has after its generation code, as far as it is there."""
    if len(data) < ConfigurationHead.size:
        raise DecodeError(f"diagnostic page: {len(data)} bytes, 8 needed")
    head = Head.decode(data)
    if head.page_code != code:
        raise DecodeError(f"diagnostic page {head.page_code:02x}h, expected {code:02x}h")
    return bytes(data[ConfigurationHead.size : head.page_length + 4])


def decode_configuration(data: bytes) -> Configuration:
    """Take page 01h apart.

    Raises:
        DecodeError: It is another page, or its descriptors are not whole; texts may be missing.
    """
    body, head = _body(data, Page.CONFIGURATION), ConfigurationHead.decode(data)
    enclosures: list[EnclosureDescriptor] = []
    at = 0
    for _ in range(head.number_of_secondary_subenclosures + 1):
        one = EnclosureDescriptor.decode(body[at:])
        at += one.enclosure_descriptor_length + 4
        if at > len(body) or one.decoded_length < EnclosureDescriptor.size:
            raise DecodeError(f"configuration page: enclosure descriptor {len(enclosures)} is cut short")
        enclosures.append(one)
    count = sum(one.number_of_type_descriptor_headers for one in enclosures)
    end = at + count * TypeDescriptorHeader.size
    if end > len(body):
        raise DecodeError(f"configuration page: {count} type descriptors, {len(body) - at} bytes")
    types = tuple(TypeDescriptorHeader.decode(body[place:]) for place in range(at, end, 4))
    texts = []
    for one_type in types:
        words = body[end : end + one_type.type_descriptor_text_length]
        end += one_type.type_descriptor_text_length
        if end <= len(body):
            texts.append(words.decode("ascii", "replace"))
    return Configuration(
        generation_code=head.generation_code, enclosures=tuple(enclosures), types=types, texts=tuple(texts)
    )


def decode_elements(
    data: bytes, code: int, configuration: Configuration
) -> dict[tuple[int, int | None], bytes]:
    """Return the four bytes of each element of page 02h or 05h, by its place; those that are whole.

    Raises:
        DecodeError: It is another page.
    """
    body = _body(data, code)
    pieces = (body[at : at + ELEMENT_BYTES] for at in range(0, len(body) - ELEMENT_BYTES + 1, ELEMENT_BYTES))
    return dict(zip(configuration.places(), pieces, strict=False))


def decode_descriptors(data: bytes) -> list[str]:
    """Return the texts of page 07h, in the order of all elements; those that are whole.

    Raises:
        DecodeError: It is another page.
    """
    body, at = _body(data, Page.ELEMENT_DESCRIPTOR), 0
    texts = []
    while at + 4 <= len(body):
        end = at + 4 + int.from_bytes(body[at + 2 : at + 4], "big")
        if end > len(body):
            break
        texts.append(body[at + 4 : end].decode("ascii", "replace"))
        at = end
    return texts


_EIP_BIT, _SAS, _SLOT = 0x10, 6, 0


def decode_additional(data: bytes) -> list[Additional]:
    """Return the descriptors of page 0Ah that have an element index; those that are whole.

    Raises:
        DecodeError: It is another page.
    """
    body, at = _body(data, Page.ADDITIONAL_ELEMENT_STATUS), 0
    found = []
    while at + 2 <= len(body):
        end = at + 2 + body[at + 1]
        if end > len(body):
            break
        if body[at] & _EIP_BIT and end - at >= AdditionalHead.size:
            found.append(_additional(body[at:end]))
        at = end
    return found


def _additional(data: bytes) -> Additional:
    head, rest = AdditionalHead.decode(data), data[AdditionalHead.size :]
    slot = SasSlot.decode(rest)
    if head.protocol_identifier != _SAS or len(rest) < SasSlot.size or slot.descriptor_type != _SLOT:
        return Additional(head, None, ())
    ends = range(SasSlot.size, len(rest) - PhyDescriptor.size + 1, PhyDescriptor.size)
    phys = tuple(PhyDescriptor.decode(rest[start:]) for start in ends)
    return Additional(head, slot, phys[: slot.number_of_phy_descriptors])
