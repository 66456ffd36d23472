"""Quarantine: before any upper-level driver sees it, and out again the moment it may."""

from __future__ import annotations

from typing import Any

import pytest

from midlayer.errors import NoSuchDevice
from midlayer.lower.virtual import UnitSpec
from midlayer.mid.attention import tell_kernel_attention
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.policy import QuarantineAction, QuarantineRule
from midlayer.upper.scsimon import Kind
from midlayer.upper.sg import BoundDevice, SgDriver

from .conftest import Array

HOLD = QuarantineRule(vendor="ACME", model="Array*", qualifier=1, probe_s=1.0, max_probe_s=8.0)
REMOVE = QuarantineRule(vendor="ACME", qualifier=1, action=QuarantineAction.REMOVE, probe_s=1.0)
WRONG: dict[str, Any] = {"vendor": "ACME", "product": "Array 9", "qualifier": 1}
RIGHT: dict[str, Any] = {"vendor": "ACME", "product": "Array 9"}


class Witness(UpperDriver):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def match(self, device: LogicalUnit) -> bool:
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(f"attach {device.address}")

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(f"detach {device.address}")


@pytest.fixture
def witness(array: Array) -> Witness:
    driver = Witness()
    array.subsystem.register_upper(driver)
    return driver


def test_a_held_device_is_seen_by_nobody_and_listed_with_its_inquiry_data(
    array: Array, witness: Witness
) -> None:
    array.rules(HOLD)
    device = array.plug(3, **WRONG)
    assert witness.heard == []
    assert array.attached() == []
    assert device.upper == []
    assert device.names == {}, "not even sg"
    assert array.quarantined() == [("0:0:0:3", "held")]
    (shown,) = [entry.to_json() for entry in array.quarantine.list()]
    assert shown["inquiry"] == device.inquiry_data.hex()
    assert (shown["vendor"], shown["model"], shown["qualifier"]) == ("ACME", "Array 9", "001b")
    assert shown["rule"] == 'vendor = "ACME", model = "Array*", qualifier = "001b", action = "hold"'
    (event,) = array.events()[1:]
    assert (event.kind, event.address) == (Kind.QUARANTINED, "0:0:0:3")
    assert event.data["device"]["qualifier"] == "001b"


def test_a_driver_that_comes_later_does_not_see_it_either(array: Array) -> None:
    array.rules(HOLD)
    array.plug(0, **WRONG)
    late = Witness()
    array.subsystem.register_upper(late)
    assert late.heard == []


def test_what_no_rule_means_is_attached(array: Array) -> None:
    array.rules(HOLD)
    array.plug(0, **RIGHT)
    array.plug(1, vendor="OTHER", product="Array 9", qualifier=1)
    array.plug(2, vendor="ACME", product="Shelf", qualifier=1)
    assert array.attached() == ["0:0:0:0", "0:0:0:1", "0:0:0:2"]


def test_it_is_attached_the_moment_its_qualifier_is_000b(array: Array, witness: Witness) -> None:
    array.rules(HOLD)
    device = array.plug(0, **WRONG)
    array.clock.advance(0.9)
    array.put_in(0, **RIGHT)
    assert witness.heard == []
    array.clock.advance(0.1)
    assert witness.heard == ["attach 0:0:0:0"]
    assert array.attached() == ["0:0:0:0"]
    assert device.accessible
    assert array.quarantined() == []
    assert array.kinds()[-3:] == [Kind.QUARANTINED, Kind.RELEASED, Kind.ATTACH]
    record = array.scsimon.snapshot().attached[0]
    assert record.facts["qualifier"] == "000b"
    assert record.facts["serial"], "what could not be read before is"
    assert array.clock.pending() == []


def test_the_times_between_become_longer_up_to_a_limit(array: Array) -> None:
    array.rules(HOLD)
    array.plug(0, **WRONG)
    waits = []
    for _ in range(6):
        (wait,) = array.clock.pending()
        waits.append(wait)
        array.clock.advance(wait)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert array.quarantine.list()[0].probes == 6
    assert len(array.events()) == 2, "asking is no event"


@pytest.mark.parametrize("name", ["INQUIRY_DATA_HAS_CHANGED", "REPORTED_LUNS_DATA_HAS_CHANGED",
                                  "ASYMMETRIC_ACCESS_STATE_CHANGED"])  # fmt: skip
