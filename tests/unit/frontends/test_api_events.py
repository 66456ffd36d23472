"""Following events over HTTP: nothing lost over a reconnection, gaps said, many followers, clean ends."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from time import monotonic

import pytest

from .serving import SOON_S, Following, Serving

NEVER_S = 3600


def plug(serving: Serving, times: int = 1) -> int:
    """Plug and unplug; return the event count after it."""
    for _ in range(times):
        device = serving.daemon.plug("virtual:disk?size=1M", None)
        serving.daemon.unplug(str(device.address))
    return serving.daemon.scsimon.event_count


def ids(events: list[tuple[str, str, object]]) -> list[int]:
    return [int(event[0]) for event in events]


def test_pages(serving: Serving) -> None:
    plug(serving, 3)
    page = serving.http.get("events", params={"since": 2, "limit": 4}).json()
    assert [item["event_count"] for item in page["items"]] == [3, 4, 5, 6]
    assert (page["event_count"], page["gap"]) == (9, None)
    assert len(serving.http.get("events").json()["items"]) == 9


def test_what_an_event_looks_like_on_the_wire(serving: Serving) -> None:
    with serving.follow(since=0) as follower:
        assert follower.response.headers["content-type"].startswith("text/event-stream")
        (host, attach) = follower.take(2)
    assert (host[0], host[1], host[2]["event_count"]) == ("1", "host-added", 1)
    assert (attach[0], attach[1], attach[2]["device"]["model"]) == ("2", "attach", "First")


def test_without_a_count_only_new_events_come(serving: Serving) -> None:
    with serving.follow() as follower:
        plug(serving)
        assert ids(follower.take(2)) == [4, 5]


def test_nothing_is_lost_over_a_reconnection(serving: Serving) -> None:
    with serving.follow(since=0) as follower:
        seen = ids(follower.take(3))
    plug(serving, 5)
    with serving.follow(last_event_id=str(seen[-1])) as follower:
        plug(serving, 2)
        seen += ids(follower.take(14))
    assert seen == list(range(1, 18))


def test_who_has_seen_no_event_yet_has_a_place_to_go_on_from(serving: Serving) -> None:
    with serving.follow() as follower:
        place = follower.first_id
    plug(serving)
    with serving.follow(last_event_id=place) as follower:
        assert ids(follower.take(2)) == [4, 5]


def test_last_event_id_goes_before_since(serving: Serving) -> None:
    with serving.follow(since=0, last_event_id="2") as follower:
        assert ids(follower.take(1)) == [3]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", b"\xb2", "4", "9" * 30, ""])
def test_a_last_event_id_that_is_none(shared: Serving, last: str | bytes) -> None:
    answer = shared.http.get("events/stream", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["exit_status"]) == (400, 1)


def test_a_gap_is_said_before_what_is_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    serving = Serving(tmp_path_factory.mktemp("gap"), keep_events=5)
    try:
        last = plug(serving, 10)
        serving.daemon.scsimon._log.checkpoint()
        assert serving.http.get("events?since=2").json()["gap"] == {
            "first_missing": 3,
            "last_missing": last - 5,
        }
        with serving.follow(since=2) as follower:
            gap, *events = follower.take(6)
        assert gap == ("", "gap", {"first_missing": 3, "last_missing": last - 5})
        assert ids(events) == list(range(last - 4, last + 1))
    finally:
        serving.stop()


def test_many_followers_see_the_same(serving: Serving) -> None:
    followers = 32
    seen: list[list[int]] = [[] for _ in range(followers)]

    def follow(at: int, follower: Following) -> None:
        seen[at] = ids(follower.take(60))

    with ExitStack() as stack:
        threads = []
        for at in range(followers):
            follower = stack.enter_context(serving.follow(since=at % 4))
            threads.append(threading.Thread(target=follow, args=(at, follower)))
            threads[-1].start()
        plug(serving, 30)
        for thread in threads:
            thread.join(SOON_S)
            assert not thread.is_alive()
    for at, counts in enumerate(seen):
        first = at % 4 + 1
        assert counts == list(range(first, first + 60))


def test_a_follower_that_goes_is_forgotten(serving: Serving) -> None:
    before = list(serving.daemon.scsimon._listeners)
    follower = serving.follow()
    assert len(serving.server.followers) == 1
    follower.close()
    serving.eventually(lambda: len(serving.server.followers) == 0)
    assert serving.daemon.scsimon._listeners == before


def test_the_end_of_the_daemon_ends_a_stream_in_order(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with serving.follow(since=0) as follower:
        follower.take(3)
        serving.server.config.timeout_graceful_shutdown = NEVER_S  # told, not cut off
        serving.end_serving()
        assert follower.rest() == []
    assert caplog.records == []


def test_a_follower_that_does_not_read_does_not_hold_up_the_end(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    serving.daemon.add_host({"name": "x" * 100_000})
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(serving.path))
        deaf.sendall(b"GET /v1/events/stream?since=0 HTTP/1.1\r\nHost: m\r\n\r\n")
        assert deaf.recv(10)
        plug(serving, 200)
        serving.server.config.timeout_graceful_shutdown = NEVER_S  # cut off before that
        serving.end_serving()
    assert caplog.records == []


def test_wait(serving: Serving) -> None:
    assert serving.http.get("wait", params={"since": 1}).json() == {"event_count": 3}
    assert serving.http.get("wait", params={"since": 3, "timeout_s": 0}).json() == {"event_count": 3}
    plugging = threading.Thread(target=plug, args=(serving,))
    plugging.start()
    assert serving.http.get("wait", params={"since": 3}).json()["event_count"] in (4, 5)
    plugging.join(SOON_S)


def test_wait_ends_with_the_daemon(serving: Serving) -> None:
    answers = []

    def wait() -> None:
        answers.append(serving.http.get("wait", params={"since": 3, "timeout_s": 3000}).json())

    waiting = threading.Thread(target=wait)
    waiting.start()
    end = monotonic() + SOON_S
    while not len(serving.server.followers):
        assert monotonic() < end
    serving.end_serving()
    waiting.join(SOON_S)
    assert answers == [{"event_count": 3}]
