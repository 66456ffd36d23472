"""Hosts and devices live and die at random; at the end nothing is left and every pair is balanced."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from midlayer.errors import DeviceExists, DeviceGone, NoSuchDevice, StateError, SubsystemError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import HostByte
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.testing import FakeClock
from midlayer.upper.sg import SgDriver, execute

TUR = bytes(6)
QUALIFIERS = st.sampled_from([0, 0, 0, 1, 3])


class Counted(VirtualDriver):
    """A virtual host that counts what the mid level calls."""

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self.devices: list[LogicalUnit] = []
        self.targets: list[Target] = []
        self.released: list[int] = []

    def slave_alloc(self, device: LogicalUnit) -> int:
        assert all(device is not other for other in self.devices)
        self.devices.append(device)
        return super().slave_alloc(device)

    def slave_destroy(self, device: LogicalUnit) -> None:
        self.devices.remove(device)  # ValueError for a second time
        super().slave_destroy(device)

    def target_alloc(self, target: Target) -> int:
        refusal = super().target_alloc(target)
        if not refusal:
            self.targets.append(target)
        return refusal

    def target_destroy(self, target: Target) -> None:
        self.targets.remove(target)
        super().target_destroy(target)

    def release(self, host: Host) -> None:
        self.released.append(host.host_no)
        super().release(host)


class LifeCycle(RuleBasedStateMachine):
    """The rules; the bundle has references that were taken and not given back."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.subsystem = Subsystem(clock=FakeClock())
        self.sg = SgDriver()
        self.subsystem.register_upper(self.sg)
        self.driver = Counted(self.subsystem)
        self.made = 0
        self.references: list[LogicalUnit] = []

    def some_host(self, pick: int) -> Host:
        hosts = self.subsystem.hosts()
        return hosts[pick % len(hosts)]

    def has_host(self) -> bool:
        return bool(self.subsystem.hosts())

    def has_device(self) -> bool:
        return bool(self.subsystem.devices())

    @rule(luns=st.sets(st.integers(0, 5), max_size=3), scan=st.booleans())
    def add_host(self, luns: set[int], scan: bool) -> None:
        if len(self.subsystem.hosts()) < 4:
            units = tuple(UnitSpec(size=4096, lun=lun) for lun in luns)
            self.driver.add_host(HostSpec(units=units, max_id=4), scan=scan)
            self.made += 1

    @precondition(has_host)
    @rule(pick=st.integers(0, 99))
    def scan(self, pick: int) -> None:
        self.subsystem.scan_host(self.some_host(pick))

    @precondition(has_host)
    @rule(pick=st.integers(0, 99))
    def remove_host(self, pick: int) -> None:
        self.driver.remove_host(self.some_host(pick))

    @precondition(has_host)
    @rule(pick=st.integers(0, 99), place=st.integers(0, 3), lun=st.integers(0, 5), qualifier=QUALIFIERS)
    def plug(self, pick: int, place: int, lun: int, qualifier: int) -> None:
        host = self.some_host(pick)
        try:
            device = self.driver.plug(host, UnitSpec(size=4096, target=place, lun=lun, qualifier=qualifier))
        except NoSuchDevice:
            assert qualifier == 3
        except DeviceExists:
            assert lun in host.hostdata.luns(0, place)
        else:
            # A device whose unit was pulled without a word stays, and has the new unit (rule SC-1).
            assert self.subsystem.device(device.address) is device

    @precondition(has_device)
    @rule(pick=st.integers(0, 99))
    def unplug(self, pick: int) -> None:
        devices = self.subsystem.devices()
        self.driver.unplug(devices[pick % len(devices)])

    @precondition(has_device)
    @rule(pick=st.integers(0, 99))
    def pull(self, pick: int) -> None:
        devices = self.subsystem.devices()
        device = devices[pick % len(devices)]
        self.driver.disconnect(device.host, *device.address[1:])

    @precondition(has_device)
    @rule(pick=st.integers(0, 99), target=held)
    def get(self, pick: int) -> LogicalUnit:
        devices = self.subsystem.devices()
        device = devices[pick % len(devices)].get()
        self.references.append(device)
        return device

    @rule(device=consumes(held))
    def put(self, device: LogicalUnit) -> None:
        self.references.remove(device)
        device.put()

    @precondition(has_device)
    @rule(pick=st.integers(0, 99), state=st.sampled_from(["offline", "running", "blocked", "quiesce"]))
    def set_state(self, pick: int, state: str) -> None:
        devices = self.subsystem.devices()
        try:
            self.subsystem.set_device_state(devices[pick % len(devices)], DeviceState(state))
        except StateError:
            assert state in ("quiesce", "blocked", "offline")

    @rule(device=held, again=st.booleans(), target=held)
    def use(self, device: LogicalUnit, again: bool) -> object:
        gone = device.state in (DeviceState.CANCEL, DeviceState.DELETED)
        if gone:
            assert execute(device, TUR).host_byte == HostByte.DID_NO_CONNECT
        elif device.state is DeviceState.RUNNING:
            assert execute(device, TUR) is not None
        if not again:
            return multiple()
        try:
            self.references.append(device.get())
        except DeviceGone:
            assert gone
            return multiple()
        assert not gone
        return device

    @invariant()
    def what_is_there_is_alive(self) -> None:
        assert {id(device) for device in self.subsystem.devices()} == {id(one) for one in self.driver.devices}
        for device in self.subsystem.devices():
            held = sum(one is device for one in self.references)
            assert device.references == 1 + held
            assert device.state is not DeviceState.DELETED
            assert self.sg._devices[int(device.names["sg"][2:])] is device
        assert len(self.driver.targets) == sum(len(host.targets) for host in self.subsystem.hosts())
        assert all(target.logical_units for target in self.driver.targets)

    def teardown(self) -> None:
        hosts = self.subsystem.hosts()
        for host in hosts:
            self.driver.remove_host(host)
        for device in self.references:
            device.put()
        assert [host.references for host in hosts] == [0] * len(hosts)
        assert [device.references for device in self.references] == [0] * len(self.references)
        assert len(self.driver.released) == self.made
        assert (self.driver.devices, self.driver.targets, self.sg._devices) == ([], [], {})
        assert self.subsystem.host_alloc(self.driver).host_no == 0


