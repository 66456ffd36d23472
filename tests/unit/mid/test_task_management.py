"""Aborts and resets that somebody asks for, blocked hosts, and recovery on the machine's clock."""

from __future__ import annotations

import threading

import pytest
from recovery_rig import LATER, READ, TUR, Rig

from midlayer.errors import InvalidRequest
from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.dispatch import submit
from midlayer.mid.error_handler import abort_command, reset
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import (
    block_requests,
    host_reset,
    report_bus_reset,
    report_device_reset,
    unblock_requests,
)
from midlayer.testing import ScriptedDriver


def test_abort_of_a_command_that_waits(rig: Rig) -> None:
    rig.driver.cmd_per_lun = 1
    (device,) = rig.start()
    first, second, third = (rig.send(device) for _ in range(3))
    assert abort_command(second) == SUCCESS
    assert (rig.ended, second.host_byte, rig.host.waiting) == ([second], HostByte.DID_ABORT, 1)
    rig.driver.pending[0].complete()
    assert (first.phase, third.phase) == (Phase.FINISHED, Phase.ISSUED)
    assert abort_command(first) == SUCCESS


def test_abort_of_a_command_that_the_driver_has(rig: Rig) -> None:
    rig.driver.handle("abort", FAILED, SUCCESS)
    (device,) = rig.start()
    command = rig.send(device, data_in=memoryview(bytearray(16)))
    assert (abort_command(command), command.phase) == (FAILED, Phase.ISSUED)
    assert abort_command(command) == SUCCESS
    assert (rig.ended, command.host_byte, command.residual) == ([command], HostByte.DID_ABORT, 16)
    assert rig.idle()


def test_abort_by_a_driver_that_calls_done(rig: Rig) -> None:
    def abort(command: Command) -> int:
        rig.driver.pending[0].complete()
        return SUCCESS

    rig.driver.handle("abort", abort)
    (device,) = rig.start()
    command = rig.send(device)
    assert abort_command(command) == SUCCESS
    assert (rig.ended, command.host_byte, rig.host.unexpected_done) == ([command], 0, 0)


def test_abort_of_a_command_in_recovery_is_refused(rig: Rig) -> None:
    rig.driver.handle("bus_reset")
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert (abort_command(command), command.phase) == (FAILED, Phase.LOST)


def test_abort_without_a_handler(rig: Rig) -> None:
    (device,) = rig.start()
    assert abort_command(rig.send(device)) == FAILED


@pytest.mark.parametrize("level", ["device", "target", "bus", "host"])
def test_reset_calls_one_handler(rig: Rig, level: str) -> None:
    for each in ("device", "target", "bus", "host"):
        rig.driver.handle(f"{each}_reset", FAILED)
    (device,) = rig.start()
    assert reset(device, level) == FAILED
    assert rig.driver.calls == [f"eh_{level}_reset_handler 0:0:0:0"]
    assert (device.was_reset, rig.actions()) == (False, [f"{level} reset"])


def test_reset_escalates_until_one_does_not_fail(rig: Rig) -> None:
    rig.driver.handle("device_reset", FAILED)
    rig.driver.handle("bus_reset", SUCCESS)
    (device,) = rig.start()
    assert reset(device, "device", escalate=True) == SUCCESS
    assert [call.split()[0] for call in rig.driver.calls] == [
        "eh_device_reset_handler",
        "eh_bus_reset_handler",
    ]
    assert device.expecting_cc_ua


def test_no_new_commands_during_a_reset_nor_while_a_bus_settles(rig: Rig) -> None:
    sent: list[Command] = []

    def hold(command: Command) -> int:
        sent.append(rig.send(device, TUR))
        return SUCCESS

    rig.driver.handle("device_reset", hold)
    rig.driver.handle("bus_reset", hold)
    (device,) = rig.start()
    reset(device, "device")
    assert rig.ended == sent
    reset(device, "bus")
    rig.clock.advance(9.9)
    assert sent[1].phase is Phase.QUEUED
    rig.clock.advance(0.1)
    assert rig.ended == sent
    assert rig.idle()


