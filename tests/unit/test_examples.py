"""The examples run, and the documents that show them stay true."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

import midlayer
from midlayer.frontends.config import load
from midlayer.frontends.daemon.core import Daemon
from midlayer.mid.clock import SystemClock
from midlayer.standards.ses import decode_additional
from midlayer.standards.smc import decode_element_status
from midlayer.testing import LOWER_DRIVER_CHECKS, check_lower_driver

ROOT = Path(__file__).parent.parent.parent
DRIVERS = ROOT / "examples" / "drivers"
SOON_S = 90.0


def run(path: Path) -> str:
    return subprocess.run([sys.executable, str(path)], check=True, capture_output=True, text=True).stdout


def test_the_example_driver_scans_and_answers() -> None:
    said = run(DRIVERS / "ramdisk.py")
    assert said.count("\n") == 2
    shown = (ROOT / "docs" / "writing-a-driver.md").read_text()
    assert all(f"    {line}\n" in shown for line in said.splitlines())


def test_the_passive_driver_detects_and_goes() -> None:
    said = run(DRIVERS / "passive.py").splitlines()
    assert said[0] == "example passive RAM disk at port 0x330"
    assert "0:0:0:0 EXAMPLE RAM disk" in said[1]
    assert said[2:] == ["hosts left: 0"]


def test_no_example_driver_is_longer_than_80_lines() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in DRIVERS.glob("*.py")}
    assert set(lines) == {"ramdisk.py", "threaded.py", "passive.py"}
    assert max(lines.values()) < 80, lines


@pytest.fixture
def subsystem() -> Iterator[midlayer.Subsystem]:
    subsystem = midlayer.Subsystem()
    yield subsystem
    for host in subsystem.hosts():
        subsystem.remove_host(host)
        host.put()
    assert isinstance(subsystem.clock, SystemClock)
    subsystem.clock.close()


@pytest.fixture
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DRIVERS))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("check", LOWER_DRIVER_CHECKS)
@pytest.mark.parametrize("driver", ["ramdisk", "threaded", "passive"], indirect=True)
def test_example_drivers_keep_the_contract(driver: ModuleType, check: str) -> None:
    check_lower_driver(driver.bring_up, only=[check], may_write=True)


@pytest.mark.parametrize("driver", ["threaded"], indirect=True)
def test_the_threaded_driver_gives_back_what_is_late(
    subsystem: midlayer.Subsystem, driver: ModuleType
) -> None:
    """One command waits behind one that takes too long: it is aborted, and for the other it takes a reset."""
    host = driver.bring_up(subsystem)
    (disk,) = host.devices()
    begun, may_end = threading.Event(), threading.Event()
    move, reset = host.template._move, host.template.eh_device_reset_handler

    def move_slowly(command: midlayer.Command) -> None:
        begun.set()
        may_end.wait(SOON_S)
        move(command)

    def let_end_and_reset(command: midlayer.Command) -> int:
        may_end.set()
        return int(reset(command))

    vars(host.template).update(_move=move_slowly, eh_device_reset_handler=let_end_and_reset)
    read = bytes.fromhex("28000000000000000100")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(midlayer.execute, disk, read, data_in=512, timeout_s=2.0)
        assert begun.wait(SOON_S)  # the second has the rest of two seconds to be too late before this one
        second = pool.submit(midlayer.execute, disk, bytes(6), timeout_s=0.05)
        ended = {first.result(SOON_S).host_byte, second.result(SOON_S).host_byte}
    assert ended == {midlayer.HostByte.DID_TIME_OUT}
    steps = {(str(step.action), step.outcome) for step in host.error_handler.recent}
    assert {("abort", "success"), ("abort", "failed"), ("device reset", "success")} <= steps
    assert midlayer.execute(disk, read, data_in=512).ok


def test_the_default_configuration_has_devices_of_several_kinds() -> None:
    config = load(ROOT / "examples" / "default.toml")
    (host,) = config.virtual_hosts
    assert config.kernel
    assert len({unit.type for unit in host.units}) >= 4
    assert [unit.lun for unit in host.units if unit.qualifier == 1] == [3]


def test_the_library_has_its_cartridges_and_the_shelf_its_disks() -> None:
    daemon = Daemon(load(ROOT / "examples" / "library.toml"), None)
    daemon.start()
    try:
        read = bytes.fromhex("b8100000ffff0000ffff0000")
        status = midlayer.execute(daemon.find("sg0"), read, data_in=65535).raise_for_status()
        found = [one.tag.volume_identifier for one in decode_element_status(bytes(status.data)) if one.tag]
        assert sorted(filter(None, found)) == ["A00001L4", "A00002L4", "A00003L4", "CLN001L4"]
        read = bytes.fromhex("1c010affff00")
        status = midlayer.execute(daemon.find("sg3"), read, data_in=65535).raise_for_status()
        slots = decode_additional(bytes(status.data))
        assert [one.head.invalid for one in slots] == [False, False, True, True]
    finally:
        daemon.stop()


def test_the_package_example_is_true() -> None:
    with midlayer.open_device("virtual:disk?size=1M") as disk:
        assert str(disk.execute(bytes(6))) == "0:0:0:0 TEST UNIT READY: GOOD"
