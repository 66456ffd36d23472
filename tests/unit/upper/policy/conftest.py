"""A virtual host whose cables are pulled and put in again without a word, with policy on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.policy import IdentityKeeper, Inline, InventoryKeeper, Quarantine, QuarantineRule
from midlayer.upper.scsimon import Event, EventLog, Kind, ScsimonDriver
from midlayer.upper.sg import SgDriver

SIZE = 1 << 20


class Array:
    """What a test has to do with."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.scsimon = ScsimonDriver(EventLog(None), self.clock)
        self.worker = Inline()
        self.keeper = IdentityKeeper(self.scsimon, self.worker)
        self.quarantine = Quarantine(self.subsystem, self.scsimon, self.worker)
        self.inventory = InventoryKeeper(self.subsystem, self.worker)
        self.keeper.on_change = self.quarantine.reconsider
        self.subsystem.attention = self.attention
        for driver in (SgDriver(), self.scsimon, self.keeper):
            self.subsystem.register_upper(driver)
        self.driver = VirtualDriver(self.subsystem)
        self.host: Host = self.driver.add_host(HostSpec())

    def attention(self, device: LogicalUnit, asc: int, ascq: int) -> None:
        self.keeper.attention(device, asc, ascq)
        self.inventory.attention(device, asc, ascq)
        self.quarantine.attention(device, asc, ascq)

    def rules(self, *rules: QuarantineRule) -> None:
        self.quarantine.set_rules(rules)

    def plug(self, lun: int = 0, **options: Any) -> LogicalUnit:
        """Plug a unit in; it may be quarantined, but must be there."""
        return self.driver.plug(self.host, UnitSpec(lun=lun, **{"size": SIZE, **options}))

    def put_in(self, lun: int = 0, **options: Any) -> None:
        """Put a unit in without a word to the mid level, and take out what is there."""
        self.driver.disconnect(self.host, 0, 0, lun)
        spec = UnitSpec(lun=lun, **{"size": SIZE, **options})
        self.driver._connect(self.host, self.host.hostdata, spec)

    def events(self, since: int = 0) -> list[Event]:
        return self.scsimon.events(since).events

    def kinds(self, since: int = 0) -> list[Kind]:
        return [event.kind for event in self.events(since)]

    def attached(self) -> list[str]:
        return [record.address for record in self.scsimon.snapshot().attached]

    def quarantined(self) -> list[tuple[str, str]]:
        return [
            (str(entry.address), "held" if entry.device else "removed") for entry in self.quarantine.list()
        ]

    def close(self) -> None:
        self.quarantine.close()
        self.driver.remove_host(self.host)
        self.scsimon.close()


@pytest.fixture
def array() -> Iterator[Array]:
    made = Array()
    yield made
    made.close()
