"""`Monitor`, `MonitorObserver` and the async iterator on a daemon's events."""

from __future__ import annotations

import asyncio
import logging
import select
import threading
from pathlib import Path

import pytest

import midlayer
from midlayer import Gap, Monitor, MonitorEvent, MonitorObserver
from midlayer.errors import DaemonError

from .serving import SOON_S, Serving


def plug(serving: Serving, lun: int) -> None:
    serving.daemon.plug(f"virtual:disk?size=1M&lun={lun}", None)


def readable(monitor: Monitor) -> bool:
    return bool(select.select([monitor], [], [], 0)[0])


def counts(items: list[MonitorEvent | Gap]) -> list[int]:
    return [item.event_count for item in items if isinstance(item, MonitorEvent)]


def test_events_in_order_from_a_count_on(serving: Serving) -> None:
    with Monitor(serving.path, since=1) as monitor:
        first, second = monitor.poll(SOON_S), monitor.poll(SOON_S)
        assert isinstance(first, MonitorEvent)
        assert isinstance(second, MonitorEvent)
        assert (first.event_count, first.kind, first.address, first.host) == (2, "attach", "0:0:0:0", 0)
        assert first.data["device"]["model"] == "First"
        assert (second.event_count, monitor.since) == (3, 3)
        assert monitor.poll(0) is None
        assert monitor.poll(0.01) is None
    with Monitor(serving.path, since=monitor.since) as again:
        plug(serving, 5)
        item = again.poll(SOON_S)
    assert isinstance(item, MonitorEvent)
    assert (item.event_count, item.address) == (4, "0:0:0:5")


def test_from_now_on(serving: Serving) -> None:
    with Monitor(serving.path) as monitor:
        assert monitor.since == 3
        plug(serving, 5)
        item = monitor.poll(SOON_S)
        assert counts([item] if item else []) == [4]


def test_its_descriptor_is_readable_as_long_as_there_is_an_event(serving: Serving) -> None:
    with Monitor(serving.path) as monitor:
        assert not readable(monitor)
        for lun in (5, 6, 7):
            plug(serving, lun)
        seen = []
        while len(seen) < 3:
            assert select.select([monitor], [], [], SOON_S)[0], "no event stays behind unseen"
            item = monitor.poll(0)
            seen += [item] if item is not None else []
        assert counts(seen) == [4, 5, 6]
        assert monitor.poll(0) is None
        assert not readable(monitor)


@pytest.mark.parametrize("keep_events", [2])
def test_a_gap_is_said(tmp_path: Path, keep_events: int) -> None:
    serving = Serving(tmp_path, keep_events=keep_events)
    try:
        host = serving.daemon.own_hosts()[0]
        serving.daemon.scsimon.scan_begins(host)
        device = serving.daemon.find("sg0")
        for _ in range(1200):
            serving.daemon.scsimon.changed(device, {"x": "1"})
        serving.daemon.scsimon.scan_ends(host)
        oldest = serving.daemon.scsimon.oldest_count
        assert oldest > 1
        with Monitor(serving.path, since=0) as monitor:
            assert monitor.poll(SOON_S) == Gap(1, oldest - 1)
            assert monitor.since == oldest - 1
            item = monitor.poll(SOON_S)
            assert counts([item] if item else []) == [oldest]
    finally:
        serving.stop()


def test_the_end_of_the_daemon(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    monitor, iterated = Monitor(serving.path, since=2), Monitor(serving.path, since=0)
    serving.stop()
    assert counts(list(iterated))[:3] == [1, 2, 3], "what came before is given"
    assert counts([item] if (item := monitor.poll(SOON_S)) else []) == [3]
    with pytest.raises(DaemonError, match="the daemon ended"):
        monitor.poll(SOON_S)
    assert readable(monitor), "who waits on it learns of the end"
    for each in (monitor, iterated):
        each.close()
        each.close()


def test_what_can_not_be_followed(serving: Serving, tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="no daemon answers here"):
        Monitor(tmp_path / "none")
    with pytest.raises(DaemonError, match="beyond the last one"):
        Monitor(serving.path, since=99)


def test_an_observer_survives_what_its_callback_raises(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[MonitorEvent | Gap] = []
    enough = threading.Event()

    def callback(item: MonitorEvent | Gap) -> None:
        seen.append(item)
        if len(seen) == 3:
            enough.set()
        raise RuntimeError(f"number {len(seen)}")

    observer = MonitorObserver(Monitor(serving.path, since=1), callback)
    observer.start()
    plug(serving, 5)
    assert enough.wait(SOON_S)
    observer.stop()
    observer.stop()
    assert observer.ended.is_set()
    assert counts(seen) == [2, 3, 4]
    assert caplog.text.count("RuntimeError: number") == 3
    assert "the callback raised at event 2; it goes on" in caplog.text


def test_an_observer_that_stops_itself_or_never_began(serving: Serving) -> None:
    observer = MonitorObserver(Monitor(serving.path, since=0), lambda item: observer.stop())
    observer.start()
    assert observer.ended.wait(SOON_S)
    observer.stop()
    never = MonitorObserver(Monitor(serving.path), print)
    never.stop()
    assert never.ended.is_set()


def test_an_observer_ends_with_the_daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midlayer.monitor")
    serving = Serving(tmp_path)
    observer = MonitorObserver(Monitor(serving.path), lambda item: None)
    observer.start()
    serving.stop()
    assert observer.ended.wait(SOON_S)
    observer.stop()
    assert "the daemon ended" in caplog.text


def test_with_asyncio(serving: Serving) -> None:
    async def follow() -> list[MonitorEvent | Gap]:
        found: list[MonitorEvent | Gap] = []
        async with midlayer.aio.monitor(serving.path, since=2) as events:
            async for event in events:
                found.append(event)
                if len(found) == 1:
                    await asyncio.to_thread(plug, serving, 5)
                else:
                    assert events.since == 4
                    return found
        return found

    assert counts(asyncio.run(follow())) == [3, 4]


def test_asyncio_ends_with_the_daemon(tmp_path: Path) -> None:
    serving = Serving(tmp_path)

    async def follow() -> int:
        async with midlayer.aio.monitor(serving.path) as events:
            await asyncio.to_thread(serving.stop)
            return len([event async for event in events])

    assert asyncio.run(follow()) >= 0
