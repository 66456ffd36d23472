"""Commands of direct access block devices (SBC-3): capacity, reads, writes, unmap.

Logical block addresses count from 0. A transfer length is in logical blocks; 0 means none, except in
READ(6) and WRITE(6), where 0 means 256.
"""

from __future__ import annotations

from collections.abc import Iterable

from midlayer.layout import DecodeError, Layout, LayoutError, bits, flag, uint

__all__ = [
    "DEALLOCATED",
    "MAPPED",
    "GetLbaStatus",
    "LbaStatusDescriptor",
    "Read6",
    "Read10",
    "Read12",
    "Read16",
    "ReadCapacity10",
    "ReadCapacity10Data",
    "ReadCapacity16",
    "ReadCapacity16Data",
    "StartStopUnit",
    "SynchronizeCache10",
    "SynchronizeCache16",
    "Unmap",
    "UnmapBlockDescriptor",
    "Verify10",
    "Verify12",
    "Verify16",
    "Write6",
    "Write10",
    "Write12",
    "Write16",
    "WriteSame10",
    "WriteSame16",
    "decode_unmap_list",
    "encode_lba_status",
    "encode_unmap_list",
]


class ReadCapacity10(Layout, size=10):
    """READ CAPACITY(10) (SBC-3 5.15)."""

    opcode = uint(0, const=0x25)
    logical_block_address: int = uint(2, 4)
    pmi: bool = flag(8, 0)
    control: int = uint(9)


class ReadCapacity10Data(Layout, size=8):
    """READ CAPACITY(10) parameter data; FFFFFFFFh as the last LBA means "ask with READ CAPACITY(16)"."""

    returned_logical_block_address: int = uint(0, 4)
    block_length_in_bytes: int = uint(4, 4)


class ReadCapacity16(Layout, size=16):
    """READ CAPACITY(16) (SBC-3 5.16)."""

    opcode = uint(0, const=0x9E)
    service_action = bits(1, 4, 0, const=0x10)
    logical_block_address: int = uint(2, 8)
    allocation_length: int = uint(10, 4)
    pmi: bool = flag(14, 0)
    control: int = uint(15)


class ReadCapacity16Data(Layout, size=32):
    """READ CAPACITY(16) parameter data (SBC-3 table 66)."""

    returned_logical_block_address: int = uint(0, 8)
    block_length_in_bytes: int = uint(8, 4)
    rc_basis: int = bits(12, 5, 4)
    p_type: int = bits(12, 3, 1)
    prot_en: bool = flag(12, 0)
    p_i_exponent: int = bits(13, 7, 4)
    logical_blocks_per_physical_block_exponent: int = bits(13, 3, 0)
    lbpme: bool = flag(14, 7)
    lbprz: bool = flag(14, 6)
    lowest_aligned_logical_block_address: int = bits(14, 5, 0, length=2)

    @property
    def capacity_bytes(self) -> int:
        """Size of the medium in bytes."""
        return (self.returned_logical_block_address + 1) * self.block_length_in_bytes


class _Transfer6:
    """What READ(6) and WRITE(6) share: a length of 0 stands for 256 blocks."""

    transfer_length: int

    @property
    def blocks(self) -> int:
        """Logical blocks to transfer, 1 to 256."""
        return self.transfer_length or 256


class Read6(Layout, _Transfer6, size=6):
    """READ(6) (SBC-3 5.10): a 21-bit LBA; `blocks` gives the 256 that a length of 0 means."""

    opcode = uint(0, const=0x08)
    logical_block_address: int = bits(1, 4, 0, length=3)
    transfer_length: int = uint(4)
    control: int = uint(5)


class Write6(Layout, _Transfer6, size=6):
    """WRITE(6) (SBC-3 5.31): a 21-bit LBA; `blocks` gives the 256 that a length of 0 means."""

    opcode = uint(0, const=0x0A)
    logical_block_address: int = bits(1, 4, 0, length=3)
    transfer_length: int = uint(4)
    control: int = uint(5)


