"""Log pages: bytes of real pages, and what becomes of broken ones."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards.log_pages import LogPage, LogParameter, describe, page_name, supported_pages

# A temperature of 38 and a reference of 65 degrees, laid out by hand (SPC-4 7.3.21).
TEMPERATURE = bytes.fromhex("0d00000c" + "000001020026" + "000101020041")


def test_a_page_of_another_device() -> None:
    page = LogPage.decode(TEMPERATURE)
    assert [(one.code, one.control, one.value.hex()) for one in page.parameters] == [
        (0, 1, "0026"),
        (1, 1, "0041"),
    ]
    assert describe(page) == [("temperature", "38 °C"), ("reference temperature", "65 °C")]


def test_encode_and_decode() -> None:
    page = LogPage(page=0x2F, parameters=(LogParameter(code=0, value=b"\0\0\x1e", control=3),))
    assert page.encode().hex() == "af000007" + "000003030" + "0001e"
    assert LogPage.decode(page.encode()) == page


def test_lists_of_pages() -> None:
    codes = [(0, 0), (0x0D, 0), (0, 0xFF), (0x19, 1)]
    plain, full = supported_pages(codes, subpages=False), supported_pages(codes, subpages=True)
    assert plain.encode().hex() == "80000002000d"
    assert full.encode().hex() == "c0ff0008" + "000000ff0d001901"
    assert LogPage.decode(full.encode()).listed == sorted(codes)
    assert LogPage.decode(plain.encode()).listed == [(0, 0), (0x0D, 0)]


@pytest.mark.parametrize("length", range(4, len(TEMPERATURE)))
def test_a_page_that_is_cut_off_keeps_what_is_whole(length: int) -> None:
    assert len(LogPage.decode(TEMPERATURE[:length]).parameters) == (length - 4) // 6


def test_less_than_a_header() -> None:
    with pytest.raises(DecodeError, match="3 bytes, 4 needed"):
        LogPage.decode(b"\x0d\0\0")


def test_what_has_no_name_comes_in_hexadecimal() -> None:
    page = LogPage(page=0x30, parameters=(LogParameter(code=0x1234, value=b"\xab"),))
    assert (page_name(0x30), page_name(0x30, 1)) == ("log page 30h", "log page 30h,01h")
    assert describe(page) == [("parameter 1234h", "ab")]
    odd = LogPage(page=0x0D, parameters=(LogParameter(code=7, value=b"\0\xff"),))
    assert describe(odd) == [("parameter 0007h", "not available")]
