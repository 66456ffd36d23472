from __future__ import annotations

import pytest

from midlayer.standards.opcodes import Opcode, cdb_length, cdb_length_of, command_name, describe_cdb


@pytest.mark.parametrize(
    ("cdb", "line"),
    [
        ("000000000000", "TEST UNIT READY"),
        ("120000002400", "INQUIRY length=36"),
        ("12018300ff00", "INQUIRY page=83h length=255"),
        ("08 10 00 10 08 00", "READ(6) lba=1048592 blocks=8"),
        ("0a ff ff ff 00 00", "WRITE(6) lba=2097151 blocks=256"),
        ("28000000100000000800", "READ(10) lba=4096 blocks=8"),
        ("a8000000100000000008 0000", "READ(12) lba=4096 blocks=8"),
        ("88000000000000001000000000080000", "READ(16) lba=4096 blocks=8"),
        ("8900 0000000000001000 000000 01 0000", "COMPARE AND WRITE lba=4096 blocks=1"),
        ("9e10000000000000000000000020 0000", "READ CAPACITY(16) length=32"),
        ("9e12000000000000000700000020 0000", "GET LBA STATUS(16) lba=7"),
        ("9e1f000000000000000700000020 0000", "SERVICE ACTION IN(16) service action 1fh"),
        ("a00000000000000010000000", "REPORT LUNS length=4096"),
        ("a30c00000000000002000000", "REPORT SUPPORTED OPERATION CODES length=512"),
        ("a30a00000000000002000000", "REPORT TARGET PORT GROUPS length=512"),
        ("1a003f00ff00", "MODE SENSE(6) page=3fh length=255"),
        ("5a0008010000000000ff00"[:20], "MODE SENSE(10) page=08h,01h length=0"),
        ("4d00 4d 00 00 00 00 02 00 00", "LOG SENSE page=0dh length=512"),
        ("1b0000000100", "START STOP UNIT start=1 loej=0 power_condition=0"),
        ("42000000000000001800", "UNMAP length=24"),
        ("5e000000000000002000", "PERSISTENT RESERVE IN, read keys"),
        (
            "7f00000000000018 0009 0000 0000000000001000 000000000000 0000 00000008",
            "READ(32) lba=4096 blocks=8",
        ),
        ("7f00000000000002 0009", "READ(32)"),
        ("a1080e00000000000000 0000", "ATA PASS-THROUGH(12)"),
        ("43000000000000000c00", "READ TOC/PMA/ATIP"),
        ("c1000000000000000000", "vendor specific c1h"),
        ("020000000000", "unknown 02h"),
        ("28", "READ(10) (1 of 10 bytes)"),
        ("9e", "SERVICE ACTION IN(16) (1 of 16 bytes)"),
        ("7f00", "VARIABLE LENGTH CDB (2 of unknown bytes)"),
        ("", "no command"),
    ],
)
def test_describe(cdb: str, line: str) -> None:
    assert describe_cdb(bytes.fromhex(cdb)) == line


@pytest.mark.parametrize(
    ("opcode", "length"),
    [
        (0x00, 6),
        (0x1F, 6),
        (0x20, 10),
        (0x5F, 10),
        (0x60, 12),
        (0x7D, 12),
        (0x80, 16),
        (0xA0, 12),
        (0xC0, 10),
        (0xFF, 10),
    ],
)
def test_length_by_group(opcode: int, length: int) -> None:
    assert cdb_length(opcode) == length
    assert cdb_length_of(bytes([opcode])) == length


def test_length_in_the_cdb() -> None:
    assert cdb_length(0x7F) is None
    assert cdb_length(0x7E) is None
    assert cdb_length_of(bytes([0x7F, 0, 0, 0, 0, 0, 0, 24])) == 32
    assert cdb_length_of(bytes([0x7F, 0, 0, 0, 0, 0, 0])) is None
    assert cdb_length_of(b"") is None


def test_names_of_shared_codes_are_the_disks() -> None:
    assert command_name(bytes(10)[:0] + b"\x1b\0\0\0\0\0") == "START STOP UNIT"
    assert Opcode.LOAD_UNLOAD is Opcode.START_STOP_UNIT
    assert command_name(b"\x42") == "UNMAP"
