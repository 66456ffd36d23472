from __future__ import annotations

from midlayer.standards.asc import ASC_NAMES, ASC_RANGES, asc_name


def test_names() -> None:
    assert asc_name(0x11, 0x00) == "unrecovered read error"
    assert asc_name(0x3F, 0x0E) == "reported LUNs data has changed"
    assert asc_name(0x5D, 0x32) == "data channel impending failure data error rate too high"
    assert asc_name(0x80, 0x00) is None
    assert asc_name(0x11, 0x7F) is None


def test_ranges() -> None:
    assert asc_name(0x40, 0x00) == "RAM failure (should use 40 NN)"
    assert asc_name(0x40, 0x7F) is None
    assert asc_name(0x40, 0x80) == "diagnostic failure on component 80h"
    assert asc_name(0x4D, 0x00) == "tagged overlapped commands (task tag 00h)"
    assert asc_name(0x70, 0xFF) == "decompression exception short algorithm id of ffh"


def test_the_table_is_whole_and_of_one_form() -> None:
    assert len(ASC_NAMES) > 740
    assert all(name == name.strip() and name for name in ASC_NAMES.values())
    assert not any(name[0].isupper() and name[1].islower() for name in ASC_NAMES.values())
    assert all(0 <= code < 0x8000 for code in ASC_NAMES)
    assert not any(code >> 8 in (0x4D, 0x70) for code in ASC_NAMES)
    assert set(ASC_RANGES) == {0x40, 0x4D, 0x70}
