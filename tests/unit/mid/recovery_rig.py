"""A subsystem on the fake clock with one scripted host, for tests of recovery."""

from __future__ import annotations

from midlayer.mid.command import Command
from midlayer.mid.dispatch import submit
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver

TUR, READ = bytes(6), bytes((0x28, *bytes(9)))
LATER = Answer(later=True)


class Rig:
    """A host whose devices answer READ(10) when the test says so."""

    def __init__(self, *, luns: int = 1) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.driver = ScriptedDriver()
        self.ended: list[Command] = []
        for lun in range(luns):
            self.driver.unit(0, 0, lun).on(READ[0], LATER)

    def start(self) -> list[LogicalUnit]:
        self.driver.start(self.subsystem)
        self.driver.commands.clear()
        self.driver.calls.clear()
        return self.subsystem.devices()

    def send(self, device: LogicalUnit, cdb: bytes = READ, **options: object) -> Command:
        options.setdefault("timeout_s", 30.0)
        command = Command(device, cdb, on_finished=self.ended.append, **options)  # type: ignore[arg-type]
        submit(command)
        return command

    @property
    def host(self) -> Host:
        return self.subsystem.host(0)

    def actions(self) -> list[str]:
        return [str(step.action) for step in self.host.error_handler.recent]

    def sent(self) -> list[int]:
        return [cdb[0] for _, cdb in self.driver.commands]

    def idle(self) -> bool:
        host = self.host
        counters = (host.busy, host.waiting, host.held, host.watched, host.detour)
        return counters == (0, 0, 0, 0, 0) and not host.error_handler.recoveries and not self.clock.pending()
