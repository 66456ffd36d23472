from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import vpd

# sysfs attribute `vpd_pg83` of a scsi_debug disk, Linux 6.1.
PAGE_83 = bytes.fromhex(
    "00 83 00 70 02 01 00 1c 4c 69 6e 75 78 20 20 20 73 63 73 69 5f 64 65 62 75 67 20 20 20 20 20 20"
    "32 30 30 30 01 03 00 08 33 33 33 30 00 00 07 d0 61 94 00 04 00 00 00 01 61 93 00 08 32 22 22 20"
    "00 00 07 ce 61 95 00 04 00 00 01 00 61 a3 00 08 32 22 22 20 00 00 07 cd 63 a8 00 18 6e 61 61 2e"
    "33 32 32 32 32 32 32 30 30 30 30 30 30 37 43 44 00 00 00 00"
)


def test_scsi_debug_page_83() -> None:
    page = vpd.DeviceIdentification.decode(PAGE_83)
    assert page.encode() == PAGE_83
    assert [one.designator_type for one in page.designators] == [1, 3, 4, 3, 5, 3, 8]
    assert [one.association for one in page.designators] == [0, 0, 1, 1, 1, 2, 2]
    assert page.designators[0].text == "Linux   scsi_debug      2000"
    assert (page.designators[1].hex, page.designators[1].naa) == ("33333330000007d0", 3)
    assert (page.designators[2].piv, page.designators[2].protocol_identifier) == (True, 6)
    assert page.designators[6].text == "naa.32222220000007CD"
    assert vpd.decode_page(PAGE_83) == page


@pytest.mark.parametrize("length", range(4, len(PAGE_83)))
def test_page_83_cut_anywhere(length: int) -> None:
    whole = vpd.DeviceIdentification.decode(PAGE_83).designators
    cut = vpd.DeviceIdentification.decode(PAGE_83[:length]).designators
    assert cut == whole[: len(cut)]


def test_what_follows_the_page_length_is_not_read() -> None:
    page = vpd.UnitSerialNumber(serial=b"ABC").encode() + b"\xff" * 8
    assert vpd.UnitSerialNumber.decode(page).serial == b"ABC"


def test_serial_text() -> None:
    assert vpd.UnitSerialNumber(serial=b"  AB1  ").text == "AB1"
    assert vpd.UnitSerialNumber(serial=b"    ").text == ""


def test_supported_pages() -> None:
    page = vpd.SupportedVpdPages(pages=(0, 0x80, 0x83))
    assert page.encode().hex() == "00000003008083"
    assert vpd.decode_page(page.encode()) == page


def test_a_short_old_block_limits_page() -> None:
    # SBC-2 had 12 bytes after the header; what came later is absent, not zero.
    page = vpd.BlockLimits.decode(
        bytes.fromhex("00b0000c 0000 0008 00000400 00000080".replace(" ", "")) + b"\xff" * 40
    )
    assert page.maximum_transfer_length == 0x400
    assert page.has("optimal_transfer_length")
    assert not page.has("maximum_unmap_lba_count")
    assert page.maximum_unmap_lba_count == 0
    assert page.decoded_length == 16


def test_fixed_pages_have_their_length() -> None:
    assert vpd.BlockLimits().encode()[:4].hex() == "00b0003c"
    assert vpd.BlockDeviceCharacteristics().encode()[:4].hex() == "00b1003c"
    assert vpd.LogicalBlockProvisioning().encode().hex() == "00b2000400000000"
    assert vpd.ExtendedInquiry().encode()[:4].hex() == "0086003c"


def test_every_page_of_the_registry_comes_back_as_its_class() -> None:
    for code, kind in vpd.PAGES.items():
        page = kind().encode()
        assert page[1] == code
        assert type(vpd.decode_page(page)) is kind


def test_other_pages_are_generic() -> None:
    page = vpd.decode_page(bytes.fromhex("00c00002abcd"))
    assert page == vpd.GenericPage(page_code=0xC0, body=b"\xab\xcd")
    assert page.encode().hex() == "00c00002abcd"


def test_b0_of_a_tape_is_no_block_limits_page() -> None:
    page = vpd.decode_page(bytes.fromhex("01b0000101"))
    assert isinstance(page, vpd.GenericPage)
    assert page.peripheral == 1


def test_errors_say_what_and_where() -> None:
    with pytest.raises(DecodeError, match="0 bytes, 2 needed"):
        vpd.decode_page(b"")
    with pytest.raises(DecodeError, match="byte 1: 80h, expected 83h"):
        vpd.DeviceIdentification.decode(bytes.fromhex("00800000"))
    with pytest.raises(DecodeError, match="page_code at byte 1: 0xb1, expected 0xb0"):
        vpd.BlockLimits.decode(bytes.fromhex("00b10000"))
