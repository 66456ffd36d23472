from __future__ import annotations

import pytest

from midlayer.mid.clock import Clock, SystemClock
from midlayer.testing import FakeClock


def test_timers_run_in_order_and_see_their_own_time() -> None:
    clock: Clock = FakeClock(monotonic_s=10.0)
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, clock.monotonic()))
        if name == "b":
            clock.call_later(0.5, lambda: note("late"))

    for delay_s, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "never")):
        clock.call_later(delay_s, lambda name=name: note(name))  # type: ignore[misc]
    assert isinstance(clock, FakeClock)
    assert clock.advance(2.0) == 4
    assert seen == [("a", 11.0), ("b", 11.0), ("late", 11.5), ("c", 12.0)]
    assert clock.pending() == [7.0]


def test_all_three_clocks_move_together() -> None:
    clock = FakeClock(monotonic_s=1.0, wall_s=100.0, since_boot_s=50.0)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.wall(), clock.since_boot()) == (3.5, 102.5, 52.5)
    clock.set_wall(7.0)
    clock.advance(1.0)
    assert (clock.monotonic(), clock.wall(), clock.since_boot()) == (4.5, 8.0, 53.5)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_cancel_and_a_call_that_raises() -> None:
    clock = FakeClock()
    ran: list[int] = []
    timer = clock.call_later(1.0, lambda: ran.append(1))
    assert (timer.cancel(), timer.cancel()) == (True, False)
    clock.call_later(1.0, lambda: ran.index(0))
    last = clock.call_later(2.0, lambda: ran.append(2))
    with pytest.raises(ValueError, match="0 is not in list"):
        clock.advance(5.0)
    assert clock.advance(5.0) == 1
    assert (ran, last.cancel()) == ([2], False)


def test_the_clock_of_the_machine(caplog: pytest.LogCaptureFixture) -> None:
    from threading import Event

    clock = SystemClock()
    done, set_up, order = Event(), Event(), list[str]()
    clock.call_later(0.0, lambda: set_up.wait(60))  # nothing else runs meanwhile
    clock.call_later(0.0, lambda: order.index("raises"))
    for _ in range(3000):
        assert clock.call_later(3600.0, order.clear).cancel()
    begin_s, delay_s = clock.monotonic(), 0.002
    second = clock.call_later(delay_s, lambda: (order.append("second"), done.set()))
    first = clock.call_later(delay_s / 2, lambda: order.append("first"))
    while clock.monotonic() - begin_s >= delay_s / 2:  # there was a pause between the two: once more
        assert first.cancel()
        assert second.cancel()
        delay_s *= 2
        begin_s = clock.monotonic()
        second = clock.call_later(delay_s, lambda: (order.append("second"), done.set()))
        first = clock.call_later(delay_s / 2, lambda: order.append("first"))
    set_up.set()
    assert done.wait(60 + delay_s)
    clock.close()
    clock.close()
    assert order == ["first", "second"]
    assert "a timer's call raised" in caplog.text
    assert len(clock._timers) == 0
