"""Commands and data of sequential access devices (SSC-4): CDBs, positions, densities, mode pages."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from midlayer.layout import DecodeError, Layout, bits, flag, text, uint

__all__ = [
    "BlockLimits",
    "DataCompressionPage",
    "DensityDescriptor",
    "DeviceConfigurationPage",
    "Erase6",
    "ErrorRecoveryPage",
    "ExtendedPosition",
    "LoadUnload",
    "Locate10",
    "Locate16",
    "LongPosition",
    "MediumPartitionPage",
    "ReadPosition",
    "ReadWrite6",
    "ReportDensitySupport",
    "Rewind",
    "ShortPosition",
    "Space6",
    "Space16",
    "SpaceCode",
    "TapeBlockDescriptor",
    "TapeModeHeader6",
    "TapeModeHeader10",
    "WriteFilemarks6",
    "decode_density_support",
    "encode_density_support",
]


class Rewind(Layout, size=6):
    """REWIND (SSC-4 7.11)."""

    opcode = uint(0, const=0x01)
    immed: bool = flag(1, 0)
    control: int = uint(5)


class ReadWrite6(Layout, size=6):
    """READ(6) and WRITE(6) (SSC-4 7.4, 7.14); a length in blocks if `fixed`, else in bytes."""

    opcode: int = uint(0)
    sili: bool = flag(1, 1)
    fixed: bool = flag(1, 0)
    transfer_length: int = uint(2, 3)
    control: int = uint(5)


class WriteFilemarks6(Layout, size=6):
    """WRITE FILEMARKS(6) (SSC-4 7.16)."""

    opcode = uint(0, const=0x10)
    wsmk: bool = flag(1, 1)
    immed: bool = flag(1, 0)
    filemark_count: int = uint(2, 3)
    control: int = uint(5)


class SpaceCode(IntEnum):
    """CODE field of SPACE (SSC-4 table 68)."""

    LOGICAL_BLOCKS = 0
    FILEMARKS = 1
    SEQUENTIAL_FILEMARKS = 2
    END_OF_DATA = 3


class Space6(Layout, size=6):
    """SPACE(6) (SSC-4 7.12); the count is a two's complement number."""

    opcode = uint(0, const=0x11)
    code: int = bits(1, 3, 0)
    count: int = uint(2, 3)
    control: int = uint(5)


class Space16(Layout, size=16):
    """SPACE(16) (SSC-4 7.13); the count is a two's complement number."""

    opcode = uint(0, const=0x91)
    code: int = bits(1, 3, 0)
    count: int = uint(4, 8)
    parameter_length: int = uint(12, 2)
    control: int = uint(15)


class Locate10(Layout, size=10):
    """LOCATE(10) (SSC-4 7.2)."""

    opcode = uint(0, const=0x2B)
    bt: bool = flag(1, 2)
    cp: bool = flag(1, 1)
    immed: bool = flag(1, 0)
    logical_object_identifier: int = uint(3, 4)
    partition: int = uint(8)
    control: int = uint(9)


class Locate16(Layout, size=16):
    """LOCATE(16) (SSC-4 7.3); `dest_type` 0 is an object, 1 a file, 3 the end of data."""

    opcode = uint(0, const=0x92)
    dest_type: int = bits(1, 5, 3)
    cp: bool = flag(1, 1)
    immed: bool = flag(1, 0)
    bam: bool = flag(2, 0)
    partition: int = uint(3)
    logical_identifier: int = uint(4, 8)
    control: int = uint(15)


class ReadPosition(Layout, size=10):
    """READ POSITION (SSC-4 7.7); service actions 0 and 1 are the short form, 6 the long, 8 the extended."""

    opcode = uint(0, const=0x34)
    service_action: int = bits(1, 4, 0)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ShortPosition(Layout, size=20):
    """READ POSITION data, short form (SSC-4 table 51)."""

    bop: bool = flag(0, 7)
    eop: bool = flag(0, 6)
    locu: bool = flag(0, 5)
    bycu: bool = flag(0, 4)
    lolu: bool = flag(0, 2)
    perr: bool = flag(0, 1)
    bpew: bool = flag(0, 0)
    partition_number: int = uint(1)
    first_logical_object_location: int = uint(4, 4)
    last_logical_object_location: int = uint(8, 4)
    number_of_logical_objects_in_buffer: int = uint(13, 3)
    number_of_bytes_in_buffer: int = uint(16, 4)


