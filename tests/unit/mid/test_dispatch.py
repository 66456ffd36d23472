"""Commands: queue limits, busy drivers, time-outs, and drivers that break their contract."""

from __future__ import annotations

import threading

import pytest

from midlayer.mid.command import Command, HostByte, Phase, Result
from midlayer.mid.dispatch import IDLE_RETRY_S, run, submit
from midlayer.mid.dispatch import execute as mid_execute
from midlayer.mid.host_template import DEVICE_BUSY, HOST_BUSY, TARGET_BUSY
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import Status
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg import execute

TUR, READ = bytes(6), bytes((0x28, *bytes(9)))
LATER = Answer(later=True)


class Submitter:
    """Submits commands and notes the order in which they end."""

    def __init__(self) -> None:
        self.ended: list[Command] = []

    def __call__(
        self, device: LogicalUnit, cdb: bytes = TUR, *, at_head: bool = False, **options: object
    ) -> Command:
        command = Command(device, cdb, on_finished=self.ended.append, **options)  # type: ignore[arg-type]
        command.at_head = at_head
        submit(command)
        return command


@pytest.fixture
def send() -> Submitter:
    return Submitter()


def devices(
    subsystem: Subsystem, driver: ScriptedDriver, *answers: Answer, luns: int = 1
) -> list[LogicalUnit]:
    """Start a host whose devices answer TEST UNIT READY with `answers`."""
    for lun in range(luns):
        driver.unit(0, 0, lun).on(TUR[0], *(answers or (LATER,)))
    driver.start(subsystem)
    driver.commands.clear()
    return subsystem.devices()


def test_can_queue(subsystem: Subsystem, driver: ScriptedDriver, send: Submitter) -> None:
    driver.can_queue, driver.cmd_per_lun = 3, 3
    one, other = devices(subsystem, driver, luns=2)
    for _ in range(3):
        send(one)
        send(other)
    assert (len(driver.pending), one.host.busy, one.host.waiting) == (3, 3, 3)
    while driver.pending:
        driver.pending[0].complete()
        assert one.host.busy == min(3, 6 - len(send.ended))
    assert (len(send.ended), one.host.busy, one.busy, other.busy, one.host.waiting) == (6, 0, 0, 0, 0)


def test_cmd_per_lun_and_queue_depth(subsystem: Subsystem, driver: ScriptedDriver, send: Submitter) -> None:
    driver.cmd_per_lun = 2
    one, other = devices(subsystem, driver, luns=2)
    for _ in range(5):
        send(one)
    send(other)
    assert (one.busy, other.busy) == (2, 1)
    assert subsystem.adjust_queue_depth(one, 4) == 4
    assert one.busy == 4  # a greater depth takes effect at once
    assert subsystem.adjust_queue_depth(one, 1) == 1
    driver.pending[0].complete()
    assert one.busy == 3


