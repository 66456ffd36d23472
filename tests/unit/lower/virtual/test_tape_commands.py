"""Blocks and filemarks of a virtual tape (SSC-4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import NodeError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Result
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.sense import Sense

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, REWIND, END = "000000000000", "010000000000", "110300000000"
NO_SENSE, BLANK_CHECK, OVERFLOW = 0x0, 0x8, 0xD


class Tape:
    """What a test does with a tape."""

    def __init__(self, asker: Any) -> None:
        self.ask = asker

    def write(self, data: bytes, *, blocks: int = 0) -> Result:
        """Write one block, or so many with FIXED."""
        return self.ask(bytes((0x0A, blocks > 0)) + (blocks or len(data)).to_bytes(3, "big") + b"\0", data)

    def read(self, length: int, *, sili: bool = False) -> Result:
        """Read one block of any length."""
        return self.ask(bytes((0x08, sili << 1)) + length.to_bytes(3, "big") + b"\0", data_in=length)

    def read_fixed(self, blocks: int, room: int) -> Result:
        """Read so many blocks."""
        return self.ask(bytes((0x08, 1)) + blocks.to_bytes(3, "big") + b"\0", data_in=room)

    def marks(self, count: int = 1) -> str:
        """Write filemarks."""
        return str(self.ask.code(bytes((0x10, 0)) + count.to_bytes(3, "big") + b"\0"))

    def space(self, code: int, count: int) -> Result:
        """SPACE(6)."""
        return self.ask(bytes((0x11, code)) + (count & 0xFFFFFF).to_bytes(3, "big") + b"\0")

    def at(self) -> int:
        """Return the position."""
        return int.from_bytes(self.ask("34000000000000000000", data_in=20).data[4:8], "big")

    def block_length(self, length: int) -> str:
        """Set the block length by MODE SELECT(6)."""
        data = bytes.fromhex("0000100800000000") + b"\0" + length.to_bytes(3, "big")
        return str(self.ask.code("151000000c00", data))


def sense(result: Result) -> Sense:
    assert result.sense is not None, result
    return result.sense


@pytest.fixture
def tape(unit: MakeUnit, initiators: Initiators) -> Tape:
    return Tape(initiators(unit(type=1, size=1 << 20, early_warning=1 << 16))[0])


def test_blocks_of_any_length_come_back(tape: Tape) -> None:
    blocks = [b"a" * 100, b"b", b"c" * 65536]
    assert all(tape.write(block).ok for block in blocks)
    assert tape.ask.code(REWIND) == "ok"
    for block in blocks:
        result = tape.read(len(block))
        assert (result.sense, bytes(result.data)) == (None, block)
    assert tape.at() == 3


def test_a_block_that_is_shorter_or_longer(tape: Tape) -> None:
    tape.write(b"x" * 100)
    tape.ask(REWIND)
    short = tape.read(120)
    assert (sense(short).key, sense(short).ili, sense(short).information) == (NO_SENSE, True, 20)
    assert (bytes(short.data), short.residual) == (b"x" * 100, 20)
    tape.ask(REWIND)
    long = tape.read(80)
    assert (sense(long).ili, sense(long).information, len(long.data)) == (True, (-20) & 0xFFFFFFFF, 80)
    assert tape.at() == 1  # behind the whole block
    for length in (80, 120):
        tape.ask(REWIND)
        assert tape.read(length, sili=True).sense is None
    tape.block_length(64)
    tape.ask(REWIND)
    assert tape.read(120, sili=True).sense is None
    tape.ask(REWIND)
    assert sense(tape.read(80, sili=True)).ili  # SILI hides no long block where a block length is set


def test_descriptor_sense_has_a_negative_residual_of_64_bits(tape: Tape) -> None:
    control = bytes.fromhex("00001000" + "0a0a04000000000000000000")
    assert tape.ask.code(f"15100000{len(control):02x}00", control) == "ok"
    tape.write(b"x" * 100)
    tape.ask(REWIND)
    assert sense(tape.read(80)).information == (-20) & 0xFFFFFFFFFFFFFFFF


def test_a_filemark_and_the_end_of_data(tape: Tape) -> None:
    tape.write(b"x")
    assert tape.marks() == "ok"
    tape.ask(REWIND)
    tape.read(1)
    mark = tape.read(50)
    assert (sense(mark).code, sense(mark).filemark, sense(mark).information) == ("0/00/01", True, 50)
    assert (len(mark.data), tape.at()) == (0, 2)
    end = tape.read(50)
    assert (sense(end).key, sense(end).code, sense(end).information) == (BLANK_CHECK, "8/00/05", 50)


def test_fixed_blocks(tape: Tape) -> None:
    assert sense(tape.read_fixed(1, 512)).code == "5/24/00"  # no block length yet
    assert tape.block_length(512) == "ok"
    data = b"".join(bytes((number,)) * 512 for number in range(5))
    assert tape.write(data, blocks=5).ok
    tape.marks()
    tape.write(b"odd")
    tape.ask(REWIND)
    assert bytes(tape.read_fixed(3, 1536).data) == data[:1536]
    mark = tape.read_fixed(4, 2048)
    assert (sense(mark).filemark, sense(mark).information, bytes(mark.data)) == (True, 2, data[1536:])
    odd = tape.read_fixed(2, 1024)
    assert (sense(odd).ili, sense(odd).information, len(odd.data)) == (True, 2, 0)
    assert sense(tape.ask("080300000100", data_in=512)).code == "5/24/00"  # SILI and FIXED
    assert sense(tape.read_fixed(1, 512)).information == 1  # the end of data


def test_writing_cuts_off_what_came_after(tape: Tape) -> None:
    for block in (b"a", b"b", b"c"):
        tape.write(block)
    assert tape.space(0, -2).ok
    tape.write(b"new")
    assert sense(tape.read(9)).code == "8/00/05"
    tape.ask(REWIND)
    assert tape.ask.code("190100000000") == "ok"  # ERASE
    assert sense(tape.read(9)).code == "8/00/05"


def test_space(tape: Tape) -> None:
    for block in (b"a", b"b"):
        tape.write(block)
    tape.marks(2)
    tape.write(b"c")
    tape.ask(REWIND)
    met = tape.space(0, 5)
    assert (sense(met).filemark, sense(met).information, tape.at()) == (True, 3, 3)
    back = tape.space(0, -2)
    assert (sense(back).filemark, sense(back).information, tape.at()) == (True, 2, 2)
    assert tape.space(1, 2).sense is None
    assert tape.at() == 4
    end = tape.space(1, 1)
    assert (sense(end).code, sense(end).information, tape.at()) == ("8/00/05", 1, 5)
    assert tape.space(1, -1).sense is None
    assert tape.at() == 3  # before the mark
    beginning = tape.space(1, -9)
    assert (sense(beginning).code, sense(beginning).eom, sense(beginning).information) == ("0/00/04", True, 8)
    assert tape.at() == 0
    assert tape.space(0, 0).ok
    beginning = tape.space(0, -1)
    assert (sense(beginning).code, sense(beginning).information) == ("0/00/04", 1)
    assert tape.space(3, 0).ok
    assert (tape.at(), sense(tape.space(0, 1)).code) == (5, "8/00/05")
    assert sense(tape.space(2, 1)).code == "5/24/00"
    assert tape.ask("91010000fffffffffffffffe00000000").ok  # SPACE(16), two filemarks back
    assert tape.at() == 2


def test_locate_and_read_position(tape: Tape) -> None:
    for block in (b"a", b"b"):
        tape.write(block)
        tape.marks()
    assert tape.ask.code("2b000000000001000000") == "ok"
    assert tape.at() == 1
    assert tape.ask.code("2b000000000009000000") == "8/00/05"
    assert tape.at() == 4
    assert tape.ask.code("2b020000000000000100") == "5/24/00"  # another partition
    assert tape.ask.code("9208000000000000000000010000" + "0000") == "ok"  # LOCATE(16), a file
    assert tape.at() == 2
    long = bytes(tape.ask("34060000000000000000", data_in=32).data)
    assert (long[0], int.from_bytes(long[8:16], "big"), int.from_bytes(long[16:24], "big")) == (0, 2, 1)
    assert tape.ask.code("9208000000000000000000030000" + "0000") == "8/00/05"
    assert tape.ask.code("9218000000000000000000000000" + "0000") == "ok"
    extended = bytes(tape.ask("34080000000000002000", data_in=32).data)
    assert (extended[2:4].hex(), int.from_bytes(extended[8:16], "big")) == ("001c", 4)
    tape.ask(REWIND)
    assert bytes(tape.ask("34000000000000000000", data_in=20).data)[0] == 0x80
    for cdb in ("34020000000000000000", "34000000000000001400", "92200000000000000000000000000000"):
        assert tape.ask.code(cdb, data_in=20) == "5/24/00"


def test_early_warning_and_the_end_of_the_medium(tape: Tape) -> None:
    block = b"e" * 65536
    written = 0
    while (result := tape.write(block)).sense is None:
        written += 1
    assert (sense(result).code, sense(result).eom, sense(result).information) == ("0/00/02", True, 0)
    assert (result.residual, tape.at()) == (0, written + 1)  # written all the same
    assert bytes(tape.ask("34000000000000000000", data_in=20).data)[0] & 0x40
    assert tape.marks() == "0/00/02"
    full = tape.write(block)
    assert (sense(full).key, sense(full).code, sense(full).eom) == (OVERFLOW, "d/00/02", True)
    assert (sense(full).information, full.residual) == (65536, 65536)


def test_write_protection(unit: MakeUnit, initiators: Initiators) -> None:
    tape = Tape(initiators(unit(type=1, write_protected=True))[0])
    assert (sense(tape.write(b"x")).code, tape.marks(), tape.marks(0)) == ("7/27/00", "7/27/00", "ok")
    assert tape.ask.code("190000000000") == "7/27/00"
    assert bytes(tape.ask("1a000000ff00", data_in=255).data)[2] == 0x90


def test_lengths_that_can_not_be(tape: Tape) -> None:
    assert bytes(tape.ask("050000000000", data_in=6).data).hex() == "008000000001"
    assert tape.ask.code("0a0080000100", bytes(16)) == "5/24/00"
    assert tape.block_length(0x800001) == "5/26/00"
    assert tape.ask.code("080100ffff00", data_in=16) == "5/24/00"
    assert (tape.read(0).ok, tape.ask("0a0000000000").ok, tape.at()) == (True, True, 0)
    assert tape.ask("0a0000020000", b"short").host_byte != 0


def test_unload_and_load(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(type=1))
    tape = Tape(alice)
    tape.write(b"kept")
    bob.code("1e0000000100")
    assert alice.code("1b0000000000") == "5/53/02"
    bob.code("1e0000000000")
    assert alice.code("1b0000000000") == "ok"
    assert (alice.code(TUR), sense(tape.read(4)).code) == ("2/3a/00", "2/3a/00")
    densities = [alice.code(f"440{media}0000000000010000", data_in=256) for media in (0, 1)]
    assert densities == ["ok", "2/3a/00"]
    assert alice.code("1b0000000100") == "ok"
    assert [bob.code(TUR), bob.code(TUR), alice.code(TUR)] == ["6/28/00", "ok", "ok"]
    assert bytes(tape.read(4).data) == b"kept"


def test_a_drive_without_a_medium(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(type=1, loaded=False))
    assert (alice.code(TUR), alice.code(REWIND)) == ("2/3a/00", "2/3a/00")
    assert alice.code("050000000000", data_in=6) == "ok"
    assert bytes(alice("1a000000ff00", data_in=255).data).hex() == "0b001008" + "00" * 8


def test_a_file_survives_a_restart(virtual: VirtualDriver, initiators: Initiators, tmp_path: Path) -> None:
    spec = UnitSpec.from_mapping({"type": "tape", "file": str(tmp_path / "a.tap")})
    host = virtual.add_host(HostSpec(units=(spec,)))
    tape = Tape(initiators(host.devices()[0])[0])
    for data in (b"one", b"three"):
        assert tape.write(data).ok
    assert tape.marks() == "ok"
    virtual.remove_host(host)
    assert (tmp_path / "a.tap").read_bytes().hex() == "03000000" + b"one".hex() + "00" + "03000000" + (
        "05000000" + b"three".hex() + "00" + "05000000" + "00000000"
    )
    with (tmp_path / "a.tap").open("ab") as file:
        file.write(b"\x09\0\0\0torn")  # what a crash may leave
    host = virtual.add_host(
        HostSpec(units=(UnitSpec.from_mapping({"type": "tape", "file": str(tmp_path / "a.tap")}),))
    )
    tape = Tape(initiators(host.devices()[0])[0])
    assert [bytes(tape.read(9, sili=True).data) for _ in range(2)] == [b"one", b"three"]
    assert (sense(tape.read(9)).filemark, sense(tape.read(9)).code) == (True, "8/00/05")
    assert tape.write(b"more").ok
    virtual.remove_host(host)
    assert (tmp_path / "a.tap").read_bytes()[-12:] == b"\4\0\0\0more\4\0\0\0"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\x7f" * 4, b"\x02\0\0\0ab\x03\0\0\0"])
def test_a_file_that_is_no_tape(virtual: VirtualDriver, tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "a.tap").write_bytes(garbage)
    with pytest.raises(NodeError, match="no tape image"):
        virtual.add_host(HostSpec(units=(UnitSpec(type=1, file=tmp_path / "a.tap"),)))


def test_modes(tape: Tape) -> None:
    assert bytes(tape.ask("1a000000ff00", data_in=255).data).hex() == "0b001008" + "46" + "00" * 7
    assert tape.block_length(1024) == "ok"
    assert bytes(tape.ask("1a000000ff00", data_in=255).data)[9:12].hex() == "000400"
    ten = bytes(tape.ask("5a081000000000ff0000"[:14] + "00ff00", data_in=255).data)
    assert (ten[3], ten[7], ten[8:10].hex()) == (0x10, 0, "100e")
    off = bytes.fromhex("00001000" + "0f0e40800000000100000001" + "00000000")
    assert tape.ask.code("151000001400", off) == "ok"
    assert bytes(tape.ask("1a080f00ff00", data_in=255).data)[6] == 0x40
    assert bytes(tape.ask("1a081000ff00", data_in=255).data)[18] == 0
    for wrong in ("00005000", "0000100800000000" + "00800001", "00001008" + "12" + "00" * 7):
        data = bytes.fromhex(wrong)
        assert tape.ask.code(f"15100000{len(data):02x}00", data) == "5/26/00"


def test_log_pages(tape: Tape) -> None:
    tape.write(b"x" * 100)
    tape.ask(REWIND)
    tape.read(60)
    page = bytes(tape.ask("4d004c0000000000ff00", data_in=255).data)
    assert [int.from_bytes(page[at + 4 : at + 12], "big") for at in range(4, 52, 12)] == [100, 100, 100, 60]
    alerts = bytes(tape.ask("4d006e00000000ffff00", data_in=65535).data)
    assert (len(alerts), alerts[:9].hex()) == (4 + 64 * 5, "ae000140" + "0001000100")
