from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Command, Result
from midlayer.mid.dispatch import run
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import Nexus
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import Status
from midlayer.testing import FakeClock

MakeUnit = Callable[..., LogicalUnit]

# Two initiator ports, and the first of them through another target port.
ALICE = Nexus("iqn.a,i,0x1", b"\x45\0\0\x14iqn.a,i,0x1\0\0\0\0\0\0\0\0\0")
BOB = Nexus("iqn.b,i,0x2", b"\x45\0\0\x14iqn.b,i,0x2\0\0\0\0\0\0\0\0\0")
ALICE_2 = ALICE._replace(relative_target_port=2)


class Asker:
    """Sends commands through a nexus."""

    def __init__(self, device: LogicalUnit, nexus: Nexus) -> None:
        self.device = device
        self.nexus = nexus

    def __call__(self, cdb: bytes | str, data_out: bytes | None = None, data_in: int = 0) -> Result:
        """Send one command."""
        raw = bytes.fromhex(cdb) if isinstance(cdb, str) else cdb
        room = memoryview(bytearray(data_in)) if data_in else None
        command = Command(self.device, raw, data_out, room, passthrough=True)
        command.nexus = self.nexus
        return run(command)

    def code(self, cdb: bytes | str, data_out: bytes | None = None, data_in: int = 0) -> str:
        """Send one command and return ``ok``, ``conflict``, or the sense code."""
        result = self(cdb, data_out, data_in)
        if result.status == Status.RESERVATION_CONFLICT:
            return "conflict"
        return result.sense.code if result.sense is not None else "ok" if result.ok else str(result)


Initiators = Callable[[LogicalUnit], tuple[Asker, Asker, Asker]]


@pytest.fixture
def initiators() -> Initiators:
    """Return who speaks to a device for ALICE, for BOB, and for ALICE through port 2; all are known to it."""

    def meet(device: LogicalUnit) -> tuple[Asker, Asker, Asker]:
        askers = tuple(Asker(device, nexus) for nexus in (ALICE, BOB, ALICE_2))
        for asker in askers:
            asker("120000002400", data_in=36)
        return askers[0], askers[1], askers[2]

    return meet


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
