"""The conformance suite: drivers that keep the contract pass, and each breach has its check."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Command
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import LOWER_DRIVER_CHECKS, check_lower_driver, rig

UNITS = (
    UnitSpec(size=1 << 16, count=2),
    UnitSpec(lun=2, size=1 << 16, write_protected=True),
    UnitSpec(target=1, type=5, size=1 << 16),
    UnitSpec(target=2, type=1),
    UnitSpec(target=3, qualifier=1),
)


def virtual(subsystem: Subsystem) -> Host:
    return VirtualDriver(subsystem).add_host(HostSpec(units=UNITS))


@pytest.mark.parametrize("check", LOWER_DRIVER_CHECKS)
def test_virtual_hosts_conform(check: str) -> None:
    check_lower_driver(virtual, only=[check], may_write=True)


class Broken(VirtualDriver):
    """A virtual host; a test overrides what it breaks."""

    def bring_up(self, subsystem: Subsystem) -> Host:
        self._subsystem = subsystem
        return self.add_host(HostSpec(units=(UnitSpec(size=1 << 16),)))


def broken(driver: type[Broken]) -> Callable[[Subsystem], Host]:
    return lambda subsystem: driver(subsystem).bring_up(subsystem)


class NoProcName(Broken):
    proc_name = "a/b"


class Twice(Broken):
    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        super().queuecommand(command, done)
        if command.cdb[0] == 0x12:
            done(command)
        return 0


class WrongResidual(Broken):
    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        def full(command: Command) -> None:
            command.residual = 0
            done(command)

        return super().queuecommand(command, full)


class SenseWithoutStatus(Broken):
    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        def good(command: Command) -> None:
            command.status = 0 if command.cdb[0] == 0x0D else command.status
            done(command)

        return super().queuecommand(command, good)


class ReadsBeyond(Broken):
    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        if command.cdb[0] == 0x28:
            done(command)
            return 0
        return super().queuecommand(command, done)


class ForgetsWrites(ReadsBeyond):
    pass


class FindsMoreEachTime(Broken):
    def target_alloc(self, target: object) -> int:
        if self._subsystem.hosts()[0].devices():
            self._connect(self._subsystem.hosts()[0], self._subsystem.hosts()[0].hostdata, UnitSpec(lun=1))
        return 0


class OtherData(Broken):
    asked = 0

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        def changed(command: Command) -> None:
            if command.cdb[0] == 0x12 and not command.cdb[1] and command.data_in:
                type(self).asked += 1
                command.data_in[-1] = type(self).asked & 0xFF
            done(command)

        return super().queuecommand(command, changed)


class LeavesAThread(Broken):
    stop = threading.Event()

    def release(self, host: Host) -> None:
        threading.Thread(target=self.stop.wait, name="left behind").start()
        super().release(host)


class ReleasesItself(Broken):
    def slave_configure(self, device: LogicalUnit) -> int:
        device.host.template.release(device.host)
        return super().slave_configure(device)

    def release(self, host: Host) -> None:
        """Keep the units."""


BREACHES: dict[str, tuple[type[Broken], str, str]] = {
    "proc_name": (NoProcName, "members", "proc_name 'a/b'"),
    "done twice": (Twice, "exactly once", "done was called"),
    "residual": (WrongResidual, "short buffers", "255 bytes, 96 bytes were to come"),
    "residual of a failure": (WrongResidual, "unknown opcode", "nothing was to be moved"),
    "sense without status": (SenseWithoutStatus, "unknown opcode", "CHECK CONDITION was to come"),
    "reads beyond the end": (ReadsBeyond, "reads", "a block beyond the end was read"),
    "forgets writes": (ForgetsWrites, "writes", "not what was written (seed 0x5c51)"),
    "a second scan": (FindsMoreEachTime, "rescan", "the second"),
    "other data": (OtherData, "scan", "other INQUIRY data than before"),
    "a thread": (
        LeavesAThread,
        "members",
        "left running after the host was removed: ['left behind']",
    ),
    "release": (ReleasesItself, "life cycle", "release was called while the host was there"),
}


@pytest.mark.parametrize("case", BREACHES)
def test_breach(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig, "GRACE_S", 0.1)
    driver, check, says = BREACHES[case]
    LeavesAThread.stop.clear()
    try:
        with pytest.raises(AssertionError) as caught:
            check_lower_driver(broken(driver), only=[check], may_write=True)
    finally:
        LeavesAThread.stop.set()
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{check}: ")


def test_a_host_without_devices_is_no_proof() -> None:
    class Empty(HostTemplate):
        name, proc_name, can_queue = "empty", "empty", 1

        def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
            command.host_byte = 1
            done(command)
            return 0

    def bring_up(subsystem: Subsystem) -> Host:
        host = subsystem.host_alloc(Empty())
        subsystem.add_host(host)
        subsystem.scan_host(host)
        return host

    with pytest.raises(AssertionError, match="scan: the scan found no device"):
        check_lower_driver(bring_up, only=["scan"])
