"""Another unit behind an address is never silence: rescan, unit attention, verify."""

from __future__ import annotations

import pytest

from midlayer.mid.attention import tell_kernel_attention
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import TestUnitReady as Turs
from midlayer.testing import FakeClock, ScriptedDriver
from midlayer.testing.scripted import Answer, inquiry_data
from midlayer.upper.policy import Identity, IdentityKeeper, Inline, Verdict, ask, difference, recorded
from midlayer.upper.scsimon import EventLog, Kind, ScsimonDriver
from midlayer.upper.sg import execute

from .conftest import Array

NOBODY = Identity(None, None, None, None, None, None, None, None)


def test_the_same_unit(array: Array) -> None:
    device = array.plug(serial="A")
    count = array.scsimon.event_count
    found = array.keeper.verify(device)
    assert (found.verdict, found.differences, found.attach_count) == (Verdict.SAME, {}, count)
    assert found.identity is not None
    assert found.identity.serial == "A"
    assert found.identity.capacity == "2048x512"
    assert array.scsimon.event_count == count, "nothing to record"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"serial": "B"}, "serial"),
        ({"serial": "A", "naa": "3000000000000001"}, "wwid"),
        ({"serial": "A", "vendor": "OTHER"}, "vendor"),
        ({"serial": "A", "product": "Other"}, "model"),
        ({"serial": "A", "type": 5, "block_size": 2048}, "type"),
    ],
)
def test_another_unit_is_replaced(array: Array, options: dict[str, object], key: str) -> None:
    device = array.plug(serial="A", naa="3000000000000000")
    first = array.scsimon.event_count
    array.put_in(**{"naa": "3000000000000000", **options})
    found = array.keeper.verify(device)
    assert found.verdict is Verdict.REPLACED
    assert key in found.differences
    (event,) = array.events(first)
    assert event.kind is Kind.REPLACED
    assert event.data["attach_count"] == first
    assert event.data["before"]["serial"] == "A"
    assert event.data["differences"] == {name: list(pair) for name, pair in found.differences.items()}
    (record,) = array.scsimon.snapshot().attached
    assert record.attach_count == found.attach_count == event.event_count, "a session of its own"
    (gone,) = array.scsimon.snapshot().detached
    assert (gone.attach_count, gone.detach_count) == (first, event.event_count)
    assert array.keeper.verify(device).verdict is Verdict.SAME, "it is said once"


@pytest.mark.parametrize(
    ("options", "differences"),
    [
        ({"size": 2 << 20}, {"capacity": ("2048x512", "4096x512")}),
        ({"revision": "0002"}, {"revision": ("0001", "0002")}),
        ({"qualifier": 1}, {"qualifier": ("000b", "001b")}),
    ],
)
def test_the_same_unit_changed(
    array: Array, options: dict[str, object], differences: dict[str, tuple[str, str]]
) -> None:
    device = array.plug(serial="A")
    first = array.scsimon.event_count
    array.put_in(**{"serial": "A", **options})
    found = array.keeper.verify(device)
    assert (found.verdict, found.differences) == (Verdict.CHANGED, differences)
    assert found.attach_count == first, "the same session"
    (event,) = array.events(first)
    assert event.kind is Kind.CHANGE
    (key,) = differences
    assert event.data["changes"][key] == differences[key][1]
    assert array.scsimon.snapshot().attached[0].facts[key] == differences[key][1]
    assert array.keeper.verify(device).verdict is Verdict.SAME


def test_the_lists_follow_from_the_events(array: Array) -> None:
    device = array.plug(serial="A")
    array.put_in(serial="B")
    array.keeper.verify(device)
    array.put_in(serial="B", size=2 << 20)
    array.keeper.verify(device)
    array.driver.unplug(device)
    snapshot = array.scsimon.snapshot()
    assert snapshot.attached == ()
    assert [record.facts["serial"] for record in snapshot.detached] == ["A", "B"]
    assert snapshot.detached[1].attach_count == snapshot.detached[0].detach_count


