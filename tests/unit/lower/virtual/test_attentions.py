"""Unit attentions of each nexus (SAM-5 5.14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midlayer.errors import NodeError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.attentions import (
    CAPACITY_CHANGED,
    DEVICE_RESET,
    MOST_PENDING,
    REPORTED_LUNS_CHANGED,
    Attention,
    Attentions,
)
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.mid.subsystem import Subsystem

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR = "000000000000"
INQUIRY = "120000002400"
REQUEST_SENSE = "03000000fc00"
REPORT_LUNS = "a0000000000000001000" + "0000"


def test_each_nexus_is_told_once_and_in_order(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit()
    alice, bob, _ = initiators(device)
    device.hostdata.attend(CAPACITY_CHANGED)
    device.hostdata.attend(Attention(0x3F, 0x03))
    device.hostdata.attend(CAPACITY_CHANGED)
    assert [alice.code(TUR) for _ in range(3)] == ["6/2a/09", "6/3f/03", "ok"]
    assert [bob.code(TUR) for _ in range(3)] == ["6/2a/09", "6/3f/03", "ok"]


def test_who_does_not_report_an_attention(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit()
    alice, bob, _ = initiators(device)
    device.hostdata.attend(REPORTED_LUNS_CHANGED)
    assert alice.code(INQUIRY, data_in=36) == "ok"
    sense = alice(REQUEST_SENSE, data_in=252).data
    assert (sense[2], sense[12], sense[13]) == (6, 0x3F, 0x0E)
    assert alice.code(TUR) == "ok"  # REQUEST SENSE has told it
    assert bob.code(REPORT_LUNS, data_in=256) == "ok"
    assert bob.code(TUR) == "ok"  # and so has REPORT LUNS


def test_a_nexus_that_comes_later_is_told_nothing(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit()
    device.hostdata.attend(CAPACITY_CHANGED)
    alice, _, _ = initiators(device)
    assert alice.code(TUR) == "ok"


def test_a_unit_without_attentions_is_not_guarded(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit()
    alice, bob, other = initiators(device)
    virtual = device.hostdata
    assert virtual.table is virtual.commands
    virtual.attend(CAPACITY_CHANGED, spare=LOCAL)
    assert virtual.table is not virtual.commands
    for asker in (alice, bob):
        assert asker.code(TUR) == "6/2a/09"
    virtual.nexus_lost(other.nexus)
    assert virtual.table is virtual.commands


def test_a_reset_takes_the_place_of_everything_before(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit()
    alice, bob, _ = initiators(device)
    device.hostdata.attend(CAPACITY_CHANGED)
    assert bob.code("160000000000") == "6/2a/09"
    assert bob.code("160000000000") == "ok"  # RESERVE(6)
    device.hostdata.reset(DEVICE_RESET)
    assert [alice.code(TUR), alice.code(TUR), bob.code(TUR)] == ["6/29/03", "ok", "6/29/03"]


def test_plugging_tells_the_other_units_of_the_target(
    subsystem: Subsystem, virtual: VirtualDriver, initiators: Initiators
) -> None:
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=512), UnitSpec(size=512, target=1))))
    here, elsewhere = subsystem.devices()
    alice, _, _ = initiators(here)
    stranger, _, _ = initiators(elsewhere)
    plugged = virtual.plug(host, UnitSpec(size=512, lun=1))
    assert alice.code(TUR) == "6/3f/0e"
    virtual.unplug(plugged)
    assert alice.code(TUR) == "6/3f/0e"
    assert stranger.code(TUR) == "ok"
    assert type(alice)(here, LOCAL).code(TUR) == "ok"  # our own mid level did it itself


def test_resets_of_a_target_and_of_a_bus(
    subsystem: Subsystem, virtual: VirtualDriver, initiators: Initiators
) -> None:
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=512), UnitSpec(size=512, target=1))))
    first, second = (initiators(device)[0] for device in subsystem.devices())
    virtual.reset_target(host, 0, 0)
    assert (first.code(TUR), second.code(TUR)) == ("6/29/03", "ok")
    virtual.reset_bus(host, 0)
    assert (first.code(TUR), second.code(TUR)) == ("6/29/02", "6/29/02")
    virtual.reset_device(second.device)
    assert (first.code(TUR), second.code(TUR)) == ("ok", "6/29/03")


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize("file", [True, False])
def test_resize(unit: MakeUnit, initiators: Initiators, tmp_path: Any, file: bool, grow: bool) -> None:
    keys = {"file": tmp_path / "disk"} if file else {}
    device = unit(size=65536, **keys)
    alice, _, _ = initiators(device)
    assert alice.code("2a00000000000000" + "8000", bytes(65535) + b"x") == "ok"
    device.hostdata.resize(131072 if grow else 32768)
    assert alice.code(TUR) == "6/2a/09"
    blocks = 256 if grow else 64
    capacity = alice("25000000000000000000", data_in=8).data
    assert int.from_bytes(capacity[:4], "big") == blocks - 1
    assert alice.code(f"2800{blocks - 1:08x}00000100", data_in=512) == "ok"
    assert alice.code(f"2800{blocks:08x}00000100", data_in=512) == "5/21/00"
    if grow:
        over = b"abcd" * 256
        assert alice.code("2a000000007f00000200", over) == "ok"  # across the old end
        assert bytes(alice("2800000000" + "7e00000400", data_in=2048).data) == bytes(512) + over + bytes(512)
    else:
        device.hostdata.resize(65536)
        alice.code(TUR)
        assert not any(alice("28000000004000004000", data_in=32768).data)


@pytest.mark.parametrize("size", [32768, 131072])
def test_a_resize_that_fails_changes_nothing(
    unit: MakeUnit, initiators: Initiators, tmp_path: Any, size: int
) -> None:
    (tmp_path / "disk").write_bytes(bytes(65535) + b"x")
    device = unit(size=65536, file=tmp_path / "disk", write_protected=True)
    alice, _, _ = initiators(device)
    with pytest.raises(NodeError, match="disk"):
        device.hostdata.resize(size)
    assert alice.code(TUR) == "ok"
    assert bytes(alice("28000000007f00000100", data_in=512).data)[-1:] == b"x"


def test_a_queue_is_not_endless() -> None:
    attentions, nexus = Attentions(), Nexus("n", bytes(24))
    attentions.meet(nexus)
    for ascq in range(MOST_PENDING + 5):
        attentions.establish(Attention(0x3F, ascq))
    assert attentions.take(nexus) == Attention(0x3F, 5)
