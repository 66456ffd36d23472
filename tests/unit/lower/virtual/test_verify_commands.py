"""COMPARE AND WRITE, ORWRITE, WRITE ATOMIC, WRITE AND VERIFY, PRE-FETCH (SBC-3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]


def cdb16(opcode: int, lba: int, blocks: int, flags: int = 0) -> bytes:
    return bytes((opcode, flags)) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + b"\0\0"


def stored(asker: Any, lba: int, blocks: int) -> bytes:
    return bytes(asker(cdb16(0x88, lba, blocks), data_in=blocks * 512).raise_for_status().data)


def test_compare_and_write(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb16(0x89, 3, 2), bytes(1024) + b"a" * 1024) == "ok"
    assert stored(alice, 2, 4) == bytes(512) + b"a" * 1024 + bytes(512)
    refused = alice(cdb16(0x89, 3, 2), b"a" * 700 + b"b" + b"a" * 323 + b"c" * 1024)
    assert (refused.sense.code, refused.sense.information) == ("e/1d/00", 700)
    assert stored(alice, 3, 2) == b"a" * 1024
    assert alice.code(cdb16(0x89, 3, 0)) == "ok"
    assert alice.code(cdb16(0x89, 3, 0), bytes(2 * 256 * 512)) == "5/24/00"
    assert alice.code(cdb16(0x89, 3, 1), bytes(1023)) == "5/1a/00"
    assert alice.code(cdb16(0x89, 128, 1), bytes(1024)) == "5/21/00"
    assert alice.code(cdb16(0x89, 0, 1, flags=0x20), bytes(1024)) == "5/24/00"


def test_or_write(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    alice(cdb16(0x8A, 1, 2), b"\x0f" * 512 + b"\x80" * 512)
    assert alice.code(cdb16(0x8B, 1, 2), b"\xf0" * 512 + b"\x01" * 512) == "ok"
    assert stored(alice, 1, 2) == b"\xff" * 512 + b"\x81" * 512
    assert alice.code(cdb16(0x8B, 1, 0)) == "ok"
    assert alice.code(cdb16(0x8B, 127, 2), bytes(1024)) == "5/21/00"


def test_write_atomic(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb16(0x9C, 1, 2), b"x" * 1024) == "ok"
    assert stored(alice, 1, 2) == b"x" * 1024
    assert alice.code(bytes((0x9C, *bytes(9), 0, 8, 0, 1, 0, 0)), bytes(512)) == "5/24/00"  # a boundary
    assert alice.code(cdb16(0x9C, 127, 2), bytes(1024)) == "5/21/00"


@pytest.mark.parametrize(
    "cdb",
    [
        bytes.fromhex("2e020000000500000200"),
        bytes.fromhex("ae02000000050000000200" + "00"),
        cdb16(0x8E, 5, 2, flags=2),
    ],
)
def test_write_and_verify(unit: MakeUnit, initiators: Initiators, cdb: bytes) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb, b"v" * 1024) == "ok"
    assert stored(alice, 4, 4) == bytes(512) + b"v" * 1024 + bytes(512)
    assert alice.code(bytes((cdb[0], 0x04)) + cdb[2:], bytes(1024)) == "5/24/00"


@pytest.mark.parametrize("cdb", ["34000000000500000200", "9000" + "00" * 7 + "05" + "00000002" + "0000"])
def test_prefetch(unit: MakeUnit, initiators: Initiators, cdb: str) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(cdb) == "ok"
    assert alice.code(cdb.replace("05", "7f")) == "5/21/00"


@pytest.mark.parametrize("opcode", [0x89, 0x8B, 0x9C, 0x8E, 0x2E, 0x93, 0x48, 0x04])
def test_a_write_protected_disk(unit: MakeUnit, initiators: Initiators, opcode: int) -> None:
    alice, _, _ = initiators(unit(write_protected=True))
    cdb = cdb16(opcode, 0, 1, flags=1 if opcode == 0x48 else 0)
    assert alice.code(cdb, bytes(1024)) == "7/27/00"
