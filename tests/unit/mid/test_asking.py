"""Commands that follow from each other's answers, with and without a thread that waits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from midlayer.mid.asking import Asking, Question, Steps, ask
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver

TUR = bytes(6)
Run = Callable[[Steps[int]], int]


@pytest.fixture
def device(driver: ScriptedDriver) -> LogicalUnit:
    driver.unit(0, 0, 0)
    return driver.start(Subsystem(clock=FakeClock())).devices()[0]


def asking(steps: Steps[int]) -> int:
    return Asking(steps).begin().wait()


def bad_answers(device: LogicalUnit, times: int) -> Steps[int]:
    bad = 0
    for _ in range(times):
        result = yield Question(device, TUR, bytearray(), 1.0)
        bad += not result.ok
    return bad


@pytest.mark.parametrize("run", [ask, asking])
def test_each_answer_goes_to_the_steps(driver: ScriptedDriver, device: LogicalUnit, run: Run) -> None:
    driver.units[0, 0, 0].on(0, Answer(), Answer.check(5), Answer())
    assert run(bad_answers(device, 4)) == 1


@pytest.mark.parametrize("run", [ask, asking])
def test_many_answers_that_are_there_at_once_fill_no_stack(device: LogicalUnit, run: Run) -> None:
    assert run(bad_answers(device, 2 * sys.getrecursionlimit())) == 0


@pytest.mark.parametrize("run", [ask, asking])
def test_what_the_steps_raise_comes_out(device: LogicalUnit, run: Run) -> None:
    def steps() -> Steps[int]:
        yield Question(device, TUR, bytearray(), 1.0)
        raise KeyError("why not")

    with pytest.raises(KeyError, match="why not"):
        run(steps())


def test_answers_that_come_later_send_the_next_command(driver: ScriptedDriver, device: LogicalUnit) -> None:
    driver.units[0, 0, 0].on(0, Answer(later=True))
    begun = Asking(bad_answers(device, 3)).begin()
    for left in (True, True, False):
        assert begun.over.is_set() is False
        (pending,) = driver.pending
        other = threading.Thread(target=pending.complete, args=(Answer.check(5),))
        other.start()
        other.join()
        assert bool(driver.pending) is left
    assert begun.wait() == 3
