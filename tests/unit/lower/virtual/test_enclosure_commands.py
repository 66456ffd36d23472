"""SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS of an enclosure (SES-3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import ses

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

# Overall elements at 0, 3, 5, 7 and 9, each 4 bytes, after a head of 8.
ENCLOSURE = {"type": 13, "slots": 2, "power_supplies": 1, "fans": 1, "temperature_sensors": 1}
ELEMENTS = 11
SLOT, SUPPLY, FAN, SENSOR, SELF = 1, 4, 6, 8, 10


def page(alice: Any, code: int) -> bytes:
    return bytes(alice(f"1c01{code:02x}ffff00", data_in=65535).raise_for_status().data)


def element(alice: Any, at: int, code: int = 2) -> str:
    return page(alice, code)[8 + 4 * at : 12 + 4 * at].hex()


def control(elements: dict[int, str], code: int = 2, flags: int = 0, generation: int = 0) -> bytes:
    body = b"".join(bytes.fromhex(elements.get(at, "00000000")) for at in range(ELEMENTS))
    head = bytes((code, flags)) + (4 + len(body)).to_bytes(2, "big") + generation.to_bytes(4, "big")
    return head + body


def select(alice: Any, data: bytes) -> str:
    return str(alice.code(f"1d1000{len(data):04x}00", data))


def test_the_list_of_pages(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE))
    assert page(alice, 0).hex() == "00000006" + "00010205070a"
    assert bytes(alice("1c0002ffff00", data_in=255).data) == page(alice, 0)  # without PCV
    assert (alice.code("1c010300ff00", data_in=255), alice.code("1c013f00ff00", data_in=255)) == (
        "5/35/01",
        "5/24/00",
    )
    assert bytes(alice("1c0102000400", data_in=255).data) == page(alice, 2)[:4]


def test_configuration(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE, naa="3" + "5" * 15, product="Shelf"))
    data = page(alice, 1)
    assert data[:16].hex() == "0100" + f"{len(data) - 4:04x}" + "00000000" + "11000524" + "35555555"
    assert data[48:68].hex() == "1702000c" + "0201000e" + "03010004" + "0401000c" + "0e010009"
    assert data[68:] == b"Device slotsPower suppliesFansTemperaturesEnclosure"


def test_every_element_and_its_control(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(**ENCLOSURE))
    at_first = {SLOT: "05000000", SUPPLY: "010000a0", FAN: "0100f0a3", SENSOR: "01003200", SELF: "01000000"}
    assert {at: element(alice, at) for at in at_first} == at_first
    wanted = {SLOT: "e0ff5e3c", SUPPLY: "80800040", FAN: "80800027", SENSOR: "80c00080", SELF: "80800003"}
    assert select(alice, control(wanted)) == "ok"
    now = {SLOT: "65ff4e3c", SUPPLY: "038000d0", FAN: "018230a7", SENSOR: "01c03280", SELF: "01800303"}
    assert {at: element(bob, at) for at in now} == now
    assert page(bob, 2)[1] == 0x04  # NON-CRIT: a power supply has been failed
    assert element(alice, SLOT + 1) == at_first[SLOT]


def test_without_select_nothing_happens_and_an_overall_element_is_for_all(
    unit: MakeUnit, initiators: Initiators
) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE))
    assert select(alice, control({SLOT: "00000200"})) == "ok"
    assert element(alice, SLOT) == "05000000"
    assert select(alice, control({0: "80000200", SLOT + 1: "80000020"})) == "ok"
    assert (element(alice, SLOT), element(alice, SLOT + 1)) == ("05000200", "05000020")
    assert select(alice, control({}, flags=0x09)) == "ok"  # INFO and UNRECOV are the initiator's to set
    assert page(alice, 2)[1] == 0x09


def test_a_fan_keeps_its_speed_if_none_is_asked_for(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE))
    assert select(alice, control({FAN: "80000020"})) == "ok"
    assert element(alice, FAN) == "0100f0a3"
    assert select(alice, control({FAN: "80000000"})) == "ok"
    assert element(alice, FAN) == "01000090"  # off


@pytest.mark.parametrize(
    ("temperature", "thresholds", "status", "flags"),
    [
        (30, "", "01003200", 0),
        (50, "", "03004604", 0x04),
        (60, "", "0200500c", 0x02),
        (4, "", "03001801", 0x04),
        (0, "", "02001403", 0x02),
        (30, "32321e19", "0200320c", 0x02),
    ],
)
def test_temperatures(
    unit: MakeUnit, initiators: Initiators, temperature: int, thresholds: str, status: str, flags: int
) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE, temperature=temperature))
    if thresholds:
        assert select(alice, control({SENSOR: thresholds}, code=5)) == "ok"
    assert element(alice, SENSOR, 5) == (thresholds or "50461914")
    assert (element(alice, SENSOR), page(alice, 2)[1]) == (status, flags)


def test_a_status_page_that_comes_back_leaves_no_condition_behind(
    unit: MakeUnit, initiators: Initiators
) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE, temperature=55))
    status = page(alice, 2)
    assert status[1] == 0x04
    assert select(alice, bytes((2, status[1] | 0x08)) + status[2:8] + bytes(4 * ELEMENTS)) == "ok"
    assert page(alice, 2)[1] == 0x0C  # INFO is what was asked for
    assert select(alice, control({SENSOR: "7d7d0000"}, code=5)) == "ok"
    assert page(alice, 2)[1] == 0x08


def test_control_pages_that_are_refused(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE))
    whole = control({SLOT: "80000200"})
    assert select(alice, control({}, generation=1)) == "5/26/00"
    assert select(alice, whole[:-4]) == "5/1a/00"
    assert select(alice, whole[:3] + bytes((whole[3] - 4,)) + whole[4:]) == "5/26/00"
    assert select(alice, whole[:6]) == "5/1a/00"
    assert (select(alice, control({}, code=4)), select(alice, control({}, code=0x40))) == (
        "5/35/01",
        "5/26/00",
    )
    assert select(alice, control({SLOT: "80000200", SELF: "80004000"})) == "5/26/00"  # a power cycle
    assert alice.code(f"1d0000{len(whole):04x}00", whole) == "5/24/00"  # without PF
    assert alice.code(f"1d1400{len(whole):04x}00", whole) == "5/24/00"  # a self-test besides
    assert element(alice, SLOT) == "05000000"
    assert alice.code("1d0400000000") == "ok"  # the self-test is there as well


def test_slots_hold_units_of_the_host(virtual: VirtualDriver, initiators: Initiators) -> None:
    bays = UnitSpec.from_mapping({"type": "enclosure", "slots": 2, "bays": "- 0:7:3"})
    disk = UnitSpec(target=7, lun=3, size=512, naa="35" * 8)
    host = virtual.add_host(HostSpec(units=(bays, disk)))
    try:
        alice, _, _ = initiators(host.devices()[0])
        assert (element(alice, 1), element(alice, 2)) == ("05000000", "01000000")
        first, second = page(alice, 0x0A)[8:44], page(alice, 0x0A)[44:80]
        assert first[:8].hex() == "96220101" + "01010000"
        assert second[:8].hex() == "16220102" + "01010001"
        assert (second[8:12].hex(), second[20:28].hex()) == ("10000008", "35" * 8)
        virtual.unplug(host.devices()[1])
        assert (element(alice, 2), element(alice, 1)) == ("15000000", "05000000")
        virtual.plug(host, disk)
        assert select_swap(alice) == "01000000"
    finally:
        virtual.remove_host(host)


def select_swap(alice: Any) -> str:
    """Reset SWAP of the second slot and return its status."""
    assert element(alice, 2) == "11000000"
    data = bytearray(page(alice, 2))
    data[8:] = bytes(len(data) - 8)
    data[16] = 0x90
    assert select(alice, bytes(data)) == "ok"
    return element(alice, 2)


def test_what_is_set_outlives_a_reset(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit(**ENCLOSURE)
    alice, _, _ = initiators(device)
    assert select(alice, control({SLOT: "80000200"})) == "ok"
    device.hostdata.reset()
    alice.code("000000000000")
    assert element(alice, SLOT) == "05000200"


def test_our_own_decoders_read_the_pages(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(**ENCLOSURE))
    configuration = ses.decode_configuration(page(alice, 1))
    assert len(list(configuration.places())) == ELEMENTS
    statuses = ses.decode_elements(page(alice, 2), 2, configuration)
    assert statuses[1, 0].hex() == "010000a0"
    texts = dict(zip(configuration.places(), ses.decode_descriptors(page(alice, 7)), strict=True))
    assert (texts[0, 1], texts[4, 0], texts[4, None]) == ("Slot 02", "Enclosure 01", "")
