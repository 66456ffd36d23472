"""The tables of what becomes of a command, row by row."""

from __future__ import annotations

import pytest

from midlayer.mid.command import Command, HostByte
from midlayer.mid.disposition import Disposition, decide, may_retry
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import Status
from midlayer.standards.sense import descriptor_sense, fixed_sense
from midlayer.testing import ScriptedDriver

S, R = Disposition.SUCCESS, Disposition.NEEDS_RETRY
Q, F = Disposition.ADD_TO_MLQUEUE, Disposition.FAILED
READ, TUR, INQUIRY = bytes((0x28, *bytes(9))), bytes(6), bytes((0x12, *bytes(5)))

HOST_BYTES = {
    **dict.fromkeys((0x01, 0x04, 0x05, 0x08, 0x0A, 0x0F, 0x14), S),
    **dict.fromkeys((0x02, 0x06, 0x07, 0x0B, 0x0E), R),
    **dict.fromkeys((0x0C, 0x0D), Q),
    **dict.fromkeys((0x03, 0x09, 0x10, 0x11, 0x12, 0x13, 0x55), F),
}
STATUSES = {0x04: S, 0x08: Q, 0x10: S, 0x14: S, 0x18: S, 0x22: S, 0x28: Q, 0x30: S, 0x40: R, 0x06: F, 0xFE: F}
SENSE = [
    *[((key, 0, 0), S) for key in (0, 1, 2, 4, 5, 6, 7, 8, 9, 0xA, 0xC, 0xD, 0xE, 0xF)],
    *[((0xB, 0x10, ascq), S) for ascq in range(4)],
    *[((0xB, 0x2E, ascq), S) for ascq in (1, 2, 3)],
    *[((0xB, 0x2E, 0), R), ((0xB, 0, 0), R), ((0xB, 0x44, 0), R)],
    *[((2, 0x04, 0x01), R), ((6, 0x04, 0x01), R), ((2, 0x04, 0x02), S), ((2, 0x3A, 0), S), ((6, 0x29, 0), S)],
    *[((3, asc, 0), S) for asc in (0x11, 0x13, 0x14)],
    *[((3, 0x10, 0), R), ((3, 0x0C, 0), R), ((7, 0x27, 0x07), S), ((5, 0x20, 0), S)],
]


@pytest.fixture
def command(subsystem: Subsystem, driver: ScriptedDriver) -> Command:
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    return Command(subsystem.devices()[0], READ)


@pytest.mark.parametrize(("host_byte", "verdict"), HOST_BYTES.items())
def test_by_host_byte(command: Command, host_byte: int, verdict: Disposition) -> None:
    command.host_byte = host_byte
    assert decide(command) is verdict
    assert command.host_byte == (0 if host_byte == HostByte.DID_PASSTHROUGH else host_byte)


@pytest.mark.parametrize(("cdb", "verdict"), [(TUR, S), (INQUIRY, S), (READ, F)])
def test_time_out_by_command(command: Command, cdb: bytes, verdict: Disposition) -> None:
    command.cdb, command.host_byte = cdb, HostByte.DID_TIME_OUT
    assert decide(command) is verdict


def test_error_with_reservation_conflict(command: Command) -> None:
    command.host_byte, command.status = HostByte.DID_ERROR, Status.RESERVATION_CONFLICT
    assert decide(command) is S


@pytest.mark.parametrize(("status", "verdict"), STATUSES.items())
def test_by_status(command: Command, status: int, verdict: Disposition) -> None:
    command.status = status
    assert decide(command) is verdict


@pytest.mark.parametrize("encode", [fixed_sense, descriptor_sense])
@pytest.mark.parametrize(("code", "verdict"), SENSE)
def test_by_sense(
    command: Command, code: tuple[int, int, int], verdict: Disposition, encode: type[fixed_sense]
) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, encode(*code)
    assert decide(command) is verdict
    command.cdb = TUR
    assert decide(command) is S


@pytest.mark.parametrize("data", [b"", b"\x00" * 18, b"\x7f" + bytes(17)])
def test_no_valid_sense(command: Command, data: bytes) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, data
    assert decide(command) is F


@pytest.mark.parametrize("flag", ["filemark", "eom", "ili"])
def test_stream_flags(command: Command, flag: str) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(0xB, **{flag: True})  # type: ignore[arg-type]
    assert decide(command) is S


def test_deferred(command: Command) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(3, 0x11, deferred=True)
    assert decide(command) is R


@pytest.mark.parametrize(
    ("allowed", "retries", "passthrough", "host_byte", "may"),
    [
        (0, 0, False, 0, False),
        (1, 0, False, 0, True),
        (1, 1, False, 0, False),
        (-1, 10**6, False, 0, True),
        (5, 0, True, 0, False),
        (0, 0, True, HostByte.DID_ERROR, False),
        (1, 0, True, HostByte.DID_ERROR, True),
    ],
)
def test_may_retry(
    command: Command, allowed: int, retries: int, passthrough: bool, host_byte: int, may: bool
) -> None:
    command.allowed, command.retries, command.passthrough = allowed, retries, passthrough
    command.host_byte = host_byte
    assert may_retry(command) is may
