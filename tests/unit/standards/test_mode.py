from __future__ import annotations

import pytest

from midlayer.layout import DecodeError, LayoutError
from midlayer.standards import mode

# The tables of SPC-4 7.5 and SBC-3 6.5 filled in by hand, as a disk of 16,384 blocks answers MODE SENSE(6).
LIST_6 = bytes.fromhex(
    "2b 00 10 08  00 00 40 00 00 00 02 00"
    "08 12 14 00 ff ff 00 00 ff ff ff ff 80 14 00 00 00 00 00 00"
    "0a 0a 02 10 00 40 00 00 ff ff 00 3c"
)


def test_mode_sense_6() -> None:
    found = mode.decode_mode_sense(LIST_6, ten=False)
    assert found.header.dpofua
    assert not found.header.wp
    assert found.block_descriptors == (
        mode.ShortBlockDescriptor(number_of_logical_blocks=0x4000, logical_block_length=512),
    )
    assert [one.page for one in found.pages] == [8, 10]
    caching = found.find(8)
    assert isinstance(caching, mode.CachingPage)
    assert (caching.wce, caching.rcd, caching.disc, caching.fsw) == (True, False, True, True)
    assert caching.number_of_cache_segments == 0x14
    control = found.find(10)
    assert isinstance(control, mode.ControlPage)
    assert (control.queue_algorithm_modifier, control.tas, control.gltsd) == (1, True, True)
    assert (control.busy_timeout_period_100ms, control.extended_self_test_completion_seconds) == (0xFFFF, 60)
    assert found.find(0x1C) is None


def test_encode_is_the_inverse() -> None:
    found = mode.decode_mode_sense(LIST_6, ten=False)
    again = mode.encode_mode_parameters(
        [one.data for one in found.pages],
        ten=False,
        block_descriptors=found.block_descriptors,
        dpofua=True,
    )
    assert again == LIST_6


def test_mode_sense_10_with_long_descriptor_and_subpage() -> None:
    subpage = bytes.fromhex("4a 01 00 1c") + bytes(28)
    data = mode.encode_mode_parameters(
        [mode.CachingPage(wce=True), subpage],
        ten=True,
        block_descriptors=[
            mode.LongBlockDescriptor(number_of_logical_blocks=1 << 33, logical_block_length=4096)
        ],
        wp=True,
    )
    assert data[:8].hex() == "004a008001000010"
    found = mode.decode_mode_sense(data + b"\xff" * 9, ten=True)
    assert found.header.wp
    assert found.block_descriptors[0].number_of_logical_blocks == 1 << 33
    assert found.find(0x0A, 1) == subpage
    assert found.find(0x0A) is None
    assert [(one.page, one.subpage, len(one.data)) for one in found.pages] == [(8, 0, 20), (10, 1, 32)]


@pytest.mark.parametrize(
    ("page", "wire"),
    [
        (
            mode.ReadWriteErrorRecoveryPage(awre=True, arre=True, read_retry_count=3),
            "010ac0030000000000000000",
        ),
        (mode.CachingPage(ps=True, wce=True), "8812040000000000000000000000000000000000"),
        (mode.ControlPage(d_sense=True, swp=True), "0a0a04000800000000000000"),
        (mode.InformationalExceptionsPage(dexcpt=True, mrie=6, report_count=1), "1c0a08060000000000000001"),
    ],
)
def test_pages(page: mode.CachingPage, wire: str) -> None:
    assert page.encode().hex() == wire
    assert mode.PAGES[page.page_code].decode(bytes.fromhex(wire)) == page


def test_a_cut_page_keeps_what_is_there() -> None:
    pages = mode.split_pages(bytes.fromhex("0812 1400"))
    assert pages == [mode.SplitPage(8, 0, bytes.fromhex("08121400"))]
    assert mode.split_pages(b"\x08") == []
    assert mode.split_pages(b"\x4a\x01\x00") == []


def test_a_cut_list_decodes() -> None:
    for length in range(4, len(LIST_6)):
        mode.decode_mode_sense(LIST_6[:length], ten=False)


def test_errors() -> None:
    with pytest.raises(DecodeError, match="3 bytes, 4 needed"):
        mode.decode_mode_sense(bytes(3), ten=False)
    with pytest.raises(DecodeError, match="7 bytes, 8 needed"):
        mode.decode_mode_sense(bytes(7), ten=True)
    with pytest.raises(LayoutError, match="long block descriptors"):
        mode.encode_mode_parameters([], ten=False, block_descriptors=[mode.LongBlockDescriptor()])
    with pytest.raises(LayoutError, match="mode_data_length"):
        mode.encode_mode_parameters([bytes(256)], ten=False)
