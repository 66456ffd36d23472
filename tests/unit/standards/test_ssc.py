"""CDBs and data of tapes, by the tables of SSC-4."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import ssc


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ssc.Rewind(immed=True), "010100000000"),
        (ssc.ReadWrite6(opcode=8, sili=True, transfer_length=0x010203), "080201020300"),
        (ssc.ReadWrite6(opcode=10, fixed=True, transfer_length=1), "0a0100000100"),
        (ssc.WriteFilemarks6(immed=True, filemark_count=2), "100100000200"),
        (ssc.Space6(code=1, count=0xFFFFFF), "1101ffffff00"),
        (ssc.Space16(code=3, count=5), "91030000000000000000000500000000"),
        (ssc.Locate10(cp=True, logical_object_identifier=0x01020304, partition=1), "2b020001020304000100"),
        (ssc.Locate16(dest_type=1, logical_identifier=7), "92080000000000000000000700000000"),
        (ssc.ReadPosition(service_action=8, allocation_length=32), "34080000000000002000"),
        (ssc.Erase6(long=True), "190100000000"),
        (ssc.LoadUnload(load=True, hold=True), "1b0000000900"),
        (ssc.ReadBlockLimits(), "050000000000"),
        (ssc.ReportDensitySupport(media=True, allocation_length=256), "44010000000000010000"),
        (ssc.BlockLimits(maximum_block_length_limit=0x800000, minimum_block_length_limit=1), "008000000001"),
        (ssc.TapeBlockDescriptor(density_code=0x46, logical_block_length=512), "4600000000000200"),
        (ssc.TapeModeHeader6(mode_data_length=11, buffered_mode=1, block_descriptor_length=8), "0b001008"),
        (ssc.DataCompressionPage(dce=True, dcc=True), "0f0ec000000000000000000000000000"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cdbs(value: ssc.Rewind, expected: str) -> None:
    assert value.encode().hex() == expected
    assert type(value).decode(bytes.fromhex(expected)) == value


def test_positions() -> None:
    short = ssc.ShortPosition.decode(
        bytes.fromhex("40000000" + "00000102" + "00000103" + "00000001" + "00000002")
    )
    assert (short.eop, short.bop, short.first_logical_object_location) == (True, False, 0x102)
    assert (short.number_of_logical_objects_in_buffer, short.number_of_bytes_in_buffer) == (1, 2)
    long = ssc.LongPosition.decode(bytes.fromhex("80000000" + "00000000" + "00" * 7 + "05" + "00" * 7 + "02"))
    assert (long.bop, long.logical_object_number, long.logical_file_identifier) == (True, 5, 2)


DENSITY = bytes.fromhex(
    "0036 0000 46 46 a0 0000 0031b5 007f 0380 000c3500 4c544f2d43564520 552d343136202020"
    "556c747269756d20342f31365420202020202020"
)


def test_density_support() -> None:
    (one,) = ssc.decode_density_support(DENSITY)
    assert (one.primary_density_code, one.wrtok, one.deflt, one.tracks) == (0x46, True, True, 896)
    assert (one.capacity_megabytes, one.assigning_organization, one.density_name) == (
        800_000,
        "LTO-CVE",
        "U-416",
    )
    assert ssc.encode_density_support([one]) == DENSITY
    assert ssc.decode_density_support(DENSITY[:-1]) == []
    with pytest.raises(DecodeError):
        ssc.decode_density_support(DENSITY[:3])
