from __future__ import annotations

import pytest

from midlayer.layout import DecodeError, LayoutError
from midlayer.standards.sam import LunAddress, Status, is_well_known_lun, lun_from_bytes, lun_to_bytes

# (bytes, the kernel's integer); the first is the example in the kernel's own comment.
LUNS = [
    ("d2040b0300000000", 0x0B03D204),
    ("0000000000000000", 0),
    ("0005000000000000", 5),
    ("412c000000000000", 0x412C),
    ("c101000000000000", 0xC101),
    ("ffffffffffffffff", (1 << 64) - 1),
    ("0102030405060708", 0x0708050603040102),
]


@pytest.mark.parametrize(("data", "number"), LUNS)
def test_lun_and_integer(data: str, number: int) -> None:
    assert lun_from_bytes(bytes.fromhex(data)) == number
    assert lun_to_bytes(number).hex() == data


def test_lun_errors() -> None:
    with pytest.raises(DecodeError, match="8 bytes, not 7"):
        lun_from_bytes(bytes(7))
    with pytest.raises(LayoutError, match="does not fit"):
        lun_to_bytes(1 << 64)
    with pytest.raises(LayoutError):
        lun_to_bytes(-1)
    with pytest.raises(DecodeError):
        LunAddress.decode(b"")


@pytest.mark.parametrize(("lun", "known"), [(0xC101, True), (0xC1FF, True), (0xC001, False), (1, False)])
def test_well_known(lun: int, known: bool) -> None:
    assert is_well_known_lun(lun) is known


@pytest.mark.parametrize(
    ("lun", "shown"),
    [
        (0, "peripheral lun 0"),
        (255, "peripheral lun 255"),
        (0x412C, "flat lun 300"),
        (0xC101, "well-known 0x01 (REPORT LUNS)"),
        (0xC103, "well-known 0x03 (TARGET LOG PAGES)"),
        (0xC109, "well-known 0x09 (reserved)"),
        (0x238A, "peripheral bus 35 target 138"),
        (0x0012_D200, "extended-flat lun 18"),
        ((1 << 64) - 1, "not-specified lun 72057594037927935"),
        (0xC0, "peripheral lun 192"),
        (0xC501, "reserved lun 1"),
        (0x0005_0B03, "peripheral bus 11 target 3 > peripheral lun 5"),
    ],
)
def test_levels(lun: int, shown: str) -> None:
    assert str(LunAddress.from_int(lun)) == shown


def test_status_titles() -> None:
    assert Status.CHECK_CONDITION.title == "CHECK CONDITION"
    assert Status(0x28) is Status.TASK_SET_FULL
    assert [int(status) for status in Status] == [0, 2, 4, 8, 0x10, 0x14, 0x18, 0x22, 0x28, 0x30, 0x40]
