"""The tables of what becomes of a command, row by row."""

from __future__ import annotations

import pytest

from midlayer.mid.command import Command, FailFast, HostByte
from midlayer.mid.disposition import Disposition, decide, may_retry
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.quirks import Quirk
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


def test_an_offline_device_means_success(command: Command) -> None:
    command.device.set_state(DeviceState.OFFLINE)
    command.host_byte = HostByte.DID_ERROR
    assert decide(command) is S


def test_did_abort_after_an_abort_of_ours_becomes_a_time_out(command: Command) -> None:
    command.host_byte = HostByte.DID_ABORT
    assert (decide(command), command.host_byte) == (S, HostByte.DID_ABORT)
    command.rare.abort_tried = True
    assert (decide(command), command.host_byte) == (S, HostByte.DID_TIME_OUT)


def test_reservation_conflict_is_in_the_log(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    command.status = Status.RESERVATION_CONFLICT
    assert decide(command) is S
    assert "reservation conflict" in caplog.text


@pytest.mark.parametrize("key", [2, 6])
def test_expecting_cc_ua_means_one_more_try(command: Command, key: int) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(key, 0x29)
    command.device.expecting_cc_ua = True
    assert (decide(command), decide(command)) == (R, S)


def test_a_changed_medium_is_not_what_was_expected(command: Command) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(6, 0x28)
    command.device.expecting_cc_ua = True
    assert (decide(command), command.device.expecting_cc_ua) == (S, True)


def test_expecting_lun_change_means_another_try(command: Command) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(6, 0x3F, 0x0E)
    assert decide(command) is R  # the report itself sets the flag, as in the kernel
    assert command.device.target.expecting_lun_change


@pytest.mark.parametrize(("allow_restart", "verdict"), [(True, F), (False, S)])
def test_allow_restart(command: Command, allow_restart: bool, verdict: Disposition) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(2, 0x04, 0x02)
    command.device.allow_restart = allow_restart
    assert decide(command) is verdict


@pytest.mark.parametrize(
    ("quirk", "code"),
    [
        (Quirk.RETRY_ITF, (0xB, 0x44, 0)),
        (Quirk.RETRY_ASC_C1, (0xB, 0xC1, 0x01)),
        (Quirk.RETRY_HWERROR, (4, 0x44, 0)),
    ],
)
def test_quirks_that_requeue(command: Command, quirk: Quirk, code: tuple[int, int, int]) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, fixed_sense(*code)
    without = decide(command)
    assert without is (S if code[0] == 4 else R)
    command.device.flags = quirk
    assert decide(command) is Q


def test_test_unit_ready_of_the_error_handler_is_judged(command: Command) -> None:
    command.cdb, command.status = TUR, Status.CHECK_CONDITION
    command.sense_data = fixed_sense(0xB)
    assert (decide(command), decide(command, recovering=True)) == (S, R)


@pytest.mark.parametrize(
    ("host_byte", "kind"),
    [
        (HostByte.DID_BUS_BUSY, FailFast.TRANSPORT),
        (HostByte.DID_PARITY, FailFast.DEVICE),
        (HostByte.DID_ERROR, FailFast.DRIVER),
        (HostByte.DID_SOFT_ERROR, FailFast.DRIVER),
        (HostByte.DID_TIME_OUT, FailFast.DEVICE),
        (HostByte.DID_OK, FailFast.DEVICE),
    ],
)
def test_failfast(command: Command, host_byte: int, kind: FailFast) -> None:
    command.allowed, command.host_byte = 5, host_byte
    for each in (FailFast.DEVICE, FailFast.TRANSPORT, FailFast.DRIVER):
        command.failfast = each
        assert may_retry(command) is (each is not kind)


def test_a_passthrough_command_is_not_retried_after_a_time_out(command: Command) -> None:
    command.passthrough, command.allowed, command.host_byte = True, 5, HostByte.DID_TIME_OUT
    assert not may_retry(command)
