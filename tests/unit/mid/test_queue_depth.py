"""Queue depth: set, lowered by TASK SET FULL, grown back. Each test is named by its rule."""

from __future__ import annotations

import pytest
from recovery_rig import READ, TUR, Rig

from midlayer.errors import DriverError, InvalidRequest
from midlayer.mid import queue_depth
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.testing import Answer

FULL = Answer(status=0x28)


@pytest.fixture
def tracked() -> Rig:
    rig = Rig(luns=2)
    rig.driver.unit(0, 1, 0)
    rig.driver.track_queue_depth = True
    return rig


def fill(rig: Rig, device: LogicalUnit, times: int) -> None:
    """Let a device answer TASK SET FULL, each time in another stretch of time."""
    unit = rig.driver.units[device.address[1:]]
    for _ in range(times):
        unit.on(TUR[0], FULL, Answer())
        rig.send(device, TUR)
        rig.clock.advance(queue_depth.BUCKET_S)


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (8, 8), (9, 8), (5000, 8), (0, 4), (-1, 4)])
def test_qd_01_change_queue_depth(rig: Rig, asked: int, given: int) -> None:
    (device,) = rig.start()
    assert queue_depth.change_queue_depth(device, asked) == given
    assert device.queue_depth == given


def test_qd_01_at_most_4096(rig: Rig) -> None:
    rig.driver.can_queue = 10_000
    (device,) = rig.start()
    assert queue_depth.change_queue_depth(device, 9_999) == 4096


def test_qd_02_ten_in_a_row_change_nothing_the_eleventh_does(rig: Rig) -> None:
    (device,) = rig.start()
    for _ in range(10):
        assert queue_depth.track_queue_full(device, 2) == 0
        rig.clock.advance(queue_depth.BUCKET_S)
    assert queue_depth.track_queue_full(device, 2) == 2
    assert device.queue_depth == 2


def test_qd_02_one_of_a_stretch_of_time_counts(rig: Rig) -> None:
    (device,) = rig.start()
    for _ in range(100):
        assert queue_depth.track_queue_full(device, 2) == 0
    assert device.queue_depth_history.full_count == 1


def test_qd_02_another_depth_begins_anew(rig: Rig) -> None:
    (device,) = rig.start()
    for depth in (*[2] * 10, 3, *[2] * 10):
        assert queue_depth.track_queue_full(device, depth) == 0
        rig.clock.advance(queue_depth.BUCKET_S)
    assert device.queue_depth == 4


def test_qd_03_task_set_full_lowers_every_device_of_the_target(tracked: Rig) -> None:
    one, other, elsewhere = tracked.start()
    fill(tracked, one, 10)
    assert [one.queue_depth, other.queue_depth] == [4, 4]
    fill(tracked, one, 1)
    assert [one.queue_depth, other.queue_depth, elsewhere.queue_depth] == [3, 3, 4]
    assert len(tracked.ended) == 11
    assert {command.status for command in tracked.ended} == {0}


def test_qd_03_only_if_the_driver_wants_it(tracked: Rig) -> None:
    tracked.driver.track_queue_depth = False
    one, _, _ = tracked.start()
    fill(tracked, one, 30)
    assert one.queue_depth == 4


def test_qd_04_the_depth_grows_back(tracked: Rig) -> None:
    one, other, _ = tracked.start()
    fill(tracked, one, 22)
    assert [one.queue_depth, other.queue_depth] == [2, 2]
    last_s = tracked.clock.monotonic()
    tracked.clock.advance(queue_depth.RAMP_UP_S - 1)
    tracked.send(one, TUR)
    assert one.queue_depth == 2
    tracked.clock.advance(1)
    tracked.send(one, TUR)
    tracked.send(one, TUR)
    assert [one.queue_depth, other.queue_depth] == [3, 3]
    assert tracked.clock.monotonic() - last_s == queue_depth.RAMP_UP_S
    tracked.clock.advance(queue_depth.RAMP_UP_S)
    tracked.send(one, TUR)
    assert [one.queue_depth, other.queue_depth] == [4, 4]
    assert tracked.host.watched == 0 or other.queue_depth_history.watched
    tracked.clock.advance(queue_depth.RAMP_UP_S)
    tracked.send(one, TUR)
    assert [one.queue_depth, other.queue_depth] == [4, 4]
    assert tracked.idle()


def test_qd_04_not_after_another_task_set_full(tracked: Rig) -> None:
    one, _, _ = tracked.start()
    fill(tracked, one, 11)
    tracked.clock.advance(100)
    fill(tracked, one, 1)
    tracked.clock.advance(100)
    tracked.send(one, TUR)
    assert one.queue_depth == 3


def test_qd_04_a_device_that_goes_is_watched_no_more(tracked: Rig) -> None:
    one, other, _ = tracked.start()
    fill(tracked, one, 11)
    assert tracked.host.watched == 2
    tracked.subsystem.remove_device(one)
    tracked.subsystem.remove_device(other)
    assert tracked.idle()


def test_qd_05_without_the_callback_the_depth_is_read_only(rig: Rig) -> None:
    (device,) = rig.start()
    with pytest.raises(InvalidRequest, match="does not let the queue depth be changed"):
        queue_depth.ask_for_queue_depth(device, 2)


@pytest.mark.parametrize("depth", [0, -1, 9])
def test_qd_05_one_to_can_queue(rig: Rig, depth: int) -> None:
    rig.driver.change_queue_depth = queue_depth.change_queue_depth  # type: ignore[method-assign]
    (device,) = rig.start()
    with pytest.raises(InvalidRequest, match="a queue depth is 1 to 8 here"):
        queue_depth.ask_for_queue_depth(device, depth)


def test_qd_05_success_sets_the_most_as_well(rig: Rig) -> None:
    rig.driver.change_queue_depth = queue_depth.change_queue_depth  # type: ignore[method-assign]
    (device,) = rig.start()
    assert queue_depth.ask_for_queue_depth(device, 7) == 7
    assert device.max_queue_depth == 7


def test_qd_05_a_driver_that_refuses_or_raises(rig: Rig) -> None:
    (device,) = rig.start()
    rig.driver.change_queue_depth = lambda device, depth: -22  # type: ignore[method-assign]
    with pytest.raises(InvalidRequest, match="refused queue depth 2 with -22"):
        queue_depth.ask_for_queue_depth(device, 2)
    rig.driver.change_queue_depth = lambda device, depth: 1 // 0  # type: ignore[method-assign]
    with pytest.raises(DriverError, match="scripted host raised in change_queue_depth"):
        queue_depth.ask_for_queue_depth(device, 2)
    rig.driver.change_queue_depth = lambda device, depth: None  # type: ignore[assignment, method-assign]
    with pytest.raises(DriverError):
        queue_depth.ask_for_queue_depth(device, 2)
    assert (device.queue_depth, device.max_queue_depth) == (4, 4)


def test_tagged_queueing(rig: Rig) -> None:
    (device,) = rig.start()
    assert not device.tagged
    assert queue_depth.activate_tcq(device, 6) == 6
    assert device.tagged
    assert queue_depth.deactivate_tcq(device, 1) == 1
    assert not device.tagged
    rig.send(device, READ)
    rig.send(device, READ)
    assert device.busy == 1
