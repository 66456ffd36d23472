"""SANITIZE and FORMAT UNIT that take their time (SBC-3 4.11, 5.3)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.lower.virtual import VirtualDriver
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.dispatch import submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import abort_command, reset
from midlayer.standards.sense import Sense
from midlayer.testing import FakeClock

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, SENSE, INQUIRY = "000000000000", "030000001200", "120000002400"
REPORT_LUNS = "a00000000000000000400000"
READ, WRITE = "28000000000000000100", "2a000000000000000100"
ERASE, FORMAT = "48030000000000000000", "040000000000"
AT_ONCE = {ERASE: ("48830000000000000000",), FORMAT: ("041000000000", b"\0\x02\0\0")}
"""The same with IMMED."""

REFUSED = (TUR, READ, WRITE, ERASE, FORMAT, "1b0000000000", "1a003f00ff00", "4d002f000000000000ff")
SECONDS = 100
SANITIZING, FORMATTING = "2/04/1b", "2/04/04"


@pytest.fixture
def clock(subsystem: Subsystem) -> FakeClock:
    assert isinstance(subsystem.clock, FakeClock)
    return subsystem.clock


@pytest.fixture
def slow(unit: MakeUnit) -> LogicalUnit:
    """Return a disk that takes its time."""
    return unit(thin=True, sanitize_s=SECONDS, format_s=SECONDS)


def sent(device: LogicalUnit, cdb: str) -> Command:
    """Send a command that need not end."""
    command = Command(device, bytes.fromhex(cdb), timeout_s=1e6)
    submit(command)
    return command


def progress(asker: Any) -> tuple[str, float | None]:
    """Return what REQUEST SENSE says, and how far the operation has come."""
    sense = Sense.decode(bytes(asker(SENSE, data_in=18).data))
    assert sense is not None
    return sense.code, sense.progress


@pytest.mark.parametrize(("cdb", "why"), [(ERASE, SANITIZING), (FORMAT, FORMATTING)])
def test_immediate(slow: LogicalUnit, initiators: Initiators, clock: FakeClock, cdb: str, why: str) -> None:
    alice, bob, _ = initiators(slow)
    assert alice.code(WRITE, b"x" * 512) == "ok"
    assert alice.code(*AT_ONCE[cdb]) == "ok"
    clock.advance(SECONDS / 4)
    for other in REFUSED:
        assert bob.code(other) == why, other
    for other, room in ((INQUIRY, 36), (REPORT_LUNS, 64)):
        assert bob.code(other, data_in=room) == "ok"
    assert progress(bob) == (why, 0.25)
    refused = bob(TUR)
    assert refused.sense is not None
    assert refused.sense.progress == 0.25
    clock.advance(SECONDS * 3 / 4)
    assert progress(bob)[0] == "0/00/00"
    assert bytes(bob(READ, data_in=512).raise_for_status().data) == bytes(512)


@pytest.mark.parametrize("cdb", [ERASE, FORMAT])
def test_not_immediate(slow: LogicalUnit, initiators: Initiators, clock: FakeClock, cdb: str) -> None:
    alice, _, _ = initiators(slow)
    command = sent(slow, cdb)
    clock.advance(SECONDS - 1)
    assert command.phase is Phase.ISSUED
    assert alice.code(TUR).startswith("2/04/")
    clock.advance(1)
    assert (command.phase, command.status, command.host_byte) == (Phase.FINISHED, 0, 0)
    assert alice.code(TUR) == "ok"


@pytest.mark.parametrize(("cdb", "failure", "after"), [(ERASE, 0x03, "3/31/03"), (FORMAT, 0x01, "3/31/00")])
def test_what_fails(
    slow: LogicalUnit, initiators: Initiators, clock: FakeClock, cdb: str, failure: int, after: str
) -> None:
    alice, _, _ = initiators(slow)
    medium = slow.hostdata.medium
    zero = medium.zero

    def broken(offset_bytes: int, length_bytes: int) -> None:
        raise OSError(errno.EIO, "broken")

    medium.zero = broken
    command = sent(slow, cdb)
    assert command.phase is Phase.ISSUED, "it is found out at the end"
    clock.advance(SECONDS)
    assert command.sense_data[12:14] == bytes((0x31, failure))
    assert alice.code(READ, data_in=512) == after
    assert progress(alice)[0] == after
    medium.zero = zero
    assert alice.code(*AT_ONCE[cdb]) == "ok"
    clock.advance(SECONDS)
    assert alice.code(READ, data_in=512) == "ok"


def test_a_reset_does_not_end_a_sanitize_operation(
    slow: LogicalUnit, initiators: Initiators, clock: FakeClock
) -> None:
    alice, _, _ = initiators(slow)
    command = sent(slow, ERASE)
    reset(slow, "device")
    assert (command.phase, command.host_byte) == (Phase.FINISHED, HostByte.DID_RESET)
    assert alice.code(TUR) == "6/29/03"
    assert alice.code(TUR) == SANITIZING
    clock.advance(SECONDS)
    assert alice.code(TUR) == "ok"


def test_a_reset_leaves_a_format_half_done(
    slow: LogicalUnit, initiators: Initiators, clock: FakeClock
) -> None:
    alice, _, _ = initiators(slow)
    command = sent(slow, FORMAT)
    reset(slow, "device")
    assert (command.phase, command.host_byte) == (Phase.FINISHED, HostByte.DID_RESET)
    assert alice.code(TUR) == "6/29/03"
    assert alice.code(READ, data_in=512) == "3/31/00"
    clock.advance(2 * SECONDS)
    assert alice.code(READ, data_in=512) == "3/31/00"
    assert alice.code(*AT_ONCE[FORMAT]) == "ok"
    clock.advance(SECONDS)
    assert alice.code(READ, data_in=512) == "ok"


def test_an_abort_ends_the_command_and_not_the_operation(
    slow: LogicalUnit, initiators: Initiators, clock: FakeClock
) -> None:
    alice, _, _ = initiators(slow)
    command = sent(slow, ERASE)
    abort_command(command)
    assert command.host_byte == HostByte.DID_ABORT
    assert alice.code(TUR) == SANITIZING
    clock.advance(SECONDS)
    assert alice.code(TUR) == "ok"
    assert slow.host.unexpected_done == slow.host.late_done == 0


def test_a_unit_that_is_pulled_out_meanwhile(
    slow: LogicalUnit, virtual: VirtualDriver, clock: FakeClock
) -> None:
    command = sent(slow, ERASE)
    virtual.disconnect(slow.host, 0, 0, 0)
    assert (command.phase, command.host_byte) == (Phase.FINISHED, HostByte.DID_NO_CONNECT)
    clock.advance(SECONDS)
    assert slow.host.unexpected_done == 0


def test_a_stopped_disk_is_not_formatted(slow: LogicalUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(slow)
    assert alice.code("1b0000000000") == "ok"
    assert alice.code(FORMAT) == "2/04/02"
