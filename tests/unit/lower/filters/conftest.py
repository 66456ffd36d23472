from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock, ScriptedDriver


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def subsystem(clock: FakeClock) -> Subsystem:
    return Subsystem(clock=clock)


@pytest.fixture
def disks(subsystem: Subsystem) -> Iterator[Callable[[int], list[LogicalUnit]]]:
    """Make a virtual host with so many disks of 64 KiB."""
    driver = VirtualDriver(subsystem)
    hosts = []

    def make(number: int = 1) -> list[LogicalUnit]:
        units = tuple(UnitSpec(lun=lun, size=65536) for lun in range(number))
        hosts.append(driver.add_host(HostSpec(units=units)))
        return hosts[-1].devices()

    yield make
    for host in hosts:
        driver.remove_host(host)


@pytest.fixture
def disk(disks: Callable[[int], list[LogicalUnit]]) -> LogicalUnit:
    return disks(1)[0]


@pytest.fixture
def scripted(subsystem: Subsystem) -> ScriptedDriver:
    """A scripted host with one disk, number 0."""
    driver = ScriptedDriver()
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    return driver