class Read10(Layout, size=10):
    """READ(10) (SBC-3 5.11)."""

    opcode = uint(0, const=0x28)
    rdprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    rarc: bool = flag(1, 2)
    logical_block_address: int = uint(2, 4)
    group_number: int = bits(6, 4, 0)
    transfer_length: int = uint(7, 2)
    control: int = uint(9)


class Read12(Layout, size=12):
    """READ(12) (SBC-3 5.12)."""

    opcode = uint(0, const=0xA8)
    rdprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    rarc: bool = flag(1, 2)
    logical_block_address: int = uint(2, 4)
    transfer_length: int = uint(6, 4)
    group_number: int = bits(10, 4, 0)
    control: int = uint(11)


class Read16(Layout, size=16):
    """READ(16) (SBC-3 5.13)."""

    opcode = uint(0, const=0x88)
    rdprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    rarc: bool = flag(1, 2)
    logical_block_address: int = uint(2, 8)
    transfer_length: int = uint(10, 4)
    group_number: int = bits(14, 4, 0)
    control: int = uint(15)


class Write10(Layout, size=10):
    """WRITE(10) (SBC-3 5.32)."""

    opcode = uint(0, const=0x2A)
    wrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    logical_block_address: int = uint(2, 4)
    group_number: int = bits(6, 4, 0)
    transfer_length: int = uint(7, 2)
    control: int = uint(9)


class Write12(Layout, size=12):
    """WRITE(12) (SBC-3 5.33)."""

    opcode = uint(0, const=0xAA)
    wrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    logical_block_address: int = uint(2, 4)
    transfer_length: int = uint(6, 4)
    group_number: int = bits(10, 4, 0)
    control: int = uint(11)


class Write16(Layout, size=16):
    """WRITE(16) (SBC-3 5.34)."""

    opcode = uint(0, const=0x8A)
    wrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    logical_block_address: int = uint(2, 8)
    transfer_length: int = uint(10, 4)
    group_number: int = bits(14, 4, 0)
    control: int = uint(15)


class Verify10(Layout, size=10):
    """VERIFY(10) (SBC-3 5.27)."""

    opcode = uint(0, const=0x2F)
    vrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 1)
    logical_block_address: int = uint(2, 4)
    group_number: int = bits(6, 4, 0)
    verification_length: int = uint(7, 2)
    control: int = uint(9)


class Verify12(Layout, size=12):
    """VERIFY(12) (SBC-3 5.28)."""

    opcode = uint(0, const=0xAF)
    vrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 1)
    logical_block_address: int = uint(2, 4)
    verification_length: int = uint(6, 4)
    group_number: int = bits(10, 4, 0)
    control: int = uint(11)


class Verify16(Layout, size=16):
    """VERIFY(16) (SBC-3 5.29)."""

    opcode = uint(0, const=0x8F)
    vrprotect: int = bits(1, 7, 5)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 1)
    logical_block_address: int = uint(2, 8)
    verification_length: int = uint(10, 4)
    group_number: int = bits(14, 4, 0)
    control: int = uint(15)


class SynchronizeCache10(Layout, size=10):
    """SYNCHRONIZE CACHE(10) (SBC-3 5.24); 0 blocks means to the end of the medium."""

    opcode = uint(0, const=0x35)
    immed: bool = flag(1, 1)
    logical_block_address: int = uint(2, 4)
    group_number: int = bits(6, 4, 0)
    number_of_logical_blocks: int = uint(7, 2)
    control: int = uint(9)


class SynchronizeCache16(Layout, size=16):
    """SYNCHRONIZE CACHE(16) (SBC-3 5.25); 0 blocks means to the end of the medium."""

    opcode = uint(0, const=0x91)
    immed: bool = flag(1, 1)
    logical_block_address: int = uint(2, 8)
    number_of_logical_blocks: int = uint(10, 4)
    group_number: int = bits(14, 4, 0)
    control: int = uint(15)


class StartStopUnit(Layout, size=6):
    """START STOP UNIT (SBC-3 5.23)."""

    opcode = uint(0, const=0x1B)
    immed: bool = flag(1, 0)
    power_condition_modifier: int = bits(3, 3, 0)
    power_condition: int = bits(4, 7, 4)
    no_flush: bool = flag(4, 2)
    loej: bool = flag(4, 1)
    start: bool = flag(4, 0)
    control: int = uint(5)


