"""Asynchronous scans, and what `scan_type` allows (SC-28, SC-29)."""

from __future__ import annotations

import threading

import pytest

from midlayer.errors import InvalidRequest
from midlayer.mid.async_scan import POLL_S
from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.user_scan import scan_by_text
from midlayer.testing import Answer, FakeClock, ScriptedDriver


class Names(UpperDriver):
    """Notes the order in which devices are attached."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.order.append(str(device.address))

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.order.append(f"-{device.address}")


class Reporting(ScriptedDriver):
    """Finds its devices itself, when the test says so."""

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__()
        self.subsystem = subsystem
        self.ready = False
        self.asked: list[float] = []

    def scan_start(self, host: Host) -> None:
        self.calls.append(f"scan_start {host.host_no}")

    def scan_finished(self, host: Host, elapsed_s: float) -> bool:
        self.asked.append(round(elapsed_s, 6))
        if "scan_finished" in self.raising:
            raise RuntimeError("oops")
        if self.ready:
            self.subsystem.add_device(host, 0, 0, 0)
        return self.ready


@pytest.fixture
def names() -> Names:
    return Names()


def start(subsystem: Subsystem, driver: ScriptedDriver) -> Host:
    host = driver.start(subsystem, scan=False)
    subsystem.scan_new_host(host)
    return host


def test_sc_29_scan_finished_is_asked_every_10_ms(clock: FakeClock, names: Names) -> None:
    subsystem = Subsystem(clock=clock, scan_type="async")
    subsystem.register_upper(names)
    driver = Reporting(subsystem)
    driver.unit(0, 0, 0)
    start(subsystem, driver)
    clock.advance(3.5 * POLL_S)
    assert (driver.asked, names.order) == ([0.0, 0.01, 0.02, 0.03], [])
    driver.ready = True
    clock.advance(POLL_S)
    assert (driver.calls[0], names.order) == ("scan_start 0", ["0:0:0:0"])
    assert subsystem.async_scans.wait(0)
    clock.advance(1)
    assert len(driver.asked) == 5


def test_sc_29_hosts_announce_in_the_order_of_registration(clock: FakeClock, names: Names) -> None:
    subsystem = Subsystem(clock=clock, scan_type="async")
    subsystem.register_upper(names)
    slow, quick = Reporting(subsystem), ScriptedDriver()
    slow.unit(0, 0, 0)
    quick.unit(0, 0, 0)
    first = start(subsystem, slow)
    second = start(subsystem, quick)
    assert [device.address.host for device in subsystem.devices()] == [1]  # found, and not announced
    assert (names.order, first.references, second.references) == ([], 2, 3)
    late = Names()
    subsystem.register_upper(late)
    assert not subsystem.async_scans.wait(0)
    slow.ready = True
    clock.advance(POLL_S)
    assert names.order == late.order == ["0:0:0:0", "1:0:0:0"]
    assert (first.references, second.references) == (2, 2)


def test_sc_29_a_host_that_goes_before_it_is_announced(clock: FakeClock, names: Names) -> None:
    subsystem = Subsystem(clock=clock, scan_type="async")
    subsystem.register_upper(names)
    slow, quick = Reporting(subsystem), ScriptedDriver()
    quick.unit(0, 0, 0)
    start(subsystem, slow)
    gone = start(subsystem, quick)
    subsystem.remove_host(gone)
    slow.unit(0, 0, 0)
    slow.ready = True
    clock.advance(POLL_S)
    assert names.order == ["0:0:0:0"]
    assert gone.references == 1


def test_sc_29_scan_finished_that_raises_ends_the_scan(
    clock: FakeClock, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    subsystem = Subsystem(clock=clock, scan_type="async")
    driver = Reporting(subsystem)
    driver.raising.add("scan_finished")
    start(subsystem, driver)
    assert subsystem.async_scans.wait(0)
    assert "scan_finished of driver scripted host raised" in caplog.text


def test_sc_29_two_hosts_are_scanned_at_the_same_time(names: Names) -> None:
    subsystem = Subsystem(clock=SystemClock(), scan_type="async")
    subsystem.register_upper(names)
    together = threading.Barrier(2, timeout=60)

    def answer(command: Command) -> Answer:
        if command.device.address[1:] == (0, 0, 0) and not command.cdb[1] & 1:
            together.wait()
        return Answer(host_byte=1)

    drivers = [ScriptedDriver(), ScriptedDriver()]
    for driver in drivers:
        driver.unit(0, 0, 0).on(0x12, answer)
        driver.unit(0, 1, 0)
        start(subsystem, driver)
    assert subsystem.async_scans.wait(60)
    assert names.order == ["0:0:1:0", "1:0:1:0"]
    assert not together.broken
    subsystem.clock.close()  # type: ignore[attr-defined]


def test_a_synchronous_scan_waits_for_a_driver_that_finds_devices_itself(names: Names) -> None:
    subsystem = Subsystem(clock=SystemClock())
    subsystem.register_upper(names)
    driver = Reporting(subsystem)
    driver.unit(0, 0, 0)
    driver.ready = True
    start(subsystem, driver)
    assert names.order == ["0:0:0:0"]
    subsystem.clock.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("scan_type", ["manual", "none"])
def test_sc_28_no_scan_of_a_new_host(clock: FakeClock, scan_type: str) -> None:
    subsystem = Subsystem(clock=clock, scan_type=scan_type)
    driver = ScriptedDriver()
    driver.unit(0, 0, 0)
    host = start(subsystem, driver)
    assert subsystem.devices() == []
    if scan_type == "manual":
        scan_by_text(subsystem, host, "- - -")
        assert len(subsystem.devices()) == 1
    else:
        with pytest.raises(InvalidRequest, match="scan type is none"):
            scan_by_text(subsystem, host, "- - -")
        assert subsystem.devices() == []


def test_an_unknown_scan_type() -> None:
    with pytest.raises(InvalidRequest, match="sync, async, manual, none"):
        Subsystem(scan_type="sometimes")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- - -", ["0:0:0", "0:0:1", "0:1:0"]),
        ("0 0 -\n", ["0:0:0", "0:0:1"]),
        (" 0\t-  0 ", ["0:0:0", "0:1:0"]),
        ("0 1 0", ["0:1:0"]),
        ("0 7 0", []),
    ],
)
def test_sc_28_three_words(subsystem: Subsystem, driver: ScriptedDriver, text: str, found: list[str]) -> None:
    for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0)):
        driver.unit(*place)
    host = driver.start(subsystem, scan=False)
    scan_by_text(subsystem, host, text)
    assert [str(device.address)[2:] for device in subsystem.devices()] == found


@pytest.mark.parametrize(
    "text", ["", "-", "- -", "- - - -", "0 0 x", "0 0 -1", "1 - -", "0 8 -", "0 0 8", "٠ - -"]
)
def test_sc_28_anything_else(subsystem: Subsystem, driver: ScriptedDriver, text: str) -> None:
    host = driver.start(subsystem, scan=False)
    with pytest.raises(InvalidRequest):
        scan_by_text(subsystem, host, text)


def test_sc_28_a_driver_that_scans_in_its_own_way(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    wishes: list[tuple[object, ...]] = []
    driver.user_scan = lambda *wish: wishes.append(wish[1:]) is None  # type: ignore[method-assign]
    host = driver.start(subsystem, scan=False)
    scan_by_text(subsystem, host, "0 - 3")
    assert (wishes, subsystem.devices()) == ([(0, None, 3)], [])