def test_reset_of_a_target_and_of_a_host(rig: Rig) -> None:
    rig.driver.skip_settle_delay = True
    for each in ("target", "host"):
        rig.driver.handle(f"{each}_reset")
    (device,) = rig.start()
    target, host = device.target, device.host
    assert (reset(target, "target"), reset(host, "host")) == (SUCCESS, SUCCESS)
    rig.subsystem.remove_device(device)
    assert (reset(target, "target"), reset(host, "host")) == (SUCCESS, SUCCESS)
    for what, level in ((target, "device"), (host, "target"), (host, "bus"), (device, "world")):
        with pytest.raises(InvalidRequest):
            reset(what, level)
    assert rig.idle()


@pytest.mark.parametrize("outcome", [RuntimeError("oops"), None, FAST_IO_FAIL])
def test_reset_by_a_bad_handler(rig: Rig, outcome: object) -> None:
    rig.driver.handle("device_reset", outcome)
    (device,) = rig.start()
    assert reset(device, "device") == (FAST_IO_FAIL if outcome == FAST_IO_FAIL else FAILED)
    assert rig.send(device, TUR).phase is Phase.FINISHED


def test_host_reset(rig: Rig) -> None:
    rig.start()
    assert host_reset(rig.host, "adapter") == -95
    kinds: list[str] = []
    rig.driver.host_reset = lambda host, kind: kinds.append(kind) or 0  # type: ignore[method-assign, func-returns-value]
    assert (host_reset(rig.host, "firmware"), kinds) == (0, ["firmware"])
    with pytest.raises(InvalidRequest, match="adapter or firmware"):
        host_reset(rig.host, "all")


def test_report_bus_reset_and_device_reset() -> None:
    rig = Rig(luns=2)
    rig.driver.max_channel = 1
    rig.driver.unit(0, 1, 0)
    rig.driver.unit(1, 0, 0)
    devices = rig.start()

    def expecting() -> list[str]:
        found = [str(device.address)[2:] for device in devices if device.expecting_cc_ua and device.was_reset]
        for device in devices:
            device.expecting_cc_ua = False
        return found

    report_device_reset(rig.host, 0, 0)
    assert expecting() == ["0:0:0", "0:0:1"]
    report_bus_reset(rig.host, 0)
    assert expecting() == ["0:0:0", "0:0:1", "0:1:0"]


def test_block_requests(rig: Rig) -> None:
    (device,) = rig.start()
    block_requests(rig.host)
    block_requests(rig.host)
    command = rig.send(device, TUR)
    assert command.phase is Phase.QUEUED
    unblock_requests(rig.host)
    assert rig.ended == [command]
    unblock_requests(rig.host)
    assert rig.idle()


@pytest.fixture
def machine() -> Rig:
    rig = Rig()
    rig.subsystem = Subsystem(clock=SystemClock())
    return rig


def test_a_handler_that_blocks_holds_up_no_timer_and_no_other_host(machine: Rig) -> None:
    entered, leave, ended = threading.Event(), threading.Event(), threading.Event()

    def block(command: Command) -> int:
        entered.set()
        assert leave.wait(60)
        return SUCCESS

    machine.driver.handle("device_reset", block)
    (device,) = machine.start()
    other_driver = ScriptedDriver()
    other_driver.unit(0, 0, 0).on(READ[0], LATER)
    (other,) = other_driver.start(machine.subsystem).devices()
    command = Command(device, READ, timeout_s=0.01, on_finished=lambda command: ended.set())
    submit(command)
    assert entered.wait(60)
    on_time = threading.Event()
    submit(Command(other, READ, timeout_s=0.01, on_finished=lambda command: on_time.set()))
    assert on_time.wait(60)
    assert command.phase is Phase.LOST
    leave.set()
    assert ended.wait(60)
    assert (command.host_byte, device.state) == (HostByte.DID_TIME_OUT, DeviceState.RUNNING)
    machine.subsystem.clock.close()  # type: ignore[attr-defined]


def test_recovery_of_many_commands_from_many_threads(machine: Rig) -> None:
    machine.driver.handle("abort", FAILED, SUCCESS)
    machine.driver.handle("device_reset")
    (device,) = machine.start()
    done = threading.Semaphore(0)

    def submit_some() -> None:
        for _ in range(5):
            submit(Command(device, READ, timeout_s=0.005, on_finished=lambda command: done.release()))

    threads = [threading.Thread(target=submit_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(20):
        assert done.acquire(timeout=60)
    host = device.host
    assert (host.busy, host.waiting, device.busy) == (0, 0, 0)
    machine.subsystem.clock.close()  # type: ignore[attr-defined]
