"""MODE SELECT and what it changes (SPC-4 6.11, SBC-3 6.5)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import mode
from midlayer.standards.spc import ModeSelect6, ModeSelect10

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, WRITE = "000000000000", "2a000000000000000100"


def select(*pages: bytes, ten: bool = False, **fields: Any) -> tuple[bytes, bytes]:
    data = (bytes(8) if ten else bytes(4)) + b"".join(pages)
    kind = ModeSelect10 if ten else ModeSelect6
    return kind(pf=True, parameter_list_length=len(data), **fields).encode(), data


def sense(asker: Any, page: int, control: int = 0) -> Any:
    data = asker(bytes((0x1A, 8, control << 6 | page, 0, 252, 0)), data_in=252).raise_for_status().data
    return mode.decode_mode_sense(bytes(data), False)


@pytest.mark.parametrize("ten", [False, True])
def test_write_cache(unit: MakeUnit, initiators: Initiators, ten: bool, tmp_path: Any) -> None:
    device = unit(file=tmp_path / "disk")
    alice, bob, _ = initiators(device)
    flushed: list[int] = []
    medium = device.hostdata.medium
    flush = medium.flush
    medium.flush = lambda: (flushed.append(1), flush())
    alice(WRITE, bytes(512))
    assert flushed == []
    assert alice.code("2a080000000000000100", bytes(512)) == "ok"  # FUA
    assert len(flushed) == 1
    assert alice.code(*select(mode.CachingPage(wce=False).encode(), ten=ten)) == "ok"
    assert len(flushed) == 2, "what waited in the cache"
    assert not sense(alice, 8).find(8).wce
    assert sense(alice, 8, control=1).find(8).wce
    assert sense(alice, 8, control=2).find(8).wce  # the default
    assert bob.code(TUR) == "6/2a/01"
    assert alice.code(TUR) == "ok"
    alice(WRITE, bytes(512))
    assert len(flushed) == 3


@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        ("2a080000000000000100", bytes(512)),  # FUA
        ("8a080000000000000000000000010000", bytes(512)),
        ("35000000000000000000", None),
        ("91000000000000000000000000000000", None),
    ],
)
def test_a_file_is_made_safe_by_fdatasync(
    unit: MakeUnit,
    initiators: Initiators,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    cdb: str,
    data: Any,
) -> None:
    synchronized: list[str] = []
    alice, _, _ = initiators(unit(file=tmp_path / "disk"))
    monkeypatch.setattr(
        os, "fdatasync", lambda number: synchronized.append(os.readlink(f"/proc/self/fd/{number}"))
    )
    assert alice.code(WRITE, bytes(512)) == "ok"
    assert synchronized == []
    assert alice.code(cdb, data) == "ok"
    assert synchronized == [str(tmp_path / "disk")]


def test_software_write_protect(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(*select(mode.ControlPage(swp=True).encode())) == "ok"
    assert alice.code(WRITE, bytes(512)) == "7/27/02"
    assert sense(alice, 0x0A).header.wp
    assert alice.code(*select(mode.ControlPage().encode())) == "ok"
    assert alice.code(WRITE, bytes(512)) == "ok"


def test_descriptor_sense(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert not alice("ff0000000000").sense.descriptor_format
    assert alice.code(*select(mode.ControlPage(d_sense=True).encode())) == "ok"
    refused = alice("280000ffffff00000100", data_in=512).sense
    assert (refused.code, refused.descriptor_format) == ("5/21/00", True)


def test_a_block_descriptor_that_changes_nothing(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    for blocks, size, said in (
        (128, 512, "ok"),
        (0, 512, "ok"),
        (127, 512, "5/26/00"),
        (128, 4096, "5/26/00"),
    ):
        descriptor = mode.ShortBlockDescriptor(number_of_logical_blocks=blocks, logical_block_length=size)
        data = b"\0\0\0\x08" + descriptor.encode()
        assert alice.code(ModeSelect6(pf=True, parameter_list_length=12).encode(), data) == said


@pytest.mark.parametrize(
    ("fields", "data", "said"),
    [
        ({"pf": False}, bytes(4), "5/24/00"),
        ({"sp": True}, bytes(4), "5/24/00"),
        ({"rtd": True}, bytes(4), "5/24/00"),
        ({}, bytes(3), "5/1a/00"),
        ({}, bytes(4) + b"\x19\x06" + bytes(6), "5/26/00"),
        ({}, bytes(4) + b"\x0a\x0a\x04", "5/1a/00"),
        ({}, bytes(4) + b"\x0a\x08" + bytes(8), "5/26/00"),
        ({}, bytes(4) + b"\x0a\x0a\x01" + bytes(9), "5/26/00"),
        ({}, bytes(3) + b"\x08", "5/1a/00"),
        ({}, b"", "ok"),
    ],
)
def test_what_is_refused_changes_nothing(
    unit: MakeUnit, initiators: Initiators, fields: dict[str, bool], data: bytes, said: str
) -> None:
    alice, bob, _ = initiators(unit())
    cdb = ModeSelect6(**{"pf": True, **fields, "parameter_list_length": len(data)}).encode()
    assert alice.code(cdb, data) == said
    assert bob.code(TUR) == "ok"
    assert sense(alice, 0x0A).find(0x0A) == mode.ControlPage()
