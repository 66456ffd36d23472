"""Rescan: the plan first, nothing removed that is in use, and the plan is what is done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midlayer.address import Address
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import HostByte
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.rescan import Action, carry_out, plan, user_of
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg import BoundDevice

Short = list[tuple[Action, str]]


class Bus:
    """A virtual host whose cables are pulled behind the mid level's back."""

    def __init__(self) -> None:
        self.subsystem = Subsystem(clock=FakeClock())
        self.driver = VirtualDriver(self.subsystem)
        self.host: Host = self.driver.add_host(
            HostSpec(units=(UnitSpec(count=3, size=1 << 20), UnitSpec(target=1, size=1 << 20)))
        )

    def pull(self, target: int, lun: int) -> None:
        self.driver.disconnect(self.host, 0, target, lun)

    def connect(self, target: int, lun: int, **options: int) -> None:
        spec = UnitSpec(target=target, lun=lun, size=1 << 20, **options)
        self.driver._connect(self.host, self.host.hostdata, spec)

    def plan(self, *, remove: bool = False) -> Short:
        return [(step.action, step.address) for step in plan(self.subsystem, self.host, remove=remove)]

    def rescan(self, *, remove: bool = False) -> Short:
        steps = carry_out(self.subsystem, self.host, plan(self.subsystem, self.host, remove=remove))
        return [(step.action, step.address) for step in steps]

    def there(self) -> list[str]:
        return [str(device.address) for device in self.subsystem.devices()]


@pytest.fixture
def bus() -> Iterator[Bus]:
    made = Bus()
    yield made
    made.driver.remove_host(made.host)


ALL = ["0:0:0:0", "0:0:0:1", "0:0:0:2", "0:0:1:0"]


def test_nothing_to_do(bus: Bus) -> None:
    assert bus.plan(remove=True) == []
    assert bus.rescan(remove=True) == []
    assert bus.there() == ALL


def test_a_plan_changes_nothing(bus: Bus) -> None:
    bus.pull(0, 1)
    bus.connect(2, 0)
    expected = [(Action.REMOVE, "0:0:0:1"), (Action.ADD, "0:0:2:0")]
    assert bus.plan(remove=True) == bus.plan(remove=True) == expected
    assert bus.there() == ALL
    assert {device.references for device in bus.subsystem.devices()} == {1}


def test_what_is_planned_is_done(bus: Bus) -> None:
    bus.pull(0, 1)
    bus.connect(0, 7)
    bus.connect(2, 0)
    planned = bus.plan(remove=True)
    assert bus.rescan(remove=True) == planned
    assert planned == [(Action.REMOVE, "0:0:0:1"), (Action.ADD, "0:0:0:7"), (Action.ADD, "0:0:2:0")]
    assert bus.there() == ["0:0:0:0", "0:0:0:2", "0:0:0:7", "0:0:1:0", "0:0:2:0"]
    assert bus.plan(remove=True) == []


def test_without_remove_nothing_is_removed(bus: Bus) -> None:
    bus.pull(0, 1)
    (step,) = plan(bus.subsystem, bus.host)
    assert (step.action, step.address) == (Action.KEEP, "0:0:0:1")
    assert step.reason == "its target answers with qualifier 011b; --remove would remove it"
    assert bus.rescan() == [(Action.KEEP, "0:0:0:1")]
    assert bus.there() == ALL


def test_a_target_that_is_gone(bus: Bus) -> None:
    bus.pull(1, 0)
    (step,) = plan(bus.subsystem, bus.host, remove=True)
    assert (step.action, step.reason) == (Action.REMOVE, "INQUIRY ended with DID_NO_CONNECT")


def test_a_device_in_use_is_kept(bus: Bus) -> None:
    device = bus.subsystem.device(Address(0, 0, 0, 1))
    bus.pull(0, 1)
    with BoundDevice(device), BoundDevice(device):
        (step,) = plan(bus.subsystem, bus.host, remove=True)
        assert step.action is Action.KEEP
        assert step.reason.endswith(", but in use: open 2 times in this process")
        assert bus.rescan(remove=True) == [(Action.KEEP, "0:0:0:1")]
        assert bus.there() == ALL
    assert user_of(device) == ""
    assert bus.rescan(remove=True) == [(Action.REMOVE, "0:0:0:1")]


def test_a_device_that_comes_into_use_after_the_plan_is_kept(bus: Bus) -> None:
    device = bus.subsystem.device(Address(0, 0, 0, 1))
    bus.pull(0, 1)
    steps = plan(bus.subsystem, bus.host, remove=True)
    with BoundDevice(device):
        (done,) = carry_out(bus.subsystem, bus.host, steps)
        assert (done.action, "but in use" in done.reason) == (Action.KEEP, True)
        assert bus.there() == ALL


def test_a_device_that_came_back_after_the_plan_is_kept(bus: Bus) -> None:
    bus.pull(0, 1)
    steps = plan(bus.subsystem, bus.host, remove=True)
    bus.connect(0, 1)
    (done,) = carry_out(bus.subsystem, bus.host, steps)
    assert (done.action, done.reason) == (Action.KEEP, "it answers again")
    assert bus.there() == ALL


def test_a_device_that_went_by_itself_after_the_plan(bus: Bus) -> None:
    bus.pull(0, 1)
    steps = plan(bus.subsystem, bus.host, remove=True)
    bus.subsystem.remove_device(bus.subsystem.device(Address(0, 0, 0, 1)))
    (done,) = carry_out(bus.subsystem, bus.host, steps)
    assert (done.action, done.address) == (Action.REMOVE, "0:0:0:1")
    assert bus.there() == ["0:0:0:0", "0:0:0:2", "0:0:1:0"]


def test_a_unit_with_qualifier_011b_is_no_device(bus: Bus) -> None:
    bus.connect(0, 5, qualifier=3)
    assert bus.plan(remove=True) == []
    bus.rescan()
    assert bus.there() == ALL


def test_an_offline_device_is_not_taken_for_a_gone_one(bus: Bus) -> None:
    device = bus.subsystem.device(Address(0, 0, 0, 1))
    bus.subsystem.set_device_state(device, DeviceState.OFFLINE)
    (step,) = plan(bus.subsystem, bus.host, remove=True)
    assert (step.action, step.reason) == (Action.KEEP, "can not be asked, because it is offline")
    bus.rescan(remove=True)
    assert bus.there() == ALL


@pytest.mark.parametrize("lost", ["DID_TRANSPORT_DISRUPTED", "DID_TRANSPORT_FAILFAST"])
def test_a_lost_transport_says_nothing_of_a_device(lost: str) -> None:
    driver = ScriptedDriver()
    unit = driver.unit(0, 0, 0)
    subsystem = Subsystem(clock=FakeClock())
    host = driver.start(subsystem)
    unit.on(0x12, Answer(host_byte=HostByte[lost]))
    (step,) = (step for step in plan(subsystem, host, remove=True) if step.action is not Action.ADD)
    assert (step.action, step.reason) == (Action.KEEP, f"can not be asked: INQUIRY ended with {lost}")
    subsystem.remove_host(host)
    host.put()
