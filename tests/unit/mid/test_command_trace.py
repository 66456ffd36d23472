"""SCSI logging: a line for each event, and no cost while it is off."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from midlayer.mid.command import Command, HostByte
from midlayer.mid.command_trace import CommandTrace, _duration
from midlayer.mid.dispatch import execute, submit
from midlayer.mid.host import Host
from midlayer.mid.host_template import DEVICE_BUSY
from midlayer.mid.logging_level import LoggingLevel
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock, ScriptedDriver
from midlayer.testing.scripted import Answer

READ_10 = bytes.fromhex("28000000000000000800")
NAME = "0:0:0:1 READ(10) lba=0 blocks=8"


@pytest.fixture
def host(subsystem: Subsystem, driver: ScriptedDriver) -> Host:
    driver.unit(0, 0, 0)
    driver.unit(0, 0, 1)
    return driver.start(subsystem)


@pytest.fixture
def device(host: Host) -> LogicalUnit:
    return host.devices()[1]


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def trace(subsystem: Subsystem, lines: list[str]) -> CommandTrace:
    return CommandTrace(subsystem, lines.append)


def level(*words: str) -> int:
    return LoggingLevel.parse(list(words))


def test_off_is_out_of_the_way(device: LogicalUnit, driver: ScriptedDriver, trace: CommandTrace) -> None:
    before = device.queuecommand
    assert trace.level == 0
    trace.set(level("error=7", "hlqueue=7", "ioctl=7"))  # none of them is about a command here
    assert device.queuecommand == before
    trace.set(level("mlqueue=2"))
    assert device.queuecommand != before
    trace.set(level("mlqueue=3"))
    trace.set(0)
    assert device.queuecommand == before == driver.queuecommand


def test_a_command_from_issue_to_end(trace: CommandTrace, device: LogicalUnit, lines: list[str]) -> None:
    trace.set(level("mlqueue=2", "mlcomplete=2"))
    execute(device, READ_10)
    assert lines == [f"{NAME} issued", f"{NAME} done GOOD 0 µs"]


def test_what_a_driver_gives_back(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, lines: list[str]
) -> None:
    driver.units[0, 0, 1].on(0x28, Answer(status=0x18, residual=512), Answer(data=bytes(512)))
    trace.set(level("llcomplete=1"))
    buffer = memoryview(bytearray(512))
    for _ in range(2):
        execute(device, READ_10, data_in=buffer)
    assert lines == [
        f"{NAME} given back status=0x18 host=0x00 residual=512",
        f"{NAME} given back status=0x00 host=0x00 residual=0",
    ]


def test_a_command_that_takes_time(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, clock: FakeClock, lines: list[str]
) -> None:
    driver.units[0, 0, 1].on(0x28, Answer(later=True))
    trace.set(level("mlcomplete=2"))
    submit(Command(device, READ_10))
    assert not lines
    clock.advance(0.0123)
    driver.pending[0].complete()
    assert lines == [f"{NAME} done GOOD 12.3 ms"]


def test_only_what_went_wrong(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, lines: list[str]
) -> None:
    driver.units[0, 0, 1].on(0x28, Answer(), Answer.check(3, 0x11), Answer(host_byte=HostByte.DID_ERROR))
    trace.set(level("mlcomplete=1"))
    for _ in range(3):
        execute(device, READ_10, passthrough=True)
    assert [line.removeprefix(NAME) for line in lines] == [
        " done MEDIUM ERROR, unrecovered read error (3/11/00) 0 µs",
        " done DID_ERROR 0 µs",
    ]


def test_a_refusal(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, clock: FakeClock, lines: list[str]
) -> None:
    driver.units[0, 0, 1].on(0x28, Answer(busy=DEVICE_BUSY), Answer(busy=1), Answer())
    trace.set(level("mlqueue=2", "llqueue=1"))
    submit(Command(device, READ_10))
    clock.advance(1)
    assert [line.removeprefix(f"{NAME} ") for line in lines] == [
        "issued",
        "refused DEVICE_BUSY",
        "issued",
        "refused HOST_BUSY",
        "issued",
    ]


def test_a_time_out(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, clock: FakeClock, lines: list[str]
) -> None:
    driver.units[0, 0, 1].on(0x28, Answer(later=True))
    trace.set(level("timeout=1"))
    finished: list[Command] = []
    submit(Command(device, READ_10, timeout_s=5, on_finished=finished.append))
    clock.advance(6)
    assert lines == [f"{NAME} timed out 5.0 s"]
    assert len(finished) == 1


def test_scans(
    trace: CommandTrace, subsystem: Subsystem, host: Host, driver: ScriptedDriver, lines: list[str]
) -> None:
    trace.set(level("scan=1"))
    assert not lines  # what was there before does not come
    subsystem.remove_device(host.devices()[1])
    trace.set(level("scan=3"))
    subsystem.scan_host(host)
    assert [line.rstrip() for line in lines] == [
        "0:0:0:1 SCRIPTED Scripted disk detached",
        "host 0 scan begins",
        "0:0:0:1 SCRIPTED Scripted disk attached",
        "host 0 scan ends",
    ]


def test_a_host_that_comes_later(trace: CommandTrace, subsystem: Subsystem, lines: list[str]) -> None:
    trace.set(level("mlqueue=2"))
    driver = ScriptedDriver()
    driver.unit(0, 0, 0)
    late = driver.start(subsystem)
    assert lines[0] == "0:0:0:0 INQUIRY length=36 issued"
    (device,) = late.devices()
    subsystem.remove_host(late)
    assert late.way.to(device) == driver.queuecommand
    late.put()


def test_somebody_in_the_place_of_the_driver(
    trace: CommandTrace, host: Host, device: LogicalUnit, lines: list[str]
) -> None:
    trace.set(level("mlqueue=2"))
    driver = host.queuecommand

    def in_its_place(command: Command, done: Callable[[Command], None]) -> int:
        lines.append("in its place")
        return driver(command, done)

    host.queuecommand = in_its_place
    assert execute(device, READ_10).ok
    trace.set(0)
    assert execute(device, READ_10).ok
    assert lines == [f"{NAME} issued", "in its place", "in its place"]


def test_a_listener_that_raises(subsystem: Subsystem, device: LogicalUnit) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    CommandTrace(subsystem, refuse).set(level("all=7"))
    assert execute(device, READ_10).ok


def test_any_sense_data(
    trace: CommandTrace, device: LogicalUnit, driver: ScriptedDriver, lines: list[str]
) -> None:
    chance = random.Random(7)
    driver.units[0, 0, 1].on(
        0x28, *(Answer(sense=chance.randbytes(chance.randrange(1, 40))) for _ in range(300))
    )
    trace.set(level("mlcomplete=1"))
    for _ in range(300):
        execute(device, READ_10, passthrough=True)
    assert len(lines) == 300


def test_durations() -> None:
    assert [_duration(seconds) for seconds in (12e-6, 0.0012, 1.25)] == ["12 µs", "1.2 ms", "1.2 s"]


def test_steps_of_recovery(
    subsystem: Subsystem, driver: ScriptedDriver, host: Host, clock: FakeClock
) -> None:
    lines: list[str] = []
    CommandTrace(subsystem, lines.append).update({"error": 1})
    driver.handle("device_reset")
    driver.units[0, 0, 1].on(0x28, Answer(later=True))
    submit(Command(subsystem.devices()[1], READ_10, timeout_s=5.0))
    clock.advance(5)
    assert lines[0] == "host 0: time out 0:0:0:1: READ(10) lba=0 blocks=8"
    assert "host 0: device reset 0:0:0:1: success" in lines