class LongPosition(Layout, size=32):
    """READ POSITION data, long form (SSC-4 table 54)."""

    bop: bool = flag(0, 7)
    eop: bool = flag(0, 6)
    mpu: bool = flag(0, 3)
    lonu: bool = flag(0, 2)
    bpew: bool = flag(0, 0)
    partition_number: int = uint(4, 4)
    logical_object_number: int = uint(8, 8)
    logical_file_identifier: int = uint(16, 8)


class ExtendedPosition(Layout, size=32):
    """READ POSITION data, extended form (SSC-4 table 55)."""

    bop: bool = flag(0, 7)
    eop: bool = flag(0, 6)
    locu: bool = flag(0, 5)
    bycu: bool = flag(0, 4)
    lolu: bool = flag(0, 2)
    perr: bool = flag(0, 1)
    bpew: bool = flag(0, 0)
    partition_number: int = uint(1)
    additional_length: int = uint(2, 2)
    number_of_logical_objects_in_buffer: int = uint(5, 3)
    first_logical_object_location: int = uint(8, 8)
    last_logical_object_location: int = uint(16, 8)
    number_of_bytes_in_buffer: int = uint(24, 8)


class Erase6(Layout, size=6):
    """ERASE(6) (SSC-4 5.2)."""

    opcode = uint(0, const=0x19)
    immed: bool = flag(1, 1)
    long: bool = flag(1, 0)
    control: int = uint(5)


class LoadUnload(Layout, size=6):
    """LOAD UNLOAD (SSC-4 7.1)."""

    opcode = uint(0, const=0x1B)
    immed: bool = flag(1, 0)
    hold: bool = flag(4, 3)
    eot: bool = flag(4, 2)
    reten: bool = flag(4, 1)
    load: bool = flag(4, 0)
    control: int = uint(5)


class ReadBlockLimits(Layout, size=6):
    """READ BLOCK LIMITS (SSC-4 7.6)."""

    opcode = uint(0, const=0x05)
    mloi: bool = flag(1, 0)
    control: int = uint(5)


class BlockLimits(Layout, size=6):
    """READ BLOCK LIMITS data (SSC-4 table 48)."""

    granularity: int = bits(0, 4, 0)
    maximum_block_length_limit: int = uint(1, 3)
    minimum_block_length_limit: int = uint(4, 2)


class ReportDensitySupport(Layout, size=10):
    """REPORT DENSITY SUPPORT (SSC-4 7.10)."""

    opcode = uint(0, const=0x44)
    medium_type: bool = flag(1, 1)
    media: bool = flag(1, 0)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class DensityDescriptor(Layout, size=52):
    """Density support data block descriptor (SSC-4 table 61)."""

    primary_density_code: int = uint(0)
    secondary_density_code: int = uint(1)
    wrtok: bool = flag(2, 7)
    dup: bool = flag(2, 6)
    deflt: bool = flag(2, 5)
    dlv: bool = flag(2, 0)
    descriptor_length: int = uint(3, 2)
    bits_per_mm: int = uint(5, 3)
    media_width_tenths_mm: int = uint(8, 2)
    tracks: int = uint(10, 2)
    capacity_megabytes: int = uint(12, 4)
    assigning_organization: str = text(16, 8)
    density_name: str = text(24, 8)
    description: str = text(32, 20)


class TapeModeHeader6(Layout, size=4):
    """Mode parameter header(6) with the device specific parameter of a tape (SSC-4 8.3.1)."""

    mode_data_length: int = uint(0)
    medium_type: int = uint(1)
    wp: bool = flag(2, 7)
    buffered_mode: int = bits(2, 6, 4)
    speed: int = bits(2, 3, 0)
    block_descriptor_length: int = uint(3)


