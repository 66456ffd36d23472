"""The second look at commands of block devices: who gets another try, when, and for how long."""

from __future__ import annotations

import pytest

from midlayer.mid.command import Command, HostByte
from midlayer.mid.dispatch import IDLE_RETRY_S, submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver, inquiry_data

READ_10 = bytes.fromhex("28000001020300000800")
WRITE_10 = bytes.fromhex("2a000001020300000840")
TUR = bytes(6)
GOOD = Answer(data=bytes(4096))
RESET = Answer(host_byte=HostByte.DID_RESET)
POWER_ON = Answer.check(6, 0x29, 0x00)
UNKNOWN = Answer.check(5, 0x20, 0x00)

BUSY_FOR_NOW = [
    Answer.check(2, 0x04, ascq) for ascq in (0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x11, 0x14, 0x1A, 0x1B, 0x1D)
]
FINAL = [
    Answer(host_byte=HostByte.DID_NO_CONNECT),
    Answer(host_byte=HostByte.DID_ABORT),
    Answer.check(2, 0x04, 0x00),
    Answer.check(2, 0x04, 0x24),
    Answer.check(2, 0x04, 0x25),
    Answer.check(2, 0x3A, 0x00),
    Answer.check(3, 0x11, 0x00),
    Answer.check(4, 0x44, 0x00),
    Answer.check(5, 0x21, 0x00),
    Answer.check(5, 0x24, 0x00),
    Answer.check(7, 0x27, 0x00),
    Answer.check(0xB, 0x10, 0x01),
    Answer(status=0x18),
]


@pytest.fixture
def device(subsystem: Subsystem, driver: ScriptedDriver) -> LogicalUnit:
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    driver.commands.clear()
    return subsystem.devices()[0]


def send(device: LogicalUnit, cdb: bytes = READ_10, **options: object) -> Command:
    options.setdefault("timeout_s", 5.0)
    command = Command(device, cdb, **options)  # type: ignore[arg-type]
    submit(command)
    return command


def sent(driver: ScriptedDriver) -> list[bytes]:
    return [cdb for _, cdb in driver.commands]


@pytest.mark.parametrize("answer", [RESET, POWER_ON, Answer.check(6, 0x3F, 0x03), *BUSY_FOR_NOW])
def test_what_ends_by_itself_is_waited_for(
    driver: ScriptedDriver, device: LogicalUnit, clock: FakeClock, answer: Answer
) -> None:
    driver.units[0, 0, 0].on(READ_10[0], answer, GOOD)
    command = send(device)
    assert command.phase.name == "QUEUED"
    clock.advance(IDLE_RETRY_S)
    assert (command.phase.name, command.status, command.retries) == ("FINISHED", 0, 0)
    assert (sent(driver), clock.pending()) == ([READ_10] * 2, [])


def test_a_change_of_access_state_is_given_a_second(
    driver: ScriptedDriver, device: LogicalUnit, clock: FakeClock
) -> None:
    driver.units[0, 0, 0].on(READ_10[0], Answer.check(2, 0x04, 0x0A), GOOD)
    command = send(device)
    clock.advance(0.9)
    assert command.phase.name == "QUEUED"
    clock.advance(0.1)
    assert (command.phase.name, command.status) == ("FINISHED", 0)


@pytest.mark.parametrize("answer", FINAL)
def test_the_rest_is_final(driver: ScriptedDriver, device: LogicalUnit, answer: Answer) -> None:
    driver.units[0, 0, 0].on(READ_10[0], answer)
    assert send(device).phase.name == "FINISHED"
    assert sent(driver) == [READ_10]


@pytest.mark.parametrize("answer", [RESET, POWER_ON, UNKNOWN, *BUSY_FOR_NOW])
@pytest.mark.parametrize(("cdb", "passthrough"), [(READ_10, True), (TUR, False)])
def test_commands_of_somebody_who_decides_for_himself(
    driver: ScriptedDriver, device: LogicalUnit, answer: Answer, cdb: bytes, passthrough: bool
) -> None:
    driver.units[0, 0, 0].on(cdb[0], answer)
    assert send(device, cdb, passthrough=passthrough).phase.name == "FINISHED"
    assert sent(driver) == [cdb]


@pytest.mark.parametrize("answer", [RESET, POWER_ON, BUSY_FOR_NOW[0], Answer.check(2, 0x04, 0x0A)])
def test_the_whole_life_of_a_command_ends_it(
    driver: ScriptedDriver, device: LogicalUnit, clock: FakeClock, answer: Answer
) -> None:
    driver.units[0, 0, 0].on(READ_10[0], answer)
    command = send(device, allowed=1)
    clock.advance(9.9)
    assert command.phase.name == "QUEUED"
    clock.advance(1.1)
    assert command.phase.name == "FINISHED"
    assert (command.host_byte, bool(command.sense_data)) == (answer.host_byte, answer is not RESET)


def test_a_removable_medium_may_be_another_one(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    inquiry = bytearray(inquiry_data())
    inquiry[1] = 0x80
    driver.unit(0, 0, 0, bytes(inquiry)).on(READ_10[0], POWER_ON)
    driver.start(subsystem)
    (device,) = subsystem.devices()
    driver.commands.clear()
    assert send(device).status == 2
    assert (sent(driver), device.medium_changed) == ([READ_10], True)


@pytest.mark.parametrize(
    ("cdb", "shorter"),
    [
        (READ_10, bytes.fromhex("080102030800")),
        (WRITE_10, bytes.fromhex("0a0102030840")),
        (bytes.fromhex("28000020000000000800"), None),
        (bytes.fromhex("28000001020300010000"), None),
        (bytes.fromhex("28000001020300000000"), None),
    ],
)
def test_an_unknown_read_or_write_is_sent_with_six_bytes(
    driver: ScriptedDriver, device: LogicalUnit, cdb: bytes, shorter: bytes | None
) -> None:
    driver.units[0, 0, 0].on(cdb[0], UNKNOWN)
    command = send(device, cdb)
    assert sent(driver) == [cdb, shorter or cdb]
    assert (command.phase.name, command.status) == ("FINISHED", 0 if shorter else 2)
    driver.commands.clear()
    assert send(device, cdb).status == 2  # once for each device
    assert sent(driver) == [cdb]
