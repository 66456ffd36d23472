"""SEND and RECEIVE DIAGNOSTIC, READ and WRITE BUFFER (SPC-4)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]


@pytest.mark.parametrize(
    "cdb", ["1d0400000000", "1d2000000000", "1d4000000000", "1da000000000", "1d8000000000"]
)
def test_self_test(unit: MakeUnit, initiators: Initiators, cdb: str) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb) == "ok"


def test_a_self_test_that_fails(unit: MakeUnit, initiators: Initiators, tmp_path: Any) -> None:
    alice, _, _ = initiators(unit(file=tmp_path / "disk"))
    os.truncate(tmp_path / "disk", 512)
    assert alice.code("1d0400000000") == "4/3e/03"


@pytest.mark.parametrize("cdb", ["1d6000000000", "1d2400000000", "1d1000000400"])
def test_send_diagnostic_refused(unit: MakeUnit, initiators: Initiators, cdb: str) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb, bytes(4)) == "5/24/00"


def test_receive_diagnostic(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert bytes(alice("1c010000ff00", data_in=255).data).hex() == "0000000100"
    assert alice.code("1c010200ff00", data_in=255) == "5/24/00"


def test_echo_buffer(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code("3c0a0000000000000800", data_in=8) == "5/2c/00"
    assert alice.code("3b0a0000000000000500", b"hello") == "ok"
    assert bytes(alice("3c0a0000000000001000", data_in=16).data) == b"hello"
    assert bytes(alice("3c0b0000000000000400", data_in=4).data).hex() == "00001000"
    assert alice.code("3b0a0000000000100100", bytes(4097)) == "5/1a/00"


def test_data_buffer(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert bytes(alice("3c030000000000000400", data_in=4).data).hex() == "00010000"
    assert bytes(alice("3c030100000000000400", data_in=4).data).hex() == "00000000"
    assert alice.code("3b020000000300000200", b"ab") == "ok"
    assert bytes(alice("3c020000000200000400", data_in=4).data) == b"\0ab\0"
    for cdb in ("3c020100000000000400", "3c020001000100000400", "3c050000000000000400"):
        assert alice.code(cdb, data_in=4) == "5/24/00"
    for cdb in ("3b020100000000000400", "3b02000100fe00000400", "3b050000000000000400"):
        assert alice.code(cdb, bytes(4)) == "5/24/00"