def test_a_unit_attention_of_its_target_has_it_asked_at_once(array: Array, name: str) -> None:
    array.rules(HOLD)
    other = array.plug(1)
    array.plug(0, **WRONG)
    array.clock.advance(3.0)
    array.put_in(0, **RIGHT)
    tell_kernel_attention(other, name)
    assert array.attached() == ["0:0:0:1", "0:0:0:0"]


def test_after_a_unit_attention_the_schedule_begins_anew(array: Array) -> None:
    array.rules(HOLD)
    other = array.plug(1)
    array.plug(0, **WRONG)
    array.clock.advance(7.0)
    tell_kernel_attention(other, "MODE_PARAMETERS_CHANGED")
    assert array.clock.pending() == [8.0]
    tell_kernel_attention(other, "REPORTED_LUNS_DATA_HAS_CHANGED")
    assert array.clock.pending() == [1.0]


def test_a_device_of_another_target_is_no_reason_to_ask(array: Array) -> None:
    array.rules(HOLD)
    other = array.driver.plug(array.host, UnitSpec(target=1, size=1 << 20))
    array.plug(0, **WRONG)
    array.put_in(0, **RIGHT)
    tell_kernel_attention(other, "REPORTED_LUNS_DATA_HAS_CHANGED")
    assert array.quarantined() == [("0:0:0:0", "held")]


def test_remove_takes_it_from_its_host_and_brings_it_back(array: Array, witness: Witness) -> None:
    array.rules(REMOVE)
    array.put_in(0)
    array.put_in(1, **WRONG)
    array.put_in(2)
    array.subsystem.scan_host(array.host)
    assert [str(device.address) for device in array.host.devices()] == ["0:0:0:0", "0:0:0:2"]
    assert witness.heard == ["attach 0:0:0:0", "attach 0:0:0:2"], "the scan went on behind it"
    assert array.quarantined() == [("0:0:0:1", "removed")]
    array.clock.advance(1.0)
    assert array.quarantined() == [("0:0:0:1", "removed")]
    assert array.kinds().count(Kind.QUARANTINED) == 1, "it is said once, however often it is asked"
    array.put_in(1, **RIGHT)
    array.clock.advance(2.0)
    assert witness.heard[-1] == "attach 0:0:0:1"
    assert array.quarantined() == []


def test_a_device_that_was_removed_and_answers_no_more_stays_on_the_list(array: Array) -> None:
    array.rules(REMOVE)
    array.put_in(0)
    array.put_in(1, **WRONG)
    array.subsystem.scan_host(array.host)
    array.driver.disconnect(array.host, 0, 0, 1)
    array.clock.advance(1.0)
    (entry,) = array.quarantine.list()
    assert entry.reason == "nothing answers there"


def test_plugging_what_a_rule_removes_is_refused(array: Array) -> None:
    array.rules(REMOVE)
    with pytest.raises(NoSuchDevice):
        array.plug(0, **WRONG)


def test_a_held_device_that_somebody_removes_leaves_the_list(array: Array, witness: Witness) -> None:
    array.rules(HOLD)
    device = array.plug(0, **WRONG)
    array.driver.unplug(device)
    assert array.quarantined() == []
    assert array.events()[-1].data["reason"] == "removed"
    assert witness.heard == []


def test_the_next_unit_at_the_address_of_a_held_one_is_in_quarantine_itself(array: Array) -> None:
    array.rules(HOLD)
    array.driver.unplug(array.plug(0, **WRONG))
    array.clock.advance(0.5)
    array.plug(0, **WRONG | {"serial": "NEXT"})
    assert [event.kind.value for event in array.events()[-3:]] == ["quarantined", "released", "quarantined"]
    assert array.events()[-1].data["device"]["serial"] == "NEXT"
    (entry,) = array.quarantine.list()
    assert entry.since_wall_s == array.clock.wall()


def test_a_held_device_that_becomes_no_device_is_removed(array: Array) -> None:
    array.rules(HOLD)
    array.plug(0, **WRONG)
    array.put_in(0, **RIGHT | {"qualifier": 3})
    array.clock.advance(1.0)
    assert array.host.devices() == []
    assert array.quarantined() == []


