"""LOG SENSE (SPC-4 6.8, 7.3)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.log_pages import LogPage, describe
from midlayer.standards.spc import LogSense

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]


def page(asker: Any, code: int, subpage: int = 0, **fields: int) -> LogPage:
    cdb = LogSense(page_control=1, page_code=code, subpage_code=subpage, allocation_length=252, **fields)
    data = bytes(asker(cdb.encode(), data_in=252).raise_for_status().data)
    assert int.from_bytes(data[2:4], "big") == len(data) - 4
    return LogPage.decode(data)


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ({}, [0x00, 0x02, 0x03, 0x0D, 0x0E, 0x2F]),
        ({"thin": True}, [0x00, 0x02, 0x03, 0x0C, 0x0D, 0x0E, 0x2F]),
        ({"type": 8}, [0x00, 0x0D, 0x2F]),
    ],
)
def test_supported_pages_can_all_be_read(
    unit: MakeUnit, initiators: Initiators, keys: dict[str, Any], codes: list[int]
) -> None:
    alice, _, _ = initiators(unit(**keys))
    assert page(alice, 0).listed == [(code, 0) for code in codes]
    with_subpages = page(alice, 0, 0xFF).listed
    assert with_subpages == sorted([(0, 0xFF), *((code, 0) for code in codes)])
    for code in codes[1:]:
        assert page(alice, code).parameters


def test_temperature_is_the_configurations(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(temperature=41))
    assert describe(page(alice, 0x0D)) == [("temperature", "41 °C")]
    assert page(alice, 0x2F).parameters[0].value.hex() == "000029"


def test_errors_are_counted(unit: MakeUnit, initiators: Initiators, tmp_path: Any) -> None:
    alice, _, _ = initiators(unit(file=tmp_path / "disk"))
    os.truncate(tmp_path / "disk", 512)
    for _ in range(2):
        assert alice.code("28000000000100000100", data_in=512) == "3/11/00"
    assert describe(page(alice, 0x03)) == [("uncorrected errors", "2")]
    assert describe(page(alice, 0x02)) == [("uncorrected errors", "0")]


def test_refused(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    for cdb in ("4d010d0000000000fc00", "4d003000000000fc00".ljust(20, "0"), "4d000d0100000000fc00"):
        assert alice.code(cdb, data_in=252) == "5/24/00"
    assert page(alice, 0x02, parameter_pointer=6).parameters[0].code == 6
    assert alice.code("4d0002000000" + "0700fc00", data_in=252) == "5/24/00"
