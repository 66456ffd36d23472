"""Waiting for events: with a time-out, through a listener, by following; and the end of it all."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from midlayer.errors import UsageError

from .running import Run

SOON_S = 60.0


class Beside(threading.Thread):
    """Runs a call beside the test and keeps what it returned."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(name="beside")
        self.call = call
        self.result: object = None
        self.begun = threading.Event()
        self.start()
        assert self.begun.wait(SOON_S)

    def run(self) -> None:
        self.begun.set()
        self.result = self.call()

    def end(self) -> object:
        self.join(SOON_S)
        assert not self.is_alive()
        return self.result


def test_wait_returns_at_once_when_there_is_news(run: Run) -> None:
    run.host()
    assert run.scsimon.wait(0) == 1


def test_wait_is_over_when_the_time_is(run: Run) -> None:
    run.host()
    assert run.scsimon.wait(1, 0.0) == 1


def test_an_event_ends_the_wait_of_everybody(run: Run) -> None:
    waiting = [Beside(lambda: run.scsimon.wait(0, SOON_S)) for _ in range(8)]
    run.host()
    assert [one.end() for one in waiting] == [1] * 8


def test_close_ends_a_wait_without_news(run: Run) -> None:
    waiting = Beside(lambda: run.scsimon.wait(0))
    run.stop()
    assert waiting.end() == 0


def test_follow_yields_each_event_once_and_ends_with_the_log(run: Run) -> None:
    host = run.host()
    seen: list[int] = []
    enough = threading.Event()

    def follow() -> None:
        for event in run.scsimon.follow(0):
            seen.append(event.event_count)
            if len(seen) == 7:
                enough.set()

    following = Beside(follow)
    for lun in range(3):
        run.unplug(run.plug(host, lun))
    assert enough.wait(SOON_S)
    run.stop()
    following.end()
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_follow_ends_when_nothing_comes(run: Run) -> None:
    run.host()
    assert [event.event_count for event in run.scsimon.follow(0, 0.0)] == [1]


def test_a_listener_hears_of_events_that_are_in_the_lists_already(run: Run) -> None:
    heard: list[int] = []
    end = run.scsimon.add_listener(lambda: heard.append(run.scsimon.snapshot().event_count))
    host = run.host()
    with run.subsystem.batch(host):
        run.plug(host, 0)
        run.plug(host, 1)
        assert heard == [1], "a scan is written, and told, as one"
    end()
    run.plug(host, 2)
    assert heard == [1, 3]


def test_a_listener_that_raises_stops_nobody(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fail() -> None:
        raise RuntimeError("broken")

    run.scsimon.add_listener(fail)
    run.scsimon.add_listener(lambda: heard.append("yes"))
    run.host()
    assert heard == ["yes"]
    assert "a listener raised" in caplog.text


def test_a_long_scan_is_written_in_pieces(run: Run) -> None:
    host = run.host()
    with run.subsystem.batch(host):
        for lun in range(300):
            run.plug(host, lun)
        assert run.scsimon.event_count == 1 + 256
        assert len(run.scsimon.snapshot().attached) == 256
    assert run.scsimon.event_count == 301


def test_a_count_from_another_log_is_refused(run: Run) -> None:
    run.host()
    with pytest.raises(UsageError, match="event count 2 is beyond the last one, 1"):
        run.scsimon.events(2)
    assert run.scsimon.events(1).events == []


def test_limit(run: Run) -> None:
    host = run.host()
    for lun in range(5):
        run.plug(host, lun)
    page = run.scsimon.events(1, 2)
    assert ([event.event_count for event in page.events], page.event_count) == ([2, 3], 6)
    assert run.scsimon.events(1, 0).events == []


def test_nothing_is_recorded_after_the_end(run: Run) -> None:
    host = run.host()
    run.stop()
    run.plug(host)
    assert run.scsimon.snapshot().attached == ()
    assert run.scsimon.waiting_events == 0