def test_a_held_device_that_does_not_answer_is_asked_again(array: Array) -> None:
    array.rules(HOLD)
    array.plug(0, **WRONG)
    array.driver.disconnect(array.host, 0, 0, 0)
    array.clock.advance(1.0)
    (entry,) = array.quarantine.list()
    assert entry.reason == "it does not answer INQUIRY"
    array.put_in(0, **RIGHT)
    array.clock.advance(2.0)
    assert array.attached() == ["0:0:0:0"]


def test_an_attached_device_whose_qualifier_changes_is_taken_back(array: Array, witness: Witness) -> None:
    array.rules(HOLD)
    device = array.plug(0, **RIGHT)
    array.put_in(0, **WRONG)
    array.keeper.verify(device)
    assert witness.heard == ["attach 0:0:0:0", "detach 0:0:0:0"]
    assert array.kinds()[-3:] == [Kind.CHANGE, Kind.DETACH, Kind.QUARANTINED]
    array.put_in(0, **RIGHT)
    array.clock.advance(1.0)
    assert witness.heard[-1] == "attach 0:0:0:0"


def test_other_rules_take_force_at_once(array: Array, witness: Witness) -> None:
    array.rules(HOLD)
    array.plug(0, **WRONG)
    array.plug(1, **RIGHT)
    array.rules()
    assert array.attached() == ["0:0:0:1", "0:0:0:0"]
    array.rules(QuarantineRule(vendor="ACME"))
    assert array.attached() == []
    assert array.quarantined() == [("0:0:0:0", "held"), ("0:0:0:1", "held")]
    array.rules(REMOVE)
    assert array.attached() == ["0:0:0:1"]
    assert array.quarantined() == [("0:0:0:0", "removed")]
    array.rules()
    assert array.attached() == ["0:0:0:1", "0:0:0:0"]


def test_a_device_in_use_stays_attached(array: Array) -> None:
    device = array.plug(0, **RIGHT)
    bound = BoundDevice(device)
    array.rules(QuarantineRule(vendor="ACME"))
    assert array.attached() == ["0:0:0:0"]
    bound.close()


def test_a_device_in_use_is_not_removed(array: Array) -> None:
    array.rules(HOLD)
    device = array.plug(0, **WRONG)
    bound = BoundDevice(device)
    array.rules(REMOVE)
    (entry,) = array.quarantine.list()
    assert entry.reason == "not removed, because it is in use: open 1 times in this process"
    bound.close()
    array.clock.advance(1.0)
    assert array.quarantined() == [("0:0:0:0", "removed")]


def test_ask_one_at_once(array: Array) -> None:
    array.rules(HOLD)
    device = array.plug(0, **WRONG)
    array.put_in(0, **RIGHT)
    assert array.quarantine.probe(device.address)
    assert array.attached() == ["0:0:0:0"]
    assert not array.quarantine.probe(device.address)


def test_a_host_that_goes_takes_its_quarantined_devices_along(array: Array) -> None:
    array.rules(HOLD, REMOVE)
    array.plug(0, **WRONG)
    array.driver.remove_host(array.host)
    assert array.quarantined() == []
    array.clock.advance(100.0)
    array.host = array.driver.add_host()


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (QuarantineRule(vendor="ACME"), True),
        (QuarantineRule(vendor="acme"), False),
        (QuarantineRule(vendor="A?M[DE]"), True),
        (QuarantineRule(model="Array 9"), True),
        (QuarantineRule(model="Array"), False),
        (QuarantineRule(qualifier=1), True),
        (QuarantineRule(qualifier=0), False),
        (QuarantineRule(type=0, vendor="*"), True),
        (QuarantineRule(type=5), False),
        (QuarantineRule(revision="0001"), True),
    ],
)
def test_which_devices_a_rule_means(array: Array, rule: QuarantineRule, fits: bool) -> None:
    assert rule.matches(array.plug(0, **WRONG)) is fits


def test_sg_numbers_are_given_when_it_is_released(array: Array) -> None:
    array.rules(HOLD)
    first = array.plug(0, **WRONG)
    second = array.plug(1)
    assert second.names == {"sg": "sg0"}
    assert any(isinstance(driver, SgDriver) for driver in second.upper)
    array.put_in(0, **RIGHT)
    array.clock.advance(1.0)
    assert first.names == {"sg": "sg1"}