class Threads:
    """What several threads do to one subsystem at once; what can not be done any more is left."""

    def __init__(self) -> None:
        self.subsystem = Subsystem(clock=FakeClock())
        self.sg = SgDriver()
        self.subsystem.register_upper(self.sg)
        self.driver = Counted(self.subsystem)
        self.hosts: list[Host] = []
        self.failures: list[BaseException] = []
        for _ in range(2):
            self.add_host(0)

    def add_host(self, pick: int) -> None:
        units = (UnitSpec(size=4096), UnitSpec(size=4096, target=1))
        self.hosts.append(self.driver.add_host(HostSpec(units=units, max_id=4)))

    def remove_host(self, pick: int) -> None:
        self.subsystem.remove_host(self.hosts[pick % len(self.hosts)])

    def scan(self, pick: int) -> None:
        self.subsystem.scan_host(self.hosts[pick % len(self.hosts)])

    def plug(self, pick: int) -> None:
        host = self.hosts[pick % len(self.hosts)]
        self.driver.plug(host, UnitSpec(size=4096, target=pick % 3, lun=pick % 5))

    def unplug(self, pick: int) -> None:
        devices = self.subsystem.devices()
        if devices:
            self.driver.unplug(devices[pick % len(devices)])

    def use(self, pick: int) -> None:
        devices = self.subsystem.devices()
        if devices:
            device = devices[pick % len(devices)].get()
            execute(device, TUR)
            device.put()

    def change_state(self, pick: int) -> None:
        devices = self.subsystem.devices()
        if devices:
            state = DeviceState.OFFLINE if pick % 2 else DeviceState.RUNNING
            self.subsystem.set_device_state(devices[pick % len(devices)], state)

    def do(self, steps: list[tuple[str, int]]) -> None:
        for name, pick in steps:
            try:
                getattr(self, name)(pick)
            except SubsystemError:
                continue
            except BaseException as error:
                self.failures.append(error)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["remove_host", "scan", "plug", "plug", "unplug", "use", "use", "change_state", "add_host"]
        ),
        st.integers(0, 99),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(plans=st.lists(STEPS, min_size=2, max_size=4))
def test_threads_leave_nothing_behind(plans: list[list[tuple[str, int]]]) -> None:
    world = Threads()
    threads = [threading.Thread(target=world.do, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.failures == []
    for host in world.hosts:
        world.driver.remove_host(host)
    assert [host.references for host in world.hosts] == [0] * len(world.hosts)
    assert [(host.busy, host.waiting, host.detour) for host in world.hosts] == [(0, 0, 0)] * len(world.hosts)
    assert len(world.driver.released) == len(world.hosts)
    assert (world.driver.devices, world.driver.targets, world.sg._devices) == ([], [], {})


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=60, stateful_step_count=40)