def test_a_unit_that_is_gone_or_offline_is_no_answer(array: Array) -> None:
    device = array.plug()
    array.driver.disconnect(array.host, 0, 0, 0)
    found = array.keeper.verify(device)
    assert found.verdict is Verdict.NO_ANSWER
    assert found.reason == "it does not answer INQUIRY"
    array.put_in()
    array.subsystem.set_device_state(device, DeviceState.OFFLINE)
    assert array.keeper.verify(device).reason == "it can not be asked, because it is offline"
    array.driver.unplug(device)
    assert array.keeper.verify(device).verdict is Verdict.NO_ANSWER


def test_a_swap_is_found_on_a_unit_attention_of_the_kernel(array: Array) -> None:
    device = array.plug(serial="A")
    first = array.scsimon.event_count
    array.put_in(serial="B")
    tell_kernel_attention(device, "MODE_PARAMETERS_CHANGED")
    tell_kernel_attention(device, "something new")
    assert array.kinds(first) == [], "no reason to ask"
    tell_kernel_attention(device, "INQUIRY_DATA_HAS_CHANGED")
    assert array.kinds(first) == [Kind.REPLACED]


@pytest.mark.parametrize(
    ("asc", "ascq", "asked"), [(0x3F, 0x03, True), (0x2A, 0x09, True), (0x2A, 0x01, False)]
)
def test_a_swap_is_found_on_a_unit_attention_in_sense_data(asc: int, ascq: int, asked: bool) -> None:
    driver = ScriptedDriver()
    unit = driver.unit(0, 0, 0)
    subsystem = Subsystem(clock=FakeClock())
    scsimon = ScsimonDriver(EventLog(None), subsystem.clock)
    keeper = IdentityKeeper(scsimon, Inline())
    subsystem.attention = keeper.attention
    subsystem.register_upper(scsimon)
    subsystem.register_upper(keeper)
    host = driver.start(subsystem)
    (device,) = host.devices()
    count = scsimon.event_count
    unit.inquiry = inquiry_data(vendor="OTHER")
    unit.on(0x00, Answer.check(6, asc, ascq), Answer())
    result = execute(device, Turs().encode())
    assert result.sense is not None
    assert result.sense.key == 6, "the caller gets it all the same"
    kinds = {event.kind for event in scsimon.events(count).events}
    kinds.discard(Kind.CHANGE)  # which tells of some unit attentions by their names
    assert kinds == ({Kind.REPLACED} if asked else set())
    subsystem.remove_host(host)
    host.put()
    scsimon.close()


def test_what_nobody_knows_does_not_differ() -> None:
    one = NOBODY._replace(serial="A")
    assert difference(one, NOBODY) == {}
    assert difference(NOBODY, one) == {}
    assert difference(one, one._replace(serial="")) == {"serial": ("A", "")}


def test_a_page_that_is_not_listed_is_empty_and_one_that_was_never_read_is_unknown(array: Array) -> None:
    device = array.plug(serial="A")
    assert recorded(device).serial == "A"
    device.vpd_pages[0x00] = bytes((0, 0, 0, 1, 0))
    del device.vpd_pages[0x80]
    assert recorded(device).serial == ""
    device.vpd_pages.clear()
    assert recorded(device).serial is None
    device.inquiry_data = b""
    assert recorded(device) == NOBODY


def test_asking_leaves_the_record_alone(array: Array) -> None:
    device = array.plug(serial="A")
    array.put_in(serial="B")
    answer = ask(device)
    assert answer.identity is not None
    assert answer.identity.serial == "B"
    assert recorded(device).serial == "A"


def test_another_type_binds_other_drivers(array: Array) -> None:
    device = array.plug(serial="A")
    assert array.keeper in device.upper
    array.put_in(serial="A", qualifier=1)
    array.keeper.verify(device)
    assert not device.accessible
    assert array.scsimon in device.upper, "it takes every device"
    array.put_in(serial="A")
    array.keeper.verify(device)
    assert device.accessible
