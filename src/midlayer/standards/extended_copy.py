"""EXTENDED COPY(LID1) and RECEIVE COPY RESULTS (SPC-4 6.3, 6.4, 6.18 to 6.21): copies between logical units.

Only what one kind of copy needs is here: identification CSCD descriptors (E4h) and block to block
segments (02h).
"""

from __future__ import annotations

from dataclasses import dataclass

from midlayer.layout import Layout, bits, flag, raw, uint

__all__ = [
    "MAX_CSCD_DESCRIPTORS",
    "MAX_DESCRIPTOR_LIST_BYTES",
    "MAX_SEGMENT_BYTES",
    "MAX_SEGMENT_DESCRIPTORS",
    "BlockToBlockSegment",
    "CopyStatus",
    "ExtendedCopy",
    "IdentificationCscd",
    "ParameterListHeader",
    "ReceiveCopyResults",
    "operating_parameters",
    "third_party_copy_page",
]

MAX_CSCD_DESCRIPTORS = 16
MAX_SEGMENT_DESCRIPTORS = 16
MAX_SEGMENT_BYTES = 0xFFFF * 4096
MAX_CONCURRENT_COPIES = 64


class ExtendedCopy(Layout, size=16):
    """EXTENDED COPY(LID1) (SPC-4 6.4)."""

    opcode = uint(0, const=0x83)
    service_action = bits(1, 4, 0, const=0)
    parameter_list_length: int = uint(10, 4)
    control: int = uint(15)


class ReceiveCopyResults(Layout, size=16):
    """RECEIVE COPY STATUS(LID1), OPERATING PARAMETERS and FAILURE DETAILS(LID1) (SPC-4 6.18 to 6.21)."""

    opcode = uint(0, const=0x84)
    service_action: int = bits(1, 4, 0)
    list_identifier: int = uint(2)
    allocation_length: int = uint(10, 4)
    control: int = uint(15)


class ParameterListHeader(Layout, size=16):
    """Head of the EXTENDED COPY(LID1) parameter list (SPC-4 table 125)."""

    list_identifier: int = uint(0)
    sequential_striped: bool = flag(1, 5)
    list_id_usage: int = bits(1, 4, 3)
    priority: int = bits(1, 2, 0)
    cscd_descriptor_list_length: int = uint(2, 2)
    segment_descriptor_list_length: int = uint(8, 4)
    inline_data_length: int = uint(12, 4)


class IdentificationCscd(Layout, size=32):
    """Identification descriptor CSCD descriptor (SPC-4 table 138), with the block parameters (table 132)."""

    descriptor_type = uint(0, const=0xE4)
    lu_id_type: int = bits(1, 7, 6)
    nul: bool = flag(1, 5)
    peripheral_device_type: int = bits(1, 4, 0)
    relative_initiator_port_identifier: int = uint(2, 2)
    code_set: int = bits(4, 3, 0)
    association: int = bits(5, 5, 4)
    designator_type: int = bits(5, 3, 0)
    designator_length: int = uint(7)
    designator_field: bytes = raw(8, 20)
    pad: bool = flag(28, 2)
    disk_block_length: int = uint(29, 3)

    @property
    def designator(self) -> bytes:
        """The designator without its padding."""
        return self.designator_field[: self.designator_length]


class BlockToBlockSegment(Layout, size=28):
    """Block device to block device segment descriptor (SPC-4 table 151)."""

    descriptor_type = uint(0, const=0x02)
    dc: bool = flag(1, 1)
    cat: bool = flag(1, 0)
    descriptor_length = uint(2, 2, const=24, strict=False)
    source_cscd: int = uint(4, 2)
    destination_cscd: int = uint(6, 2)
    block_device_number_of_blocks: int = uint(10, 2)
    source_logical_block_address: int = uint(12, 8)
    destination_logical_block_address: int = uint(20, 8)


MAX_DESCRIPTOR_LIST_BYTES = (
    MAX_CSCD_DESCRIPTORS * IdentificationCscd.size + MAX_SEGMENT_DESCRIPTORS * BlockToBlockSegment.size
)


