"""Workers: who does what may block."""

from __future__ import annotations

import threading

import pytest

from midlayer.mid.clock import SystemClock
from midlayer.testing import FakeClock


def test_a_worker_of_the_fake_clock_works_at_once_and_in_order() -> None:
    worker = FakeClock().worker("w")
    order: list[str] = []

    def outer() -> None:
        worker.post(lambda: order.append("posted inside"))
        order.append("outer")

    worker.post(outer)
    assert order == ["outer", "posted inside"]


def test_what_a_call_raises_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeClock().worker("w")
    order: list[int] = []
    worker.post(lambda: order.index(0))
    worker.post(lambda: order.append(1))
    assert order == [1]
    assert "a worker's call raised" in caplog.text


def test_ctrl_c_comes_out_and_the_worker_goes_on() -> None:
    worker = FakeClock().worker("w")
    order: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.post(interrupt)
    worker.post(lambda: order.append(1))
    assert order == [1]


def test_a_worker_of_the_machine_has_one_thread_while_there_is_work() -> None:
    clock = SystemClock()
    worker = clock.worker("midlayer-w")
    threads: list[threading.Thread] = []
    begin, ended = threading.Event(), threading.Event()
    worker.post(lambda: begin.wait(60) and threads.append(threading.current_thread()))
    worker.post(lambda: threads.append(threading.current_thread()))
    worker.post(ended.set)
    assert threads == []
    begin.set()
    assert ended.wait(60)
    assert threads[0] is threads[1] is not threading.current_thread()
    clock.close()
    assert not threads[0].is_alive()


def test_no_call_is_lost_when_many_post() -> None:
    clock = SystemClock()
    worker = clock.worker("midlayer-w")
    done = threading.Semaphore(0)
    posters = [
        threading.Thread(target=lambda: [worker.post(done.release) for _ in range(200)]) for _ in range(4)
    ]
    for poster in posters:
        poster.start()
    for _ in range(800):
        assert done.acquire(timeout=60)
    for poster in posters:
        poster.join()
    clock.close()
