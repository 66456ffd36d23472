"""Steps of recovery as events: they come from timers, so that the disk gets them gathered."""

from __future__ import annotations

from midlayer.mid.recovery_step import Action, RecoveryStep
from midlayer.upper.scsimon import Kind
from midlayer.upper.scsimon.driver import GATHER_S

from .running import Start


def step(host_no: int, subject: str, action: Action = Action.ABORT) -> RecoveryStep:
    return RecoveryStep(0.0, host_no, action, subject, "failed")


def test_steps_are_gathered_and_in_order(start: Start) -> None:
    run = start()
    host = run.host()
    before = run.scsimon.event_count
    run.scsimon.recovery(host, step(0, "0:0:0:1"))
    run.clock.advance(GATHER_S / 2)
    run.scsimon.recovery(host, step(0, "0:0:0", Action.TARGET_RESET))
    assert run.scsimon.event_count == before
    run.clock.advance(GATHER_S / 2)
    first, second = run.scsimon.events(before).events
    assert (first.kind, first.address, second.address) == (Kind.RECOVERY, "0:0:0:1", "")
    assert second.data == {"action": "target reset", "subject": "0:0:0", "outcome": "failed"}
    assert second.wall_s > first.wall_s, "each has its own time"


def test_another_event_takes_them_along(start: Start) -> None:
    run = start()
    host = run.host()
    before = run.scsimon.event_count
    run.scsimon.recovery(host, step(0, "0"))
    other = run.host(1)
    assert [event.kind for event in run.scsimon.events(before).events] == [Kind.RECOVERY, Kind.HOST_ADDED]
    run.scsimon.recovery(other, step(1, "1"))
    run.stop()
    assert start().scsimon.events(before).events[2].host_no == 1, "the end writes what waits"
