"""FORMAT UNIT, SANITIZE, READ DEFECT DATA (SBC-3)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import sbc_medium

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR = "000000000000"
OVERWRITE, BLOCK_ERASE, CRYPTO, EXIT = 1, 2, 3, 0x1F


def sanitize(action: int, data: bytes = b"", **fields: bool) -> tuple[bytes, bytes | None]:
    cdb = sbc_medium.Sanitize(service_action=action, parameter_list_length=len(data), **fields).encode()
    return cdb, data or None


def whole(asker: Any) -> bytes:
    return bytes(asker("28000000000000008000", data_in=65536).raise_for_status().data)


def filled(asker: Any) -> Any:
    assert asker.code("2a000000000000008000", b"x" * 65536) == "ok"
    return asker


@pytest.mark.parametrize("action", [BLOCK_ERASE, CRYPTO])
def test_erase(unit: MakeUnit, initiators: Initiators, action: int) -> None:
    alice = filled(initiators(unit(thin=True))[0])
    assert alice.code(*sanitize(action, b"abcd")) == "5/24/00"
    assert alice.code(*sanitize(action)) == "ok"
    assert not any(whole(alice))


@pytest.mark.parametrize("byte", range(1, 7))
@pytest.mark.parametrize("action", [OVERWRITE, BLOCK_ERASE, CRYPTO, EXIT])
def test_reserved_bits_of_sanitize(unit: MakeUnit, initiators: Initiators, action: int, byte: int) -> None:
    alice = filled(initiators(unit(thin=True))[0])
    cdb = bytearray(sanitize(action)[0])
    cdb[byte] |= 0x40
    assert alice.code(bytes(cdb)) == "5/24/00"
    assert whole(alice) == b"x" * 65536


@pytest.mark.parametrize(
    ("header", "last"), [("01000004", b"\x0f"), ("82000004", b"\xf0"), ("83000004", b"\x0f")]
)
def test_overwrite(unit: MakeUnit, initiators: Initiators, header: str, last: bytes) -> None:
    alice = filled(initiators(unit())[0])
    assert alice.code(*sanitize(OVERWRITE, bytes.fromhex(header) + b"\x0f" * 4)) == "ok"
    assert whole(alice) == last * 65536


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes.fromhex("01000000"), "5/24/00"),
        (bytes.fromhex("01000201") + bytes(513), "5/24/00"),
        (bytes.fromhex("00000004") + bytes(4), "5/26/00"),
        (bytes.fromhex("01000005") + bytes(4), "5/26/00"),
    ],
)
def test_overwrite_refused(unit: MakeUnit, initiators: Initiators, data: bytes, said: str) -> None:
    alice = filled(initiators(unit())[0])
    assert alice.code(*sanitize(OVERWRITE, data)) == said
    assert whole(alice) == b"x" * 65536


@pytest.mark.parametrize("ause", [False, True])
def test_a_sanitize_operation_that_fails(unit: MakeUnit, initiators: Initiators, ause: bool) -> None:
    device = unit(thin=True)
    alice = filled(initiators(device)[0])
    zero = device.hostdata.medium.zero

    def broken(offset_bytes: int, length_bytes: int) -> None:
        raise OSError(errno.EIO, "broken")

    device.hostdata.medium.zero = broken
    assert alice.code(*sanitize(BLOCK_ERASE, ause=ause)) == "3/31/03"
    assert alice.code(TUR) == "3/31/03"
    assert alice.code("28000000000000000100", data_in=512) == "3/31/03"
    assert alice.code("120000002400", data_in=36) == "ok"
    assert alice.code(*sanitize(EXIT)) == ("ok" if ause else "5/24/00")
    device.hostdata.medium.zero = zero
    if not ause:  # then only a sanitize operation that ends well helps
        assert alice.code(*sanitize(BLOCK_ERASE)) == "ok"
    assert alice.code(TUR) == "ok"
    assert alice.code(*sanitize(EXIT)) == "ok"


def test_a_stopped_disk_is_not_sanitized(unit: MakeUnit, initiators: Initiators) -> None:
    alice = filled(initiators(unit(thin=True))[0])
    alice("1b0000000000")
    assert alice.code(*sanitize(BLOCK_ERASE)) == "2/04/02"


def test_block_erase_is_for_thin_disks(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(*sanitize(BLOCK_ERASE)) == "5/24/00"
    assert alice.code(*sanitize(0x0A)) == "5/24/00"


def test_format_unit(unit: MakeUnit, initiators: Initiators) -> None:
    alice = filled(initiators(unit())[0])
    for cdb, data, said in (
        ("04c000000000", None, "5/24/00"),  # protection information
        ("041000000000", b"\x01\0\0\0", "5/26/00"),
        ("041000000000", b"\0\x08\0\0", "5/26/00"),  # initialization pattern
        ("041000000000", b"\0\0\0\x04", "5/26/00"),
        ("043000000000", b"\0\0\0\0\0\0\0\x04", "5/26/00"),
        ("041000000000", b"\0\0", "5/1a/00"),
    ):
        assert alice.code(cdb, data) == said
    assert whole(alice) == b"x" * 65536
    assert alice.code("041000000000", b"\0\x02\0\0") == "ok"
    assert not any(whole(alice))
    assert filled(alice).code("040000000000") == "ok"
    assert not any(whole(alice))


def test_read_defect_data(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert bytes(alice("37001d0000000000" + "ff00", data_in=255).data).hex() == "001d0000"
    assert bytes(alice("b70d00000000000000ff" + "0000", data_in=255).data).hex() == "000d000000000000"