class WriteSame10(Layout, size=10):
    """WRITE SAME(10) (SBC-3 5.40)."""

    opcode = uint(0, const=0x41)
    wrprotect: int = bits(1, 7, 5)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)
    logical_block_address: int = uint(2, 4)
    group_number: int = bits(6, 4, 0)
    number_of_logical_blocks: int = uint(7, 2)
    control: int = uint(9)


class WriteSame16(Layout, size=16):
    """WRITE SAME(16) (SBC-3 5.41); NDOB says that there is no data-out buffer (SBC-4)."""

    opcode = uint(0, const=0x93)
    wrprotect: int = bits(1, 7, 5)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)
    ndob: bool = flag(1, 0)
    logical_block_address: int = uint(2, 8)
    number_of_logical_blocks: int = uint(10, 4)
    group_number: int = bits(14, 4, 0)
    control: int = uint(15)


class GetLbaStatus(Layout, size=16):
    """GET LBA STATUS(16) (SBC-3 5.4)."""

    opcode = uint(0, const=0x9E)
    service_action = bits(1, 4, 0, const=0x12)
    starting_logical_block_address: int = uint(2, 8)
    allocation_length: int = uint(10, 4)
    control: int = uint(15)


MAPPED, DEALLOCATED = 0, 1
"""Provisioning status of blocks (SBC-3 table 45)."""


class LbaStatusDescriptor(Layout, size=16):
    """One run of blocks that are alike (SBC-3 table 44)."""

    logical_block_address: int = uint(0, 8)
    number_of_logical_blocks: int = uint(8, 4)
    provisioning_status: int = bits(12, 3, 0)


def encode_lba_status(descriptors: Iterable[LbaStatusDescriptor]) -> bytes:
    """Return GET LBA STATUS parameter data (SBC-3 table 43); the length counts what follows it."""
    body = b"".join(descriptor.encode() for descriptor in descriptors)
    return (4 + len(body)).to_bytes(4, "big") + bytes(4) + body


class Unmap(Layout, size=10):
    """UNMAP (SBC-3 5.26)."""

    opcode = uint(0, const=0x42)
    anchor: bool = flag(1, 0)
    group_number: int = bits(6, 4, 0)
    parameter_list_length: int = uint(7, 2)
    control: int = uint(9)


class UnmapBlockDescriptor(Layout, size=16):
    """One range of an UNMAP parameter list (SBC-3 table 88)."""

    unmap_logical_block_address: int = uint(0, 8)
    number_of_logical_blocks: int = uint(8, 4)


class _UnmapHeader(Layout, size=8):
    """Header of the UNMAP parameter list (SBC-3 table 87); both lengths are of what follows them."""

    unmap_data_length: int = uint(0, 2)
    unmap_block_descriptor_data_length: int = uint(2, 2)


def encode_unmap_list(descriptors: Iterable[UnmapBlockDescriptor]) -> bytes:
    """Return an UNMAP parameter list.

    Raises:
        LayoutError: more than 4,095 descriptors, which the 16-bit length can not say.
    """
    body = b"".join(descriptor.encode() for descriptor in descriptors)
    if len(body) + 6 > 0xFFFF:
        raise LayoutError(f"UNMAP: {len(body) // 16} block descriptors; allowed: up to 4095")
    header = _UnmapHeader(unmap_data_length=len(body) + 6, unmap_block_descriptor_data_length=len(body))
    return header.encode() + body


def decode_unmap_list(data: bytes) -> list[UnmapBlockDescriptor]:
    """Read an UNMAP parameter list: the descriptors that its lengths and the data both have room for.

    Raises:
        DecodeError: the header is not wholly there. (A list of length 0 is no list and needs no reading.)
    """
    if len(data) < 8:
        raise DecodeError(f"UNMAP parameter list: {len(data)} bytes, 8 needed for the header")
    header = _UnmapHeader.decode(data)
    length = min(header.unmap_block_descriptor_data_length, len(data) - 8)
    return [UnmapBlockDescriptor.decode(data[at : at + 16]) for at in range(8, 8 + length // 16 * 16, 16)]
