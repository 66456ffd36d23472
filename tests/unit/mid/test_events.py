"""What upper-level drivers hear, in which order, and what their mistakes cost."""

from __future__ import annotations

import threading

import pytest

from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.upper.sg import execute


class Recorder(UpperDriver):
    """Writes down what it hears; raises in what `raising` names."""

    def __init__(self, log: list[str], name: str = "", raising: str = "") -> None:
        self.log, self.name, self.raising = log, name, raising

    def _hear(self, what: str, subject: object) -> None:
        self.log.append(f"{self.name}{what} {subject}")
        if what == self.raising:
            raise RuntimeError(what)

    def match(self, device: LogicalUnit) -> bool:
        if self.raising == "match":
            raise RuntimeError("match")
        return super().match(device)

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        self._hear("host_added", host.host_no)

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        self._hear("host_removed", host.host_no)

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self._hear("attach", device.address)

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self._hear("detach", device.address)

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        self._hear("changed", changes)

    def scan_begins(self, host: Host) -> None:
        self._hear("scan_begins", host.host_no)

    def scan_ends(self, host: Host) -> None:
        self._hear("scan_ends", host.host_no)


@pytest.fixture
def log() -> list[str]:
    return []


def test_a_whole_life_in_order(subsystem: Subsystem, driver: ScriptedDriver, log: list[str]) -> None:
    subsystem.register_upper(Recorder(log, "a:"))
    subsystem.register_upper(Recorder(log, "b:"))
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    subsystem.set_device_state(subsystem.devices()[0], DeviceState.OFFLINE)
    subsystem.set_device_state(subsystem.devices()[0], DeviceState.OFFLINE)
    subsystem.remove_host(host)
    both = [f"{name}:{what}" for what in ("host_added 0", "scan_begins 0", "attach 0:0:0:0", "scan_ends 0")
            for name in "ab"]  # fmt: skip
    assert log == [
        *both,
        "a:changed {'state': 'offline'}",
        "b:changed {'state': 'offline'}",
        "a:scan_begins 0",
        "b:scan_begins 0",
        "b:detach 0:0:0:0",
        "a:detach 0:0:0:0",
        "b:host_removed 0",
        "a:host_removed 0",
        "a:scan_ends 0",
        "b:scan_ends 0",
    ]


def test_a_driver_that_comes_late_hears_of_what_is_there(
    subsystem: Subsystem, driver: ScriptedDriver, log: list[str]
) -> None:
    driver.unit(0, 0, 0)
    driver.unit(0, 1, 0)
    driver.start(subsystem)
    subsystem.register_upper(Recorder(log))
    assert log == ["host_added 0", "attach 0:0:0:0", "attach 0:0:1:0"]


def test_a_driver_that_comes_in_the_middle_of_a_scan_hears_of_each_device_once(
    subsystem: Subsystem, driver: ScriptedDriver, log: list[str]
) -> None:
    for target in range(4):
        driver.unit(0, target, 0)
    registering: list[threading.Thread] = []

    def hook(name: str, subject: object) -> None:
        if name == "slave_configure" and not registering:
            thread = threading.Thread(target=subsystem.register_upper, args=(Recorder(log),))
            registering.append(thread)
            thread.start()
            while not subsystem.upper_drivers():
                pass

    driver.hook = hook
    driver.start(subsystem)
    registering[0].join(60)
    assert [line for line in log if "scan" not in line] == [
        "host_added 0",
        *(f"attach 0:0:{target}:0" for target in range(4)),
    ]


@pytest.mark.parametrize(
    "raising",
    ["host_added", "host_removed", "match", "attach", "detach", "changed", "scan_begins", "scan_ends"],
)
def test_a_driver_that_raises_harms_nobody_else(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    log: list[str],
    caplog: pytest.LogCaptureFixture,
    raising: str,
) -> None:
    good: list[str] = []
    subsystem.register_upper(Recorder(log, raising=raising))
    subsystem.register_upper(Recorder(good))
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    subsystem.set_device_state(subsystem.devices()[0], DeviceState.OFFLINE)
    subsystem.remove_host(host)
    host.put()
    heard = "host_added scan_begins attach scan_ends changed scan_begins detach host_removed scan_ends"
    assert [line.split()[0] for line in good] == heard.split()
    assert "raised" in caplog.text
    assert ("detach 0:0:0:0" in log) is (raising not in ("match", "attach"))
    assert host.references == 0


def test_commands_from_attach_and_detach(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    results: list[int] = []

    class Asking(UpperDriver):
        def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
            results.append(execute(device, bytes(6)).host_byte)

        detach = attach

    subsystem.register_upper(Asking())
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    (device,) = subsystem.devices()
    subsystem.set_device_state(device, DeviceState.BLOCKED)
    subsystem.remove_device(device)
    assert results == [0, 1]