class TapeModeHeader10(Layout, size=8):
    """Mode parameter header(10) with the device specific parameter of a tape."""

    mode_data_length: int = uint(0, 2)
    medium_type: int = uint(2)
    wp: bool = flag(3, 7)
    buffered_mode: int = bits(3, 6, 4)
    speed: int = bits(3, 3, 0)
    longlba: bool = flag(4, 0)
    block_descriptor_length: int = uint(6, 2)


class TapeBlockDescriptor(Layout, size=8):
    """General mode parameter block descriptor (SPC-4 7.5.5.1); a block length of 0 is variable."""

    density_code: int = uint(0)
    number_of_logical_blocks: int = uint(1, 3)
    logical_block_length: int = uint(5, 3)


class ErrorRecoveryPage(Layout, size=12):
    """Page 01h, Read-Write Error Recovery (SSC-4 8.3.5)."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x01)
    page_length = uint(1, const=10, strict=False)
    tb: bool = flag(2, 5)
    eer: bool = flag(2, 3)
    per: bool = flag(2, 2)
    dte: bool = flag(2, 1)
    dcr: bool = flag(2, 0)
    read_retry_count: int = uint(3)
    write_retry_count: int = uint(8)


class DataCompressionPage(Layout, size=16):
    """Page 0Fh, Data Compression (SSC-4 8.3.2)."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x0F)
    page_length = uint(1, const=14, strict=False)
    dce: bool = flag(2, 7)
    dcc: bool = flag(2, 6)
    dde: bool = flag(3, 7)
    red: int = bits(3, 6, 5)
    compression_algorithm: int = uint(4, 4)
    decompression_algorithm: int = uint(8, 4)


class DeviceConfigurationPage(Layout, size=16):
    """Page 10h, Device Configuration (SSC-4 8.3.3)."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x10)
    page_length = uint(1, const=14, strict=False)
    active_format: int = bits(2, 4, 0)
    active_partition: int = uint(3)
    write_object_buffer_full_ratio: int = uint(4)
    read_object_buffer_empty_ratio: int = uint(5)
    write_delay_time_100ms: int = uint(6, 2)
    obr: bool = flag(8, 7)
    lois: bool = flag(8, 6)
    rsmk: bool = flag(8, 5)
    avc: bool = flag(8, 4)
    socf: int = bits(8, 3, 2)
    robo: bool = flag(8, 1)
    rew: bool = flag(8, 0)
    gap_size: int = uint(9)
    eod_defined: int = bits(10, 7, 5)
    eeg: bool = flag(10, 4)
    sew: bool = flag(10, 3)
    swp: bool = flag(10, 2)
    baml: bool = flag(10, 1)
    bam: bool = flag(10, 0)
    object_buffer_size_at_early_warning: int = uint(11, 3)
    select_data_compression_algorithm: int = uint(14)
    wtre: int = bits(15, 7, 6)
    oir: bool = flag(15, 5)
    rewind_on_reset: int = bits(15, 4, 3)
    asocwp: bool = flag(15, 2)
    perswp: bool = flag(15, 1)
    prmwp: bool = flag(15, 0)


class MediumPartitionPage(Layout, size=8):
    """Page 11h, Medium Partition (SSC-4 8.3.4), of a medium with one partition."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x11)
    page_length = uint(1, const=6, strict=False)
    maximum_additional_partitions: int = uint(2)
    additional_partitions_defined: int = uint(3)
    psum: int = bits(4, 4, 3)
    medium_format_recognition: int = uint(5)


def encode_density_support(descriptors: Iterable[DensityDescriptor]) -> bytes:
    """Return REPORT DENSITY SUPPORT data (SSC-4 table 60)."""
    body = b"".join(one.encode() for one in descriptors)
    return (len(body) + 2).to_bytes(2, "big") + bytes(2) + body


def decode_density_support(data: bytes) -> list[DensityDescriptor]:
    """Return the descriptors of REPORT DENSITY SUPPORT data that are whole.

    Raises:
        DecodeError: Less than the header is there.
    """
    if len(data) < 4:
        raise DecodeError(f"density support: {len(data)} bytes, 4 needed")
    end = min(len(data), int.from_bytes(data[:2], "big") + 2)
    size = DensityDescriptor.size
    return [DensityDescriptor.decode(data[at : at + size]) for at in range(4, end - size + 1, size)]
