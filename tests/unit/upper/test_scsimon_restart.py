"""Over restarts: counts go on, devices that never went keep theirs, what went meanwhile is recorded."""

from __future__ import annotations

from midlayer.upper.scsimon import Kind, Lists

from .running import Run, Start

BOOT = "boot-1"


def test_counts_go_on_over_restarts(start: Start) -> None:
    seen: list[int] = []
    for _ in range(4):
        run = start()
        host = run.host()
        run.scsimon.settle()
        run.unplug(run.plug(host))
        run.subsystem.remove_host(host)
        seen = [event.event_count for event in run.events()]
        run.stop()
    assert seen == list(range(1, 17))


def test_counts_go_on_when_no_event_is_kept(start: Start) -> None:
    for expected in (1, 2, 3):
        run = start(keep_events=0)
        run.subsystem.remove_host(run.host()) if expected == 2 else run.scsimon.settle()
        run.host(expected)
        last = run.scsimon.event_count
        run.stop()
        again = start(keep_events=0)
        assert again.scsimon.event_count == last
        assert again.events(last) == []
        assert again.scsimon.events(0).gap == (1, last)
        again.stop()


def test_a_device_of_the_same_session_keeps_its_attach_count(start: Start) -> None:
    first = start()
    first.plug(first.host(session=BOOT), 1, session="s1", names={"sg": "sg0"})
    first.stop()
    second = start()
    host = second.host(session=BOOT)
    second.plug(host, 1, session="s1", names={"sg": "sg0"})
    second.scsimon.settle()
    assert second.attached() == {"0:0:0:1": 2}
    assert second.scsimon.event_count == 2, "nothing happened, and nothing is recorded"
    second.unplug(second.subsystem.devices()[0])
    assert second.events()[-1].data["attach_count"] == 2


def test_what_changed_about_a_device_meanwhile_is_recorded(start: Start) -> None:
    first = start()
    first.plug(first.host(session=BOOT), session="s1", names={"sg": "sg0", "sd": "sda"})
    first.stop()
    second = start()
    second.plug(second.host(session=BOOT), session="s1", names={"sg": "sg3"})
    (event,) = second.events(2)
    assert (event.kind, event.by_resync) == (Kind.CHANGE, True)
    assert event.data["changes"] == {"sg": "sg3", "sd": ""}
    assert second.scsimon.snapshot().attached[0].facts["names"] == {"sg": "sg3"}


def test_another_session_at_the_same_address_is_a_detach_and_an_attach(start: Start) -> None:
    first = start()
    first.plug(first.host(session=BOOT), session="s1")
    first.stop()
    second = start()
    second.plug(second.host(session=BOOT), session="s2")
    second.scsimon.settle()
    assert second.short(2) == [(3, Kind.DETACH, "0:0:0:0"), (4, Kind.ATTACH, "0:0:0:0")]
    detach, attach = second.events(2)
    assert (detach.by_resync, attach.by_resync) == (True, False)
    assert detach.data["attach_count"] == 2
    assert second.attached() == {"0:0:0:0": 4}


def test_another_session_of_a_host(start: Start) -> None:
    first = start()
    first.host(session=BOOT)
    first.stop()
    second = start()
    second.host(session="boot-2")
    second.scsimon.settle()
    assert second.short(1) == [(2, Kind.HOST_REMOVED, ""), (3, Kind.HOST_ADDED, "")]


def test_without_a_session_no_device_outlives_a_restart(start: Start) -> None:
    first = start()
    first.plug(first.host())
    first.stop()
    second = start()
    second.plug(second.host())
    kinds = [Kind.DETACH, Kind.HOST_REMOVED, Kind.HOST_ADDED, Kind.ATTACH]
    assert [event.kind for event in second.events(2)] == kinds


def test_what_nobody_confirms_is_gone_at_settle(start: Start) -> None:
    first = start()
    host = first.host(session=BOOT)
    for lun in range(3):
        first.plug(host, lun, session=f"s{lun}", names={"sg": f"sg{lun}"})
    first.stop()
    second = start()
    second.plug(second.host(session=BOOT), 1, session="s1", names={"sg": "sg1"})
    assert second.attached() == {"0:0:0:0": 2, "0:0:0:1": 3, "0:0:0:2": 4}, "not yet known to be gone"
    second.scsimon.settle()
    assert second.attached() == {"0:0:0:1": 3}
    gone = second.events(4)
    assert [(event.address, event.by_resync) for event in gone] == [("0:0:0:0", True), ("0:0:0:2", True)]
    assert gone[0].data["names"] == {"sg": "sg0"}


def test_settle_takes_hosts_that_are_gone(start: Start) -> None:
    first = start()
    first.plug(first.host(session=BOOT))
    first.stop()
    second = start()
    second.scsimon.settle()
    assert second.short(2) == [(3, Kind.DETACH, "0:0:0:0"), (4, Kind.HOST_REMOVED, "")]
    assert second.scsimon.snapshot().hosts == ()
    second.scsimon.settle()
    assert second.scsimon.event_count == 4, "a second time there is nothing to settle"


def fill(run: Run, devices: int) -> None:
    """Make two events a device."""
    host = run.host(session=BOOT)
    run.plug(host, 50_000, session="stays")
    for lun in range(devices):
        run.unplug(run.plug(host, lun))


def test_old_events_are_dropped_and_the_answer_says_so(start: Start) -> None:
    run = start(keep_events=100, keep_detached=10)
    fill(run, 1000)
    last = run.scsimon.event_count
    assert last == 2002
    assert 100 <= len(run.events()) < 1200, "pruned, but never below what is to be kept"
    page = run.scsimon.events(5)
    oldest = run.scsimon.oldest_count
    assert page.gap == (6, oldest - 1)
    assert page.events[0].event_count == oldest
    assert run.scsimon.events(oldest - 1).gap is None
    assert run.scsimon.events(None).gap is None, "who asks for all that is kept gets it"
    assert run.scsimon.events(last).events == []


def test_lists_come_back_from_a_checkpoint_and_the_events_after_it(start: Start) -> None:
    first = start(keep_events=100, keep_detached=10)
    fill(first, 600)
    before = first.scsimon.snapshot()
    assert first.scsimon.oldest_count > 1, "there was a checkpoint"
    first.log._db.close()  # as a crash does: no checkpoint at the end
    first.log._unlock()
    second = start(keep_events=100, keep_detached=10)
    assert second.scsimon.snapshot() == before
    kept = second.events()
    assert [event.event_count for event in kept] == list(range(kept[0].event_count, 1203))


def test_fewer_detached_devices_after_a_change_of_the_configuration(start: Start) -> None:
    first = start()
    fill(first, 6)
    first.stop()
    second = start(keep_detached=2)
    assert [record.address for record in second.scsimon.snapshot().detached] == ["0:0:0:4", "0:0:0:5"]
    assert Lists(keep_detached=2).replay(second.events()) == second.log.lists


def test_a_log_in_memory(start: Start) -> None:
    run = start(None)
    fill(run, 3)
    assert run.scsimon.path == "memory"
    assert len(run.events()) == 8
