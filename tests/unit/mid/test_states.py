"""State tables of devices and hosts, every pair of them, written down once more from the kernel's."""

from __future__ import annotations

import itertools

import pytest

from midlayer.errors import StateError
from midlayer.mid.host import HostState
from midlayer.mid.logical_unit import GATES, DeviceState, Gate
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver

DEVICE_WAYS = {
    "created": "created-blocked",
    "running": "created offline transport-offline quiesce blocked",
    "quiesce": "running offline transport-offline",
    "offline": "created running quiesce blocked",
    "transport-offline": "created running quiesce blocked",
    "blocked": "running created-blocked quiesce offline",
    "created-blocked": "created",
    "cancel": "created running quiesce offline transport-offline",
    "deleted": "created running offline transport-offline cancel blocked created-blocked",
}
"""For each state, those that it may come from."""

HOST_WAYS = {
    "created": "running cancel",
    "running": "recovery cancel",
    "recovery": "running cancel/recovery",
    "cancel": "deleted cancel/recovery",
    "cancel/recovery": "cancel deleted/recovery",
    "deleted/recovery": "deleted",
    "deleted": "",
}
"""For each state, those that it may go to."""


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DeviceState, DeviceState)))
def test_device(
    subsystem: Subsystem, driver: ScriptedDriver, before: DeviceState, after: DeviceState
) -> None:
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    (device,) = subsystem.devices()
    device.state, device.gate = before, GATES[before]
    allowed = before is after or before.value in DEVICE_WAYS[after.value].split()
    if allowed:
        device.set_state(after)
    else:
        with pytest.raises(StateError, match=f"0:0:0:0: no way from state {before.value} to {after.value}"):
            device.set_state(after)
    assert device.state is (after if allowed else before)
    assert device.gate is GATES[device.state]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(HostState, HostState)))
def test_host(subsystem: Subsystem, driver: ScriptedDriver, before: HostState, after: HostState) -> None:
    host = subsystem.host_alloc(driver)
    host.state = before
    if before is after or after.value in HOST_WAYS[before.value].split():
        host.set_state(after)
        assert host.state is after
    else:
        with pytest.raises(StateError, match=f"no way from state {before.value} to {after.value}"):
            host.set_state(after)
        assert host.state is before


def test_every_state_has_a_gate() -> None:
    assert set(GATES) == set(DeviceState)
    assert {state.value for state, gate in GATES.items() if gate is Gate.OPEN} == {"created", "running"}


def test_a_host_in_recovery_can_be_removed(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    host.set_state(HostState.RECOVERY)
    subsystem.remove_host(host)
    assert host.state is HostState.DEL_RECOVERY
    assert subsystem.hosts() == subsystem.devices() == []
