from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock

MakeUnit = Callable[..., LogicalUnit]


@pytest.fixture
def subsystem() -> Subsystem:
    return Subsystem(clock=FakeClock())


@pytest.fixture
def virtual(subsystem: Subsystem) -> VirtualDriver:
    return VirtualDriver(subsystem)


@pytest.fixture
def unit(virtual: VirtualDriver) -> Iterator[MakeUnit]:
    """Make a device from the keys of a `UnitSpec`, 64 KiB in size if nothing else is said."""
    hosts = []

    def make(**keys: object) -> LogicalUnit:
        keys = {"size": 65536, **keys}
        host = virtual.add_host(HostSpec(units=(UnitSpec(**keys),)))  # type: ignore[arg-type]
        hosts.append(host)
        return host.devices()[0]

    yield make
    for host in hosts:
        virtual.remove_host(host)
