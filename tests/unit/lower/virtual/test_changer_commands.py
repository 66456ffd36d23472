"""A medium changer and the tapes that it loads (SMC-3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.smc import Element, decode_element_status

Initiators = Callable[[LogicalUnit], Any]

TUR, REWIND = "000000000000", "010000000000"
DRIVE, MAIL, SLOT = 0x100, 0x200, 0x400
ALL, TRANSPORT, STORAGE, IMPORT_EXPORT, TRANSFER = range(5)


def library(**keys: object) -> HostSpec:
    """Two drives, of which the second is not there, and three slots with two cartridges."""
    given = {"type": "changer", "slots": 3, "mail_slots": 1, "drives": "0:1:0 0:2:0"}
    given |= {"cartridges": "AA1 - AA3"}
    changer = UnitSpec.from_mapping({**given, **keys})
    drive = UnitSpec(target=1, type=1, size=1 << 20, loaded=False, product="A drive", serial="D1")
    return HostSpec(units=(changer, drive))


@pytest.fixture
def host(virtual: VirtualDriver) -> Iterator[Host]:
    host = virtual.add_host(library())
    yield host
    virtual.remove_host(host)


def words(*addresses: int) -> str:
    return "".join(f"{address:04x}" for address in addresses)


def move(asker: Any, source: int, destination: int) -> str:
    return str(asker.code(f"a500{words(0, source, destination)}00000000"))


def exchange(asker: Any, source: int, first: int, second: int) -> str:
    return str(asker.code(f"a600{words(0, source, first, second)}0000"))


def status(
    asker: Any, kind: int = ALL, first: int = 0, count: int = 0xFFFF, flags: int = 0x10, devices: int = 0
) -> list[Element]:
    cdb = f"b8{flags | kind:02x}{words(first, count)}{devices:02x}00ffff0000"
    return decode_element_status(bytes(asker(cdb, data_in=65535).raise_for_status().data))


def inventory(asker: Any) -> dict[int, str]:
    return {
        one.status.element_address: one.tag.volume_identifier if one.tag is not None else ""
        for one in status(asker)
        if one.status.full
    }


def test_every_element_by_type(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    found = [(one.kind, one.status.element_address, one.status.full) for one in status(alice)]
    assert found == [
        (TRANSPORT, 0, False),
        (STORAGE, SLOT, True), (STORAGE, SLOT + 1, False), (STORAGE, SLOT + 2, True),
        (IMPORT_EXPORT, MAIL, False),
        (TRANSFER, DRIVE, False), (TRANSFER, DRIVE + 1, False),
    ]  # fmt: skip
    mail = status(alice, IMPORT_EXPORT)[0].status
    assert (mail.access, mail.inenab, mail.exenab) == (True, True, True)
    there, missing = (one.status for one in status(alice, TRANSFER))
    assert (there.access, there.exception) == (True, False)
    assert (missing.access, missing.exception, missing.additional_sense_code) == (False, True, 0x3B)
    assert inventory(alice) == {SLOT: "AA1", SLOT + 2: "AA3"}


def test_the_data_as_the_standard_has_it(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    tagged = bytes(alice("b812000000010000ffff0000", data_in=255).data)
    assert tagged[:28].hex() == "0400000100" + "00003c" + "02800034" + "00000034" + "0400" + "0900" + "00" * 8
    assert tagged[28:64] == b"AA1".ljust(32) + bytes(4)
    assert len(tagged) == 8 + 8 + 0x34
    plain = bytes(alice("b80400000002000000ff0000", data_in=255).data)
    assert plain[:16].hex() == "0100000200000028" + "0400001000000020"


def test_ranges_and_names_of_devices(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    assert [one.status.element_address for one in status(alice, first=SLOT + 1)] == [SLOT + 1, SLOT + 2]
    assert [one.status.element_address for one in status(alice, count=3)] == [0, DRIVE, DRIVE + 1]
    assert [one.device for one in status(alice, TRANSFER, devices=1)] == ["MIDLAYERA drive         D1", ""]
    assert [one.tag for one in status(alice, STORAGE, flags=0)] == [None] * 3
    assert status(alice, STORAGE, first=0x500) == []
    assert alice.code("b8050000ffff0000ffff0000", data_in=255) == "5/24/00"


def test_a_cartridge_that_is_moved_is_the_medium_of_the_tape(host: Host, initiators: Initiators) -> None:
    changer, _, _ = initiators(host.devices()[0])
    tape, other, _ = initiators(host.devices()[1])
    assert tape.code(TUR) == "2/3a/00"
    assert move(changer, SLOT, DRIVE) == "ok"
    assert [tape.code(TUR), tape.code(TUR), other.code(TUR)] == ["6/28/00", "ok", "6/28/00"]
    assert tape.code("0a0000000300", b"one") == "ok"
    assert inventory(changer) == {DRIVE: "AA1", SLOT + 2: "AA3"}
    drive = status(changer, TRANSFER)[0].status
    assert (drive.svalid, drive.source_storage_element_address) == (True, SLOT)
    assert move(changer, DRIVE, SLOT + 1) == "ok"
    assert tape.code(REWIND) == "2/3a/00"
    assert move(changer, SLOT + 2, DRIVE) == "ok"
    assert [tape.code(TUR), tape.code("080000000300", data_in=3)] == ["6/28/00", "8/00/05"]
    assert exchange(changer, SLOT + 1, DRIVE, SLOT) == "ok"
    tape.code(TUR)
    assert bytes(tape("080000000300", data_in=3).data) == b"one"
    assert inventory(changer) == {DRIVE: "AA1", SLOT: "AA3"}


def test_moves_that_can_not_be(host: Host, initiators: Initiators) -> None:
    alice, bob, _ = initiators(host.devices()[0])
    tape, _, _ = initiators(host.devices()[1])
    assert move(alice, SLOT + 1, DRIVE) == "5/3b/0e"
    assert move(alice, SLOT, SLOT + 2) == "5/3b/0d"
    assert (move(alice, SLOT, 0x999), move(alice, 0x999, SLOT)) == ("5/21/01", "5/21/01")
    assert move(alice, SLOT, DRIVE + 1) == "5/3b/1a"
    assert alice.code(f"a500{words(5, SLOT, DRIVE)}00000000") == "5/21/01"
    assert alice.code(f"a500{words(0, SLOT, DRIVE)}00000100") == "5/24/00"
    assert exchange(alice, SLOT, SLOT + 1, SLOT) == "5/3b/0e"
    assert exchange(alice, SLOT, SLOT + 2, SLOT + 2) == "5/3b/0d"
    assert exchange(alice, SLOT, SLOT, SLOT) == exchange(alice, SLOT, SLOT, SLOT + 1) == "5/3b/0d"
    assert move(alice, SLOT, SLOT) == "ok"
    bob.code("1e0000000100")
    assert move(alice, SLOT, MAIL) == "5/53/02"
    bob.code("1e0000000000")
    assert move(alice, SLOT, MAIL) == "ok"
    assert move(alice, SLOT + 2, DRIVE) == "ok"
    tape.code(TUR)
    tape.code("1e0000000100")
    assert move(alice, DRIVE, SLOT) == "5/53/02"
    assert exchange(alice, MAIL, DRIVE, SLOT) == "5/53/02"
    assert inventory(alice) == {MAIL: "AA1", DRIVE: "AA3"}


def test_exchange_in_place(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    assert exchange(alice, SLOT, SLOT + 2, SLOT) == "ok"
    assert inventory(alice) == {SLOT: "AA3", SLOT + 2: "AA1"}


def test_commands_that_move_nothing(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    assert alice.code("070000000000") == "ok"
    assert (alice.code("37010400000000030000"), alice.code("37010999000000030000")) == ("ok", "5/21/01")
    assert (alice.code("2b000000040000000000"), alice.code("2b000000099900000000")) == ("ok", "5/21/01")
    assert (alice.code("2b000001040000000000"), alice.code("2b000000040000000100")) == ("5/21/01", "5/24/00")


def test_mode_pages(host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    page = bytes(alice("1a081d00ff00", data_in=255).data)
    assert page[4:].hex() == "1d12" + words(0, 1, SLOT, 3, MAIL, 1, DRIVE, 2) + "0000"
    page = bytes(alice("1a081f00ff00", data_in=255).data)
    assert page[4:].hex() == "1f120f00" + "0f0f0f0f" + "00000000" + "000e0e0e" + "00000000"
    assert bytes(alice("1a081e00ff00", data_in=255).data)[4:].hex() == "1e020000"


def test_a_drive_that_is_pulled_out(virtual: VirtualDriver, host: Host, initiators: Initiators) -> None:
    alice, _, _ = initiators(host.devices()[0])
    assert move(alice, SLOT, DRIVE) == "ok"
    virtual.unplug(host.devices()[1])
    assert status(alice, TRANSFER)[0].status.exception
    assert move(alice, DRIVE, SLOT) == "5/3b/0e"
    assert move(alice, SLOT + 2, SLOT) == "ok"


def test_a_directory_survives_a_restart(
    virtual: VirtualDriver, initiators: Initiators, tmp_path: Path
) -> None:
    spec = library(directory=str(tmp_path / "tapes"))
    host = virtual.add_host(spec)
    changer, _, _ = initiators(host.devices()[0])
    tape, _, _ = initiators(host.devices()[1])
    assert move(changer, SLOT + 2, MAIL) == "ok"
    assert move(changer, SLOT, SLOT + 1) == "ok"
    assert move(changer, SLOT + 1, DRIVE) == "ok"
    tape.code(TUR)
    assert tape.code("0a0000000400", b"kept") == "ok"
    virtual.remove_host(host)
    assert json.loads((tmp_path / "tapes/inventory.json").read_text()) == {"AA1": SLOT + 1, "AA3": MAIL}
    host = virtual.add_host(spec)
    changer, _, _ = initiators(host.devices()[0])
    tape, _, _ = initiators(host.devices()[1])
    assert inventory(changer) == {SLOT + 1: "AA1", MAIL: "AA3"}  # what was in a drive is back in its slot
    assert move(changer, SLOT + 1, DRIVE) == "ok"
    tape.code(TUR)
    assert bytes(tape("080000000400", data_in=4).data) == b"kept"
    virtual.remove_host(host)


def test_a_cartridge_that_can_not_be_read_stays_in_the_transport(
    virtual: VirtualDriver, initiators: Initiators, tmp_path: Path
) -> None:
    (tmp_path / "AA1.tap").write_bytes(b"\xff\xff\xff\x7f" * 4)
    host = virtual.add_host(library(directory=str(tmp_path)))
    changer, _, _ = initiators(host.devices()[0])
    tape, _, _ = initiators(host.devices()[1])
    assert move(changer, SLOT, DRIVE) == "4/53/00"
    assert (inventory(changer), tape.code(TUR)) == ({0: "AA1", SLOT + 2: "AA3"}, "2/3a/00")
    assert move(changer, SLOT + 2, DRIVE) == "ok"
    assert exchange(changer, 0, DRIVE, SLOT + 1) == "4/53/00"
    assert inventory(changer) == {0: "AA1", SLOT + 1: "AA3"}
    assert move(changer, SLOT + 1, DRIVE) == "ok"
    assert move(changer, 0, SLOT) == "ok"
    assert inventory(changer) == {SLOT: "AA1", DRIVE: "AA3"}
    assert sorted(path.name for path in tmp_path.glob("*.tap")) == ["AA1.tap", "AA3.tap"]
    virtual.remove_host(host)


@pytest.mark.parametrize("kept", ["[]", "{", '{"AA1": 9, "AA3": "x"}', '{"AA1": 1024, "AA3": 1024}'])
def test_an_inventory_that_can_not_be(
    virtual: VirtualDriver, initiators: Initiators, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "inventory.json").write_text(kept)
    host = virtual.add_host(library(directory=str(tmp_path)))
    changer, _, _ = initiators(host.devices()[0])
    assert sorted(inventory(changer).values()) == ["AA1", "AA3"]
    virtual.remove_host(host)
