"""Hosts and devices come and go: call ladders, references, numbers, and drivers that raise."""

from __future__ import annotations

import errno

import pytest

from midlayer.address import Address
from midlayer.errors import (
    DeviceExists,
    DeviceGone,
    InvalidRequest,
    NoSuchDevice,
    NoSuchHost,
    StateError,
)
from midlayer.mid.host import Host, HostState
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver, inquiry_data
from midlayer.upper.sg import BoundDevice


def slaves(driver: ScriptedDriver) -> list[str]:
    return [call for call in driver.calls if call.startswith("slave")]


def test_ladder_probe(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    """HBA PROBE of the document: three addresses are scanned, two answer."""
    driver.max_id = 3
    driver.unit(0, 0, 0, inquiry_data(version=2))
    driver.unit(0, 1, 0, inquiry_data(version=2))

    def hook(name: str, subject: object) -> None:
        if name == "slave_configure" and isinstance(subject, LogicalUnit):
            driver.calls.append(f"depth {subsystem.adjust_queue_depth(subject, 7)}")

    driver.hook = hook
    host = subsystem.host_alloc(driver)
    assert (host.references, subsystem.hosts()) == (1, [])
    subsystem.add_host(host)
    assert driver.calls == []
    for target in (0, 1, 2):
        subsystem.scan_host(host, 0, target, 0)
    assert driver.calls == [
        "target_alloc 0:0:0",
        "slave_alloc 0:0:0:0",
        "slave_configure 0:0:0:0",
        "depth 7",
        "target_alloc 0:0:1",
        "slave_alloc 0:0:1:0",
        "slave_configure 0:0:1:0",
        "depth 7",
        "target_alloc 0:0:2",
        "slave_alloc 0:0:2:0",
        "slave_destroy 0:0:2:0",
        "target_destroy 0:0:2",
    ]


def test_ladder_remove(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    """HBA REMOVE of the document."""
    driver.unit(0, 0, 0)
    driver.unit(0, 1, 0)
    host = driver.start(subsystem)
    driver.calls.clear()
    subsystem.remove_host(host)
    assert driver.calls == [
        "slave_destroy 0:0:0:0",
        "target_destroy 0:0:0",
        "slave_destroy 0:0:1:0",
        "target_destroy 0:0:1",
    ]
    host.put()
    assert driver.calls[4:] == ["release 0"]
    assert host.references == 0


def test_ladder_hotplug_and_hot_unplug(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    """SCSI DEVICE hotplug and hot unplug of the document."""
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    driver.unit(0, 0, 5)
    driver.calls.clear()
    device = subsystem.add_device(host, 0, 0, 5)
    assert driver.calls == ["slave_alloc 0:0:0:5", "slave_configure 0:0:0:5"]
    driver.calls.clear()
    subsystem.remove_device(device)
    assert driver.calls == ["slave_destroy 0:0:0:5"]
    assert device.state is DeviceState.DELETED
    subsystem.remove_device(device)
    assert driver.calls == ["slave_destroy 0:0:0:5"]


def test_add_device_where_nothing_answers(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    host = driver.start(subsystem, scan=False)
    with pytest.raises(NoSuchDevice, match="0:0:1:2: no device is attached at this address"):
        subsystem.add_device(host, 0, 1, 2)
    assert slaves(driver) == ["slave_alloc 0:0:1:2", "slave_destroy 0:0:1:2"]


def test_references_of_a_device(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    (device,) = subsystem.devices()
    assert (device.references, host.references) == (1, 2)
    with BoundDevice(device) as bound:
        assert device.references == 2
        subsystem.remove_device(device)
        assert (device.references, host.references) == (1, 2)
        with pytest.raises(DeviceGone, match="being removed"):
            device.get()
        bound.close()
    assert (device.references, host.references) == (0, 1)
    with pytest.raises(StateError, match="put without get"):
        device.put()


def test_references_of_a_host(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    host = driver.start(subsystem)
    assert host.get() is host
    subsystem.remove_host(host)
    with pytest.raises(DeviceGone, match="being removed"):
        host.get()
    host.put()
    assert "release 0" not in driver.calls
    host.put()
    assert driver.calls[-1] == "release 0"
    with pytest.raises(StateError, match="put without get"):
        host.put()


def test_a_device_that_is_held_keeps_its_host_and_the_number(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    device = subsystem.devices()[0].get()
    subsystem.remove_host(host)
    host.put()
    assert subsystem.host_alloc(driver).host_no == 1
    device.put()
    assert driver.calls[-1] == "release 0"
    assert subsystem.host_alloc(driver).host_no == 0


def test_host_numbers(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    assert [subsystem.host_alloc(driver).host_no for _ in range(3)] == [0, 1, 2]
    assert subsystem.host_alloc(driver, host_no=7).host_no == 7
    with pytest.raises(DeviceExists, match="host 7: the number is taken"):
        subsystem.host_alloc(driver, host_no=7)
    later = Subsystem(clock=subsystem.clock, first_host_no=100)
    assert later.host_alloc(driver).host_no == 100
    with pytest.raises(NoSuchHost):
        later.host(100)


def test_a_host_is_added_once(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    host = driver.start(subsystem)
    with pytest.raises(StateError, match="added before"):
        subsystem.add_host(host)
    subsystem.remove_host(host)
    subsystem.remove_host(host)
    with pytest.raises(StateError, match="added before"):
        subsystem.add_host(host)


def test_a_host_that_takes_no_command(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.can_queue = 0
    host = subsystem.host_alloc(driver)
    with pytest.raises(InvalidRequest, match="can_queue is 0"):
        subsystem.add_host(host)
    subsystem.remove_host(host)
    host.put()
    assert driver.calls == ["release 0"]


@pytest.mark.parametrize(
    "name", ["slave_alloc", "slave_configure", "slave_destroy", "target_alloc", "target_destroy", "release"]
)
def test_a_driver_that_raises_in_a_callback(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    driver.unit(0, 0, 0)
    driver.unit(0, 1, 0)
    driver.raising.add(name)
    host = driver.start(subsystem)
    found = len(subsystem.devices())
    assert found == (0 if name in ("slave_alloc", "slave_configure", "target_alloc") else 2)
    subsystem.remove_host(host)
    host.put()
    assert host.references == 0
    assert "raised" in caplog.text
    assert driver.calls[-1] == "release 0"
    allocated = sum(call.startswith("slave_alloc") for call in driver.calls) if name != "slave_alloc" else 0
    assert sum(call.startswith("slave_destroy") for call in driver.calls) == allocated


def test_target_alloc_refuses(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    driver.refusals["target_alloc"] = errno.ENXIO
    driver.max_id = 1
    host = driver.start(subsystem)
    assert driver.calls == ["target_alloc 0:0:0"]
    assert host.targets == {}


def test_a_target_lives_as_long_as_it_has_a_device(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.max_id = 1
    driver.unit(0, 0, 0)
    driver.unit(0, 0, 1)
    driver.start(subsystem)
    first, second = subsystem.devices()
    driver.calls.clear()
    subsystem.remove_device(first)
    assert driver.calls == ["slave_destroy 0:0:0:0"]
    subsystem.remove_device(second)
    assert driver.calls[1:] == ["slave_destroy 0:0:0:1", "target_destroy 0:0:0"]


def test_a_host_that_is_removed_by_a_callback_of_its_scan(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    for lun in range(4):
        driver.unit(0, 0, lun)

    def hook(name: str, subject: object) -> None:
        if name == "slave_configure" and isinstance(subject, LogicalUnit) and subject.address.lun == 2:
            subsystem.remove_host(subject.host)

    driver.hook = hook
    host = driver.start(subsystem)
    assert host.state is HostState.DEL
    later = [call for call in slaves(driver) if call.endswith(":3")]
    assert later == []


def test_reported_devices(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    host = driver.start(subsystem, scan=False)
    address = Address(0, 0, 3, 1)

    def report(host: Host) -> LogicalUnit | None:
        return subsystem.add_reported_device(
            host, address, inquiry=inquiry_data(), vpd_pages={0x80: b"x"}, names={"sg": "sg9"}, session="s"
        )

    device = report(host)
    assert device is subsystem.device(address)
    assert (device.vendor, device.vpd_pages, device.names, device.session) == (
        "SCRIPTED",
        {0x80: b"x"},
        {"sg": "sg9"},
        "s",
    )
    assert driver.commands == []
    with pytest.raises(DeviceExists):
        report(host)
    driver.refusals["slave_configure"] = errno.ENXIO
    address = Address(0, 0, 4, 1)
    assert report(host) is None
    driver.refusals = {"target_alloc": errno.ENXIO}
    assert report(host) is None
    assert (len(subsystem.devices()), host.references) == (1, 2)
