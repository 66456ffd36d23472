"""Commands about the whole medium of a block device (SBC-3): FORMAT UNIT, SANITIZE, READ DEFECT DATA."""

from __future__ import annotations

from midlayer.layout import Layout, bits, flag, uint

__all__ = [
    "FormatHeaderLong",
    "FormatHeaderShort",
    "FormatUnit",
    "OverwriteHeader",
    "ReadDefectData10",
    "ReadDefectData12",
    "Sanitize",
]


class FormatUnit(Layout, size=6):
    """FORMAT UNIT (SBC-3 5.3)."""

    opcode = uint(0, const=0x04)
    fmtpinfo: int = bits(1, 7, 6)
    longlist: bool = flag(1, 5)
    fmtdata: bool = flag(1, 4)
    cmplst: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 0)
    control: int = uint(5)


class _FormatHeader(Layout, size=2):
    """What both headers of the FORMAT UNIT parameter list begin with (SBC-3 tables 37 and 38)."""

    protection_fields_usage: int = bits(0, 2, 0)
    fov: bool = flag(1, 7)
    dpry: bool = flag(1, 6)
    dcrt: bool = flag(1, 5)
    stpf: bool = flag(1, 4)
    ip: bool = flag(1, 3)
    immed: bool = flag(1, 1)


class FormatHeaderShort(_FormatHeader, size=4):
    """Short parameter list header (SBC-3 table 37)."""

    defect_list_length: int = uint(2, 2)


class FormatHeaderLong(_FormatHeader, size=8):
    """Long parameter list header (SBC-3 table 38)."""

    defect_list_length: int = uint(4, 4)


class Sanitize(Layout, size=10):
    """SANITIZE (SBC-3 5.20)."""

    opcode = uint(0, const=0x48)
    immed: bool = flag(1, 7)
    reserved_1: bool = flag(1, 6)
    ause: bool = flag(1, 5)
    service_action: int = bits(1, 4, 0)
    reserved_2: int = uint(2, 5)
    parameter_list_length: int = uint(7, 2)
    control: int = uint(9)


class OverwriteHeader(Layout, size=4):
    """Head of the parameter list of SANITIZE, overwrite (SBC-3 table 71); the pattern follows it."""

    invert: bool = flag(0, 7)
    test: int = bits(0, 6, 5)
    overwrite_count: int = bits(0, 4, 0)
    initialization_pattern_length: int = uint(2, 2)


class ReadDefectData10(Layout, size=10):
    """READ DEFECT DATA(10) (SBC-3 5.17)."""

    opcode = uint(0, const=0x37)
    req_plist: bool = flag(2, 4)
    req_glist: bool = flag(2, 3)
    defect_list_format: int = bits(2, 2, 0)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ReadDefectData12(Layout, size=12):
    """READ DEFECT DATA(12) (SBC-3 5.18)."""

    opcode = uint(0, const=0xB7)
    req_plist: bool = flag(1, 4)
    req_glist: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 0)
    address_descriptor_index: int = uint(2, 4)
    allocation_length: int = uint(6, 4)
    control: int = uint(11)