class _OperatingParameters(Layout, size=44):
    """RECEIVE COPY OPERATING PARAMETERS data up to its list (SPC-4 table 287)."""

    available_data: int = uint(0, 4)
    snlid: bool = flag(4, 0)
    maximum_cscd_descriptor_count: int = uint(8, 2)
    maximum_segment_descriptor_count: int = uint(10, 2)
    maximum_descriptor_list_length: int = uint(12, 4)
    maximum_segment_length: int = uint(16, 4)
    maximum_inline_data_length: int = uint(20, 4)
    held_data_limit: int = uint(24, 4)
    maximum_stream_device_transfer_size: int = uint(28, 4)
    total_concurrent_copies: int = uint(34, 2)
    maximum_concurrent_copies: int = uint(36)
    data_segment_granularity: int = uint(37)
    inline_data_granularity: int = uint(38)
    held_data_granularity: int = uint(39)
    implemented_descriptor_list_length: int = uint(43)


_TYPES = bytes((BlockToBlockSegment.descriptor_type, IdentificationCscd.descriptor_type))


def operating_parameters() -> bytes:
    """Return RECEIVE COPY OPERATING PARAMETERS data (SPC-4 6.20)."""
    head = _OperatingParameters(
        available_data=40 + len(_TYPES),
        snlid=True,
        maximum_cscd_descriptor_count=MAX_CSCD_DESCRIPTORS,
        maximum_segment_descriptor_count=MAX_SEGMENT_DESCRIPTORS,
        maximum_descriptor_list_length=MAX_DESCRIPTOR_LIST_BYTES,
        maximum_segment_length=MAX_SEGMENT_BYTES,
        total_concurrent_copies=MAX_CONCURRENT_COPIES,
        maximum_concurrent_copies=MAX_CONCURRENT_COPIES,
        data_segment_granularity=9,
        implemented_descriptor_list_length=len(_TYPES),
    )
    return head.encode() + _TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStatus:
    """How a copy ended (SPC-4 table 281).

    Attributes:
        failed: It ended with an error.
        segments: Segments that were done.
        copied_bytes: Bytes that were copied.
        sense: Sense data of a copy that failed.
    """

    failed: bool
    segments: int
    copied_bytes: int
    sense: bytes = b""

    def encode(self) -> bytes:
        """Return RECEIVE COPY STATUS(LID1) data; the count is in bytes, or in MiB if that does not fit."""
        units, count = (
            (0, self.copied_bytes) if self.copied_bytes >> 32 == 0 else (2, self.copied_bytes >> 20)
        )
        body = bytes((0x02 if self.failed else 0x01,)) + self.segments.to_bytes(2, "big")
        body += bytes((units,)) + count.to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + body

    def encode_failure(self) -> bytes:
        """Return RECEIVE COPY FAILURE DETAILS(LID1) data (SPC-4 table 284)."""
        body = bytes(52) + b"\x02\0" + len(self.sense).to_bytes(2, "big") + self.sense
        return len(body).to_bytes(4, "big") + body


def _descriptor(number: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return number.to_bytes(2, "big") + len(padded).to_bytes(2, "big") + padded


def third_party_copy_page() -> bytes:
    """Return what follows the header of VPD page 8Fh (SPC-4 7.8.17)."""
    commands = b"\x83\x01\x00" + b"\x84\x03\x00\x03\x04"
    parameters = (
        bytes(4)
        + MAX_CSCD_DESCRIPTORS.to_bytes(2, "big")
        + MAX_SEGMENT_DESCRIPTORS.to_bytes(2, "big")
        + MAX_DESCRIPTOR_LIST_BYTES.to_bytes(4, "big")
        + bytes(16)
    )
    operations = (
        MAX_CONCURRENT_COPIES.to_bytes(4, "big") * 2
        + MAX_SEGMENT_BYTES.to_bytes(4, "big")
        + b"\x09"
        + bytes(19)
    )
    return (
        _descriptor(0x0001, bytes((len(commands),)) + commands)
        + _descriptor(0x0004, parameters)
        + _descriptor(0x0008, bytes((len(_TYPES),)) + _TYPES)
        + _descriptor(0x8001, operations)
    )
