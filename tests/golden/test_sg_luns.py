"""LUN addressing, judged by sg_luns --test of Debian's sg3-utils (1.46)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midlayer.standards.sam import LunAddress, lun_from_bytes

pytestmark = pytest.mark.tools

Judge = Callable[..., str]


@pytest.mark.parametrize(
    ("lun", "ours", "theirs"),
    [
        ("0005000000000000", "peripheral lun 5", "Peripheral device addressing: lun=5"),
        ("412c000000000000", "flat lun 300", "Flat space addressing: lun=300"),
        ("8a63000000000000", "logical-unit bus 3 target 10 lun 3", "bus_id=3, target=10, lun=3"),
        ("c101000000000000", "well-known 0x01 (REPORT LUNS)", "REPORT LUNS well known logical unit"),
        ("d200001200000000", "extended-flat lun 18", "Extended flat space addressing: lun=18"),
        ("0b03000500000000", "peripheral bus 11 target 3 > peripheral lun 5", "bus_id=11, target=3"),
    ],
)
def test_levels(judge: Judge, lun: str, ours: str, theirs: str) -> None:
    assert str(LunAddress.decode(bytes.fromhex(lun))) == ours
    assert theirs in judge("sg_luns", f"--test={lun}", "--decode")


@pytest.mark.parametrize(
    "lun", ["0005000000000000", "d2040b0300000000", "c101000000000000", "0b03000500070009"]
)
def test_integer_form(judge: Judge, lun: str) -> None:
    number = lun_from_bytes(bytes.fromhex(lun))
    printed = judge("sg_luns", f"--test=L{number:#x}")
    assert f"format:  {bytes.fromhex(lun).hex(' ')}" in printed
