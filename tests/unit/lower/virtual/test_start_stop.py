"""START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from midlayer.mid.logical_unit import LogicalUnit

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, INQUIRY, READ = "000000000000", "120000002400", "28000000000000000100"
START, STOP, LOAD, EJECT = "1b0000000100", "1b0000000000", "1b0000000300", "1b0000000200"
PREVENT, ALLOW = "1e0000000100", "1e0000000000"


def test_stop_and_start(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    assert alice.code(STOP) == "ok"
    assert (bob.code(TUR), bob.code(READ, data_in=512)) == ("2/04/02", "2/04/02")
    assert bob.code(INQUIRY, data_in=36) == "ok"
    sense = bob("03000000fc00", data_in=252).data
    assert (sense[2], sense[12], sense[13]) == (2, 4, 2)
    assert (bob.code(START), bob.code(TUR)) == ("ok", "ok")
    log = bytes(alice("4d004e0000000000fc00", data_in=252).data)
    assert log.hex() == "8e000008" + "0004000400000001"


def test_eject_and_load(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(removable=True))
    assert alice.code(EJECT) == "ok"
    assert (bob.code(TUR), bob.code(START)) == ("2/3a/00", "2/3a/00")
    assert alice.code(LOAD) == "ok"
    assert [bob.code(TUR), bob.code(TUR), alice.code(TUR)] == ["6/28/00", "ok", "ok"]
    assert alice.code(STOP) == "ok"
    assert alice.code(TUR) == "ok"  # nothing turns that could be stopped


def test_a_medium_that_can_not_be_removed_stays(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert (alice.code(EJECT), alice.code(TUR)) == ("5/24/00", "ok")


def test_prevention_is_a_matter_of_each_nexus(unit: MakeUnit, initiators: Initiators) -> None:
    device = unit(removable=True)
    alice, bob, _ = initiators(device)
    assert (alice.code(PREVENT), bob.code(PREVENT)) == ("ok", "ok")
    assert alice.code(ALLOW) == "ok"
    assert alice.code(EJECT) == "5/53/02"
    device.hostdata.nexus_lost(bob.nexus)
    assert (alice.code(EJECT), alice.code("1e0000000200")) == ("ok", "5/24/00")
    assert alice.code(LOAD) == "ok"
    bob.code(PREVENT)
    device.hostdata.reset()
    bob.code(TUR)
    alice.code(TUR)
    assert alice.code(EJECT) == "ok"


def test_power_conditions_change_nothing(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(removable=True))
    for condition in range(1, 16):
        assert (alice.code(f"1b000000{condition << 4 | 2:02x}00"), alice.code(TUR)) == ("ok", "ok")
