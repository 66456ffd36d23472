"""A device that outlives the daemon, with the same capacity or another one when the next daemon comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midlayer.errors import EventLogBehind
from midlayer.mid.command import Command
from midlayer.testing import FakeClock
from midlayer.testing.scripted import inquiry_data
from midlayer.upper.policy import IdentityKeeper, Inline
from midlayer.upper.policy.capacities import Capacities
from midlayer.upper.scsimon import Kind

from ..running import ReportingDriver, Run

INQUIRY, READ_CAPACITY_10 = 0x12, 0x25


class Disk(ReportingDriver):
    """Answers INQUIRY, without pages, and READ CAPACITY(10)."""

    blocks = 2048

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        if command.cdb[0] == READ_CAPACITY_10:
            assert command.data_in is not None
            command.data_in[:8] = (self.blocks - 1).to_bytes(4, "big") + (512).to_bytes(4, "big")
            command.residual = 0
        elif command.cdb[0] == INQUIRY and not command.cdb[1] & 1:
            assert command.data_in is not None
            data = inquiry_data()[: len(command.data_in)]
            command.data_in[: len(data)] = data
            command.residual = len(command.data_in) - len(data)
        command.status = 2 if command.cdb[0] == INQUIRY and command.cdb[1] & 1 else 0
        done(command)
        return 0


Begin = Callable[[int], tuple[Run, IdentityKeeper, Capacities]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a daemon on one state directory that finds one disk, of so many blocks."""
    runs: list[Run] = []

    def start(blocks: int, session: str = "S") -> tuple[Run, IdentityKeeper, Capacities]:
        for earlier in runs:
            earlier.stop()
        run = Run(tmp_path, FakeClock())
        runs[:] = [run]
        run.driver = Disk()
        run.driver.blocks = blocks
        capacities = Capacities(run.log)
        keeper = IdentityKeeper(run.scsimon, Inline(), capacities)
        run.subsystem.register_upper(keeper)
        run.plug(run.host(session="H"), session=session)
        run.scsimon.settle()
        keeper.settle()
        return run, keeper, capacities

    yield start
    for run in runs:
        run.stop()


def test_the_same_capacity_is_no_event(begin: Begin) -> None:
    run, _, capacities = begin(2048)
    assert capacities.get(2) == "2048x512"
    count = run.scsimon.event_count
    run, _, _ = begin(2048)
    assert run.scsimon.event_count == count


def test_another_capacity_while_no_daemon_ran(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    count = begin(2048)[0].scsimon.event_count
    run, _, capacities = begin(4096)
    (event,) = run.events(count)
    assert (event.kind, event.by_resync) == (Kind.CHANGE, True)
    assert event.data["changes"] == {"capacity": "4096x512"}
    assert run.attached() == {"0:0:0:0": 2}, "the same stay"
    assert capacities.get(2) == "4096x512"
    assert "0:0:0:0: changed: capacity 2048x512 is now 4096x512" in caplog.text
    count = run.scsimon.event_count
    assert begin(4096)[0].scsimon.event_count == count, "it is said once"


def test_what_verify_finds_is_on_record(begin: Begin) -> None:
    run, keeper, capacities = begin(2048)
    run.driver.blocks = 1024  # type: ignore[attr-defined]
    found = keeper.verify(run.subsystem.devices()[0])
    assert found.differences == {"capacity": ("2048x512", "1024x512")}
    count = run.scsimon.event_count
    assert capacities.get(2) == "1024x512"
    assert begin(1024)[0].scsimon.event_count == count


def test_stays_that_are_over_are_forgotten(begin: Begin) -> None:
    begin(2048)
    run, _, capacities = begin(2048, "another session")  # type: ignore[call-arg]
    assert run.attached() == {"0:0:0:0": 4}
    assert (capacities.get(2), capacities.get(4)) == (None, "2048x512")


def test_a_full_disk_is_said_and_costs_no_device(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise EventLogBehind("no space left")

    monkeypatch.setattr(Capacities, "put", refuse)
    run, _, _ = begin(2048)
    assert run.attached() == {"0:0:0:0": 2}
    assert "its capacity is not on record: no space left" in caplog.text