def test_queue_depth_is_at_most_can_queue(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.can_queue, driver.cmd_per_lun = 2, 100
    (device,) = devices(subsystem, driver)
    assert device.queue_depth == 2
    assert subsystem.adjust_queue_depth(device, 5000) == 2
    assert subsystem.adjust_queue_depth(device, 0) == 2
    assert subsystem.adjust_queue_depth(device, -1) == 2


def test_devices_take_turns_and_keep_their_order(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    driver.can_queue = 1
    one, other = devices(subsystem, driver, luns=2)
    sent = [send(device, timeout_s=float(n)) for n, device in enumerate((one, one, one, other, other), 1)]
    while driver.pending:
        driver.pending[0].complete()
    assert [sent.index(command) for command in send.ended] == [0, 1, 3, 2, 4]


def test_a_command_at_the_head_goes_before_those_that_wait(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    driver.can_queue = 1
    (device,) = devices(subsystem, driver)
    sent = [send(device, timeout_s=float(n), at_head=n > 2) for n in (1, 2, 3, 4)]
    while driver.pending:
        driver.pending[0].complete()
    assert [sent.index(command) for command in send.ended] == [0, 3, 2, 1]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(busy=DEVICE_BUSY),
        Answer(busy=TARGET_BUSY),
        Answer(busy=HOST_BUSY),
        Answer(busy=1),
        Answer(status=Status.BUSY),
        Answer(status=Status.TASK_SET_FULL),
        Answer(host_byte=HostByte.DID_REQUEUE),
        Answer(host_byte=HostByte.DID_IMM_RETRY),
    ],
)
def test_busy_commands_go_back_to_the_queue(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter, refusal: Answer
) -> None:
    (device,) = devices(subsystem, driver, refusal, refusal, Answer())
    command = send(device)
    assert (len(driver.commands), send.ended, device.busy) == (1, [], 0)
    clock.advance(IDLE_RETRY_S)
    assert len(driver.commands) == 2
    clock.advance(IDLE_RETRY_S)
    assert send.ended == [command]
    assert (command.status, command.host_byte, command.retries) == (0, 0, 0)
    assert clock.pending() == []


@pytest.mark.parametrize(
    ("busy", "let_alone"), [(DEVICE_BUSY, {0}), (TARGET_BUSY, {0, 1}), (HOST_BUSY, {0, 1, 2})]
)
def test_who_is_left_alone_when_a_driver_is_busy(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    clock: FakeClock,
    send: Submitter,
    busy: int,
    let_alone: set[int],
) -> None:
    driver.unit(0, 1, 0)
    first, *others = devices(subsystem, driver, Answer(busy=busy), Answer(), Answer(), luns=2)
    driver.unit(0, 0, 1).on(TUR[0], Answer())
    sent = [send(device) for device in (first, *others)]
    assert {n for n, command in enumerate(sent) if command.phase is Phase.QUEUED} == let_alone
    clock.advance(IDLE_RETRY_S)
    assert all(command.phase is Phase.FINISHED for command in sent)
    assert [device.detour for device in (first, *others)] == [0, 0, 0]
    assert (first.host.detour, clock.pending()) == (0, [])


def test_a_busy_target_goes_on_when_a_command_of_another_of_its_units_ends(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    one, other = devices(subsystem, driver, LATER, luns=2)
    driver.unit(0, 0, 1).on(TUR[0], Answer(busy=TARGET_BUSY), Answer())
    send(one)
    send(other)
    assert (other.target.blocked, clock.pending()) == (True, [60.0])
    driver.pending[0].complete()
    assert [command.device for command in send.ended] == [one, other]
    assert (one.target.blocked, clock.pending()) == (False, [])


def test_max_host_blocked_leaves_an_idle_host_alone_for_longer(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    driver.max_host_blocked = 7
    (device,) = devices(subsystem, driver, Answer(busy=HOST_BUSY), Answer())
    command = send(device)
    clock.advance(6.9 * IDLE_RETRY_S)
    assert send.ended == []
    clock.advance(0.2 * IDLE_RETRY_S)
    assert send.ended == [command]


@pytest.mark.parametrize("nonsense", ["busy", [1], -1, True, 2.5])
def test_nonsense_from_queuecommand_means_that_the_host_is_busy(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter, nonsense: int
) -> None:
    (device,) = devices(subsystem, driver, Answer(busy=nonsense), Answer())
    command = send(device)
    assert device.host.blocked
    clock.advance(IDLE_RETRY_S)
    assert send.ended == [command]


@pytest.mark.parametrize(
    ("refusal", "status", "host_byte"),
    [
        (Answer(busy=DEVICE_BUSY), 0, HostByte.DID_TIME_OUT),
        (Answer(busy=HOST_BUSY), 0, HostByte.DID_TIME_OUT),
        (Answer(status=Status.BUSY), Status.BUSY, 0),
        (Answer(status=Status.TASK_SET_FULL), Status.TASK_SET_FULL, 0),
        (Answer(host_byte=HostByte.DID_REQUEUE), 0, HostByte.DID_REQUEUE),
    ],
)
def test_busy_until_the_whole_life_is_over(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    clock: FakeClock,
    send: Submitter,
    refusal: Answer,
    status: int,
    host_byte: int,
) -> None:
    (device,) = devices(subsystem, driver, refusal)
    command = send(device, timeout_s=0.05, allowed=1, data_in=memoryview(bytearray(8)))
    clock.advance(0.09)
    assert send.ended == []
    clock.advance(0.02)
    assert send.ended == [command]
    assert (command.status, command.host_byte) == (status, host_byte)
    assert command.duration_s >= 0
    assert command.residual == 8
    assert clock.pending() == []


def test_a_busy_device_goes_on_when_one_of_its_commands_ends(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver, LATER, Answer(busy=DEVICE_BUSY), Answer())
    send(device)
    send(device)
    assert device.blocked
    driver.pending[0].complete()
    assert len(send.ended) == 2
    assert clock.pending() == []


def test_a_busy_device_goes_on_when_one_of_its_commands_times_out(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver, LATER, Answer(busy=HOST_BUSY), Answer())
    send(device, timeout_s=5.0)
    second = send(device)
    clock.advance(5.0)
    assert len(send.ended) == 2
    assert second.host_byte == 0


def test_retries_are_made_and_counted(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    answers = [Answer.check(0x0B), Answer.check(0x0B), Answer()]
    (device,) = devices(subsystem, driver)
    driver.units[0, 0, 0].on(READ[0], *answers)
    result = mid_execute(device, READ, allowed=2)
    assert result.ok
    assert len(driver.commands) == 3
    driver.units[0, 0, 0].on(READ[0], *answers)
    assert mid_execute(device, READ, allowed=1).status == Status.CHECK_CONDITION
    driver.units[0, 0, 0].on(READ[0], *[Answer.check(0x0B)] * 50, Answer())
    assert mid_execute(device, READ, allowed=-1).ok


def test_a_passthrough_command_is_never_sent_twice(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    (device,) = devices(subsystem, driver)
    for answer in (Answer.check(0x0B), Answer.check(3, 0x10), Answer(host_byte=HostByte.DID_ERROR)):
        driver.commands.clear()
        driver.units[0, 0, 0].on(READ[0], answer)
        assert not execute(device, READ).ok
        assert len(driver.commands) == 1


def test_a_cdb_that_is_too_long_never_reaches_the_driver(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    driver.max_cmd_len = 12
    (device,) = devices(subsystem, driver)
    result = execute(device, bytes(13), data_in=64)
    assert (result.host_byte, result.residual, driver.commands) == (HostByte.DID_ABORT, 64, [])
    subsystem.set_device_state(device, DeviceState.BLOCKED)
    assert send(device, bytes(13)).host_byte == HostByte.DID_ABORT


def test_time_out(subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter) -> None:
    (device,) = devices(subsystem, driver)
    command = send(device, timeout_s=30.0, data_in=memoryview(bytearray(512)))
    clock.advance(29.9)
    assert send.ended == []
    clock.advance(0.2)
    assert send.ended == [command]
    assert (command.host_byte, command.residual) == (HostByte.DID_TIME_OUT, 512)
    assert command.duration_s == pytest.approx(30.0)
    assert (device.busy, device.host.busy) == (0, 0)


def test_late_done_loses(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    clock: FakeClock,
    send: Submitter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (device,) = devices(subsystem, driver)
    send(device, timeout_s=1.0)
    clock.advance(1.0)
    driver.pending[0].complete()
    assert (len(send.ended), device.busy, device.host.busy) == (1, 0, 0)
    assert device.host.unexpected_done == 1
    assert "called done on a command that it does not have" in caplog.text


def test_done_before_the_time_out_cancels_it(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver)
    command = send(device, timeout_s=1.0)
    assert clock.pending() == [1.0]
    driver.pending[0].complete()
    assert clock.pending() == []
    clock.advance(2.0)
    assert (command.host_byte, len(send.ended)) == (0, 1)


def test_the_time_out_of_a_try_that_is_over_does_not_end_the_next(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver)
    command = send(device, timeout_s=1.0)
    stale = command.timer.call  # type: ignore[union-attr]
    driver.pending[0].complete(Answer(status=Status.BUSY))
    clock.advance(IDLE_RETRY_S)
    assert len(driver.pending) == 1
    stale()  # as if it had run when `done` came, and waited for the lock
    assert send.ended == []
    driver.pending[0].complete()
    assert command.status == 0


def test_done_twice(subsystem: Subsystem, driver: ScriptedDriver, send: Submitter) -> None:
    (device,) = devices(subsystem, driver)
    send(device)
    pending = driver.pending[0]
    pending.complete()
    pending.complete()
    assert (device.host.unexpected_done, device.host.busy, device.busy, len(send.ended)) == (1, 0, 0, 1)


def test_done_before_queuecommand_returns(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock
) -> None:
    (device,) = devices(subsystem, driver, Answer())
    assert execute(device, TUR).ok
    assert clock.pending() == []


def test_done_from_another_thread(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    (device,) = devices(subsystem, driver)
    results: list[Result] = []
    waiter = threading.Thread(target=lambda: results.append(execute(device, TUR)))
    waiter.start()
    while not driver.pending:
        pass
    driver.pending[0].complete(Answer.check(2, 0x3A))
    waiter.join(60)
    assert [result.sense.code for result in results if result.sense] == ["2/3a/00"]


def test_a_driver_that_raises_in_queuecommand(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter, caplog: pytest.LogCaptureFixture
) -> None:
    (device,) = devices(subsystem, driver, Answer(raises=ValueError("oops")), Answer())
    result = execute(device, TUR, data_in=16)
    assert (result.host_byte, result.residual) == (HostByte.DID_ERROR, 16)
    assert "raised in queuecommand" in caplog.text
    assert execute(device, TUR).ok
    assert (device.busy, device.host.busy) == (0, 0)


def test_ctrl_c_in_the_driver_costs_no_place_in_the_queue(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    (device,) = devices(subsystem, driver, Answer(raises=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        execute(device, TUR)
    assert (device.busy, device.host.busy) == (0, 0)


@pytest.mark.parametrize("error", [ValueError("oops"), KeyboardInterrupt()])
def test_a_driver_that_raises_for_a_queued_command(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter, error: BaseException
) -> None:
    driver.cmd_per_lun = 1
    (device,) = devices(subsystem, driver, LATER, Answer(raises=error), Answer())
    commands = [send(device) for _ in range(3)]
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            driver.pending[0].complete()
        assert execute(device, TUR).ok  # and the queue runs again
    else:
        driver.pending[0].complete()
    assert send.ended == commands
    assert [command.host_byte for command in commands] == [0, HostByte.DID_ERROR, 0]
    assert (device.busy, device.host.busy, device.host.waiting) == (0, 0, 0)


def test_a_driver_that_completes_a_command_and_then_refuses_it(
    subsystem: Subsystem, driver: ScriptedDriver, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    (device,) = devices(subsystem, driver, Answer(status=Status.BUSY))
    plain = device.host.queuecommand
    device.host.queuecommand = lambda command, done: plain(command, done) or DEVICE_BUSY
    submit(Command(device, TUR))
    assert device.host.unexpected_done == 1
    assert "said busy for a command that it completed" in caplog.text
    assert (device.busy, device.host.busy, device.host.waiting) == (0, 0, 1)


def test_on_finished_that_raises_stops_nobody(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter, caplog: pytest.LogCaptureFixture
) -> None:
    driver.can_queue = 1
    (device,) = devices(subsystem, driver)

    def broken(command: Command) -> None:
        raise RuntimeError("not mine")

    submit(Command(device, TUR, on_finished=broken))
    send(device)
    driver.pending[0].complete()
    driver.pending[0].complete()
    assert len(send.ended) == 1
    assert "on_finished raised" in caplog.text


def test_queued_commands_of_a_device_that_is_removed(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    driver.cmd_per_lun = 1
    (device,) = devices(subsystem, driver)
    in_driver, queued = send(device), send(device)
    subsystem.remove_device(device)
    assert send.ended == [queued]
    assert queued.host_byte == HostByte.DID_NO_CONNECT
    assert execute(device, TUR).host_byte == HostByte.DID_NO_CONNECT
    driver.pending[0].complete()
    assert send.ended == [queued, in_driver]


def test_a_command_that_comes_back_busy_from_a_removed_device(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver, LATER)
    command = send(device)
    subsystem.remove_device(device)
    driver.pending[0].complete(Answer(status=Status.BUSY))
    assert send.ended == [command]
    assert command.status == Status.BUSY


def test_a_removal_from_within_a_driver_that_is_busy(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver)

    def remove(command: Command) -> Answer:
        subsystem.remove_device(device)
        return Answer(busy=DEVICE_BUSY)

    driver.units[0, 0, 0].on(TUR[0], remove)
    command = send(device)
    assert send.ended == [command]
    assert command.host_byte == HostByte.DID_NO_CONNECT


@pytest.mark.parametrize("state", [DeviceState.OFFLINE, DeviceState.TRANSPORT_OFFLINE])
def test_offline_and_back(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter, state: DeviceState
) -> None:
    driver.cmd_per_lun = 1
    (device,) = devices(subsystem, driver, LATER, Answer())
    send(device)
    queued = send(device)
    subsystem.set_device_state(device, state)
    assert send.ended == [queued]
    assert execute(device, TUR).host_byte == HostByte.DID_NO_CONNECT
    subsystem.set_device_state(device, DeviceState.RUNNING)
    driver.pending[0].complete()
    assert execute(device, TUR).ok


@pytest.mark.parametrize("state", [DeviceState.QUIESCE, DeviceState.BLOCKED])
def test_held_commands_flow_when_the_device_runs_again(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter, state: DeviceState
) -> None:
    (device,) = devices(subsystem, driver, Answer())
    subsystem.set_device_state(device, state)
    commands = [send(device), send(device)]
    assert (send.ended, driver.commands) == ([], [])
    subsystem.set_device_state(device, DeviceState.RUNNING)
    assert send.ended == commands


def test_a_blocked_device_can_be_removed_and_holds_nobody(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver, Answer())
    subsystem.set_device_state(device, DeviceState.BLOCKED)
    held = send(device)
    subsystem.remove_device(device)
    assert held.host_byte == HostByte.DID_NO_CONNECT
    assert send(device).host_byte == HostByte.DID_NO_CONNECT


def test_a_queue_that_completes_inline_needs_no_deep_stack(
    subsystem: Subsystem, driver: ScriptedDriver, send: Submitter
) -> None:
    (device,) = devices(subsystem, driver, LATER, Answer())
    subsystem.set_device_state(device, DeviceState.BLOCKED)
    for _ in range(5000):
        send(device)
    subsystem.set_device_state(device, DeviceState.RUNNING)
    driver.pending[0].complete()
    assert len(send.ended) == 5000


def test_run_gives_all_of_the_answer(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    (device,) = devices(subsystem, driver, Answer(data=b"abc"))
    buffer = bytearray(8)
    result = run(Command(device, TUR, None, memoryview(buffer)))
    assert (bytes(result.data), result.residual, result.address) == (b"abc", 5, device.address)
    assert (result.driver_byte, result.cdb, result.duration_s) == (0, TUR, 0.0)
