"""A scan that asks several LUNs at once finds what one that asks them in turn finds."""

from __future__ import annotations

import threading

import pytest

from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import encode_lun_list
from midlayer.testing import Answer, FakeClock, ScriptedDriver, inquiry_data

INQUIRY, LUNS, AHEAD = 0x12, 12, 4


@pytest.fixture
def driver(driver: ScriptedDriver) -> ScriptedDriver:
    driver.scan_ahead, driver.max_lun = AHEAD, LUNS
    for lun in range(LUNS):
        driver.unit(0, 0, lun)
    return driver


def asked(driver: ScriptedDriver) -> list[int]:
    """Return the LUNs of the INQUIRY commands, VPD pages left out."""
    return [address.lun for address, cdb in driver.commands if cdb[0] == INQUIRY and not cdb[1] & 1]


def test_as_many_are_asked_at_once_as_the_driver_says(driver: ScriptedDriver) -> None:
    for lun in range(1, LUNS):
        driver.units[0, 0, lun].on(INQUIRY, Answer(later=True))
    subsystem = Subsystem(clock=FakeClock())
    scan = threading.Thread(target=driver.start, args=(subsystem,))
    scan.start()
    while len(driver.pending) < AHEAD:
        assert scan.is_alive()
    while scan.is_alive():
        pending = driver.pending[:]
        assert len(pending) <= AHEAD
        for each in pending:
            vpd = each.command.cdb[1] & 1
            each.complete(Answer.check(5, 0x24) if vpd else Answer(data=inquiry_data()))
        scan.join(0)
    assert [device.address.lun for device in subsystem.devices()] == list(range(LUNS))


def test_what_was_asked_too_much_leaves_no_trace(driver: ScriptedDriver) -> None:
    del driver.units[0, 0, 4]
    driver.units[0, 0, 0].on(
        0xA0, Answer(data=encode_lun_list(range(LUNS)))
    )  # LUN 4 is reported and does not answer
    subsystem = Subsystem(clock=FakeClock())
    host = driver.start(subsystem)
    assert [device.address.lun for device in subsystem.devices()] == [0, 1, 2, 3]  # SC-23
    assert sorted(host.targets[0, 0].logical_units) == [0, 1, 2, 3]
    for lun in range(4, LUNS):
        allocs = driver.calls.count(f"slave_alloc 0:0:0:{lun}")
        assert allocs == driver.calls.count(f"slave_destroy 0:0:0:{lun}") <= 1
    subsystem.remove_host(host)
    host.put()
    assert host.references == 0


def test_vpd_pages_are_read_once(driver: ScriptedDriver) -> None:
    driver.start(Subsystem(clock=FakeClock()))
    pages = [(address.lun, cdb[2]) for address, cdb in driver.commands if cdb[0] == INQUIRY and cdb[1] & 1]
    assert sorted(pages) == [(lun, 0) for lun in range(LUNS)]
