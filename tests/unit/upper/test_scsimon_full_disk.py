"""A disk that takes no more: events wait in memory in order, nobody sees them, and none is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from midlayer.errors import EventLogError
from midlayer.mid.host import Host
from midlayer.testing import FakeClock
from midlayer.upper.scsimon import EventLog
from midlayer.upper.scsimon.driver import RETRY_S

from .running import Run, Start

PAD = "x" * 6000


class Disk:
    """A disk under a run's log that can be filled and freed."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def fill(self) -> None:
        self.run.log._db.execute("PRAGMA max_page_count = 1")  # as many as are used, in fact

    def free(self) -> None:
        self.run.log._db.execute("PRAGMA max_page_count = 100000")


class RealDisk(Disk):
    """The same with a file system that really is full."""

    def __init__(self, run: Run, directory: Path) -> None:
        super().__init__(run)
        self.ballast = directory / "ballast"

    def fill(self) -> None:
        fill(self.ballast)

    def free(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "midlayer-test", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def check(run: Run, disk: Disk, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Fill the disk, plug, free the disk, and see that nothing is missing."""
    host = run.host()
    last, addresses = plug_until_refused(run, host, disk)
    scsimon = run.scsimon
    assert "full" in scsimon.failure
    assert "wait in memory" in scsimon.failure
    assert caplog.text.count("wait in memory") == 1, "said once"
    clock.advance(RETRY_S * 2.5)
    assert scsimon.event_count == last, "still full: what is not durable is not shown"
    assert run.events()[-1].event_count == last
    assert scsimon.wait(last, 0.0) == last
    waiting = scsimon.waiting_events
    assert waiting == 20
    disk.free()
    told: list[int] = []
    scsimon.add_listener(lambda: told.append(scsimon.event_count))
    clock.advance(RETRY_S)
    assert told == [last + waiting], "readers are told"
    assert (scsimon.failure, scsimon.waiting_events) == ("", 0)
    assert "no event was lost" in caplog.text
    late = run.events(last)
    assert [event.event_count for event in late] == list(range(last + 1, last + waiting + 1))
    assert [event.address for event in late] == addresses
    times = [event.boot_s for event in late]
    assert times == [times[0] + step for step in range(waiting)], "the times are those of the events"
    assert clock.pending() == []


def plug_until_refused(run: Run, host: Host, disk: Disk) -> tuple[int, list[str]]:
    """Plug 20 units on a full disk; return the last count that was written, and their addresses."""
    disk.fill()
    lun = 0
    while not run.scsimon.failure:  # the last pages of the file take some more
        run.plug(host, lun, names={"pad": PAD})
        lun += 1
        assert lun < 200
    last = run.scsimon.event_count
    for more in range(lun, lun + 19):
        run.clock._now_s += 1.0  # no timer runs: the disk is asked by the events themselves
        run.plug(host, more, names={"pad": PAD})
    return last, [f"0:0:0:{at}" for at in range(lun - 1, lun + 19)]


def test_a_file_that_may_not_grow(run: Run, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    check(run, Disk(run), clock, caplog)


def test_a_file_system_that_is_full(
    small_file_system: Path, start: Start, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(small_file_system / "state")
    try:
        check(run, RealDisk(run, small_file_system), clock, caplog)
    finally:
        run.stop()


def test_one_timer_however_many_events_wait(run: Run, clock: FakeClock) -> None:
    host = run.host()
    disk = Disk(run)
    plug_until_refused(run, host, disk)
    assert len(clock.pending()) == 1
    disk.free()


def test_the_next_event_does_not_wait_for_the_timer(run: Run, clock: FakeClock) -> None:
    host = run.host()
    disk = Disk(run)
    last, addresses = plug_until_refused(run, host, disk)
    disk.free()
    run.subsystem.remove_host(host)
    assert run.scsimon.failure == ""
    attached = [event.address for event in run.events(last) if event.kind == "attach"]
    assert attached == addresses


def test_what_can_not_be_written_at_the_end_is_said(
    start: Start, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    run = start()
    host = run.host(session="boot-1")
    last, addresses = plug_until_refused(run, host, Disk(run))
    run.stop()
    assert f"events {last + 1} to {last + 20} could not be written, and are lost" in caplog.text
    assert clock.pending() == []
    again = start()
    assert again.scsimon.event_count == last, "counts that nobody saw are free"
    host = again.host(session="boot-1")
    again.plug(host, int(addresses[-1].split(":")[-1]), names={"pad": PAD}, by_resync=True)
    assert addresses[-1] in again.attached(), "the scan finds the device again"


@pytest.mark.parametrize("kept", [False, True], ids=["new log", "log of an earlier run"])
def test_a_start_on_a_full_disk_says_what_to_do(small_file_system: Path, kept: bool) -> None:
    state = small_file_system / "state"
    if kept:
        EventLog(state).close()
    fill(small_file_system / "ballast")
    with pytest.raises(EventLogError, match=r"(?s)events\.sqlite: .*make room .*--state"):
        EventLog(state)
    (small_file_system / "ballast").unlink()
    EventLog(state).close()


def fill(ballast: Path) -> None:
    """Write until the file system takes no more."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
