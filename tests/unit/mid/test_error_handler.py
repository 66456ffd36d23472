"""Time-outs, aborts and the way into recovery; each test is named by its rule (docs/error-handling.md)."""

from __future__ import annotations

import pytest
from recovery_rig import LATER, READ, TUR, Rig

from midlayer.errors import InvalidRequest
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.error_handler import ABORT_DELAY_S
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host, HostState
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS, TimeOut
from midlayer.mid.recovery_step import Action, RecoveryStep
from midlayer.testing import Answer, ScriptedDriver

# EH-1


def test_eh_01_not_handled_goes_on_to_the_error_handler(rig: Rig) -> None:
    rig.driver.handle("eh_timed_out", TimeOut.NOT_HANDLED)
    rig.driver.handle("abort")
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert rig.driver.calls == ["eh_timed_out 0:0:0:0"]
    rig.clock.advance(ABORT_DELAY_S)
    assert rig.ended == [command]


def test_eh_01_reset_timer_gives_the_whole_time_again(rig: Rig) -> None:
    rig.driver.handle("eh_timed_out", TimeOut.RESET_TIMER, TimeOut.RESET_TIMER, TimeOut.NOT_HANDLED)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(89)
    assert (rig.ended, len(rig.driver.calls)) == ([], 2)
    rig.clock.advance(1)
    assert (rig.ended, command.host_byte) == ([command], HostByte.DID_TIME_OUT)


def test_eh_01_done_by_a_driver_that_completes_it(rig: Rig) -> None:
    def complete(command: Command) -> TimeOut:
        rig.driver.pending[0].complete(Answer(status=0x08, sense=b""))
        return TimeOut.DONE

    rig.driver.handle("eh_timed_out", complete)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert command.phase is Phase.FINISHED
    assert (command.status, command.host_byte, rig.host.unexpected_done) == (0x08, 0, 0)


def test_eh_01_done_by_a_driver_that_does_not_is_believed_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.driver.handle("eh_timed_out", TimeOut.DONE)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(59)
    assert rig.ended == []
    rig.clock.advance(1)
    assert (rig.ended, command.host_byte) == ([command], HostByte.DID_TIME_OUT)
    assert "said DONE and did not complete it" in caplog.text


@pytest.mark.parametrize("nonsense", [RuntimeError("oops"), 77, None, []])
def test_eh_01_nonsense_counts_as_not_handled(
    rig: Rig, nonsense: object, caplog: pytest.LogCaptureFixture
) -> None:
    rig.driver.handle("eh_timed_out", nonsense)
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(30)
    assert len(rig.ended) == 1
    assert "eh_timed_out of driver scripted host" in caplog.text


# EH-2, EH-3


def test_eh_02_abort_comes_10_ms_later_and_others_keep_running(rig: Rig) -> None:
    rig.driver.handle("abort")
    (device,) = rig.start()
    lost = rig.send(device)
    other = rig.send(device, timeout_s=60)
    rig.clock.advance(30)
    assert (lost.phase, rig.driver.calls, rig.host.state) == (Phase.LOST, [], HostState.RUNNING)
    third = rig.send(device, TUR)
    assert rig.ended == [third]
    rig.clock.advance(ABORT_DELAY_S)
    assert rig.driver.calls == ["eh_abort_handler 0:0:0:0"]
    assert (rig.ended, lost.host_byte) == ([third, lost], HostByte.DID_TIME_OUT)
    assert (other.phase, device.busy) == (Phase.ISSUED, 1)


def test_eh_02_no_async_abort_goes_straight_to_recovery(rig: Rig) -> None:
    rig.driver.no_async_abort = True
    rig.driver.handle("abort")
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(30)
    assert rig.driver.calls == ["eh_device_reset_handler 0:0:0:0"]


def test_eh_02_only_once_for_a_command(rig: Rig) -> None:
    rig.driver.handle("abort")
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    command = rig.send(device, allowed=2)
    rig.clock.advance(30 + ABORT_DELAY_S)
    assert (command.phase, command.retries) == (Phase.ISSUED, 1)
    rig.clock.advance(30)
    assert rig.driver.calls == ["eh_abort_handler 0:0:0:0", "eh_device_reset_handler 0:0:0:0"]


@pytest.mark.parametrize(("allowed", "tries"), [(0, 1), (1, 2)])
def test_eh_03_an_aborted_command_is_retried_if_that_is_allowed(rig: Rig, allowed: int, tries: int) -> None:
    rig.driver.handle("abort")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], LATER, Answer())
    command = rig.send(device, allowed=allowed, data_in=memoryview(bytearray(512)))
    rig.clock.advance(30 + ABORT_DELAY_S)
    assert rig.ended == [command]
    assert len(rig.driver.commands) == tries
    assert command.host_byte == (0 if allowed else HostByte.DID_TIME_OUT)
    assert command.residual == (0 if allowed else 512) or allowed
    assert rig.idle()


def test_eh_03_a_passthrough_command_is_not_retried(rig: Rig) -> None:
    rig.driver.handle("abort")
    (device,) = rig.start()
    command = rig.send(device, allowed=5, passthrough=True)
    rig.clock.advance(31)
    assert (rig.ended, len(rig.driver.commands)) == ([command], 1)


@pytest.mark.parametrize("outcome", [FAILED, FAST_IO_FAIL, RuntimeError("oops"), None, 0, "yes", []])
def test_eh_03_an_abort_that_fails_leads_to_recovery(rig: Rig, outcome: object) -> None:
    rig.driver.handle("abort", outcome)
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(31)
    assert rig.actions() == [
        "time out", "abort", "begin", "device reset", "test unit ready", "give up", "end"
    ]  # fmt: skip
    assert rig.idle()


def test_eh_03_a_late_done_loses_to_the_time_out(rig: Rig) -> None:
    def complete_late(command: Command) -> int:
        rig.driver.pending[0].complete(Answer(status=0x28))
        return SUCCESS

    rig.driver.handle("abort", complete_late)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(31)
    assert (command.status, command.host_byte, rig.ended) == (0, HostByte.DID_TIME_OUT, [command])
    assert (rig.host.late_done, rig.host.unexpected_done) == (1, 0)


def test_a_driver_without_handlers_has_no_error_handler(rig: Rig) -> None:
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert (rig.ended, command.host_byte, rig.actions()) == ([command], HostByte.DID_TIME_OUT, [])
    assert (device.state, rig.host.state) == (DeviceState.RUNNING, HostState.RUNNING)


# EH-4


def test_eh_04_the_host_recovers_when_nothing_else_is_out(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.send(device)
    other = rig.send(device, timeout_s=60)
    rig.clock.advance(30)
    assert rig.host.state is HostState.RECOVERY
    held = rig.send(device, TUR)
    assert (held.phase, rig.driver.calls) == (Phase.QUEUED, [])
    rig.driver.pending[1].complete()
    assert rig.driver.calls == ["eh_device_reset_handler 0:0:0:0"]
    assert [command.host_byte for command in rig.ended] == [0, HostByte.DID_TIME_OUT, 0]
    assert rig.ended[0] is other
    assert rig.ended[2] is held
    assert rig.host.state is HostState.RUNNING
    assert rig.idle()


def test_eh_04_commands_that_all_fail_are_recovered_together(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    commands = [rig.send(device, timeout_s=seconds) for seconds in (30.0, 31.0, 32.0)]
    rig.clock.advance(31)
    assert rig.driver.calls == []
    rig.clock.advance(1)
    assert rig.driver.calls == ["eh_device_reset_handler 0:0:0:0"]
    assert rig.ended == commands


@pytest.mark.parametrize(("scope", "held"), [("host", {0, 1, 2}), ("target", {0, 1}), ("device", {0})])
def test_eh_04_scope(scope: str, held: set[int]) -> None:
    rig = Rig(luns=2)
    rig.driver.unit(0, 1, 0).on(READ[0], LATER)
    rig.driver.eh_scope = scope
    rig.driver.handle("device_reset")
    devices = rig.start()
    rig.send(devices[0])
    rig.send(devices[0], timeout_s=60)  # keeps recovery from beginning
    rig.clock.advance(30)
    probes = [rig.send(device, TUR) for device in devices]
    assert {n for n, probe in enumerate(probes) if probe.phase is Phase.QUEUED} == held
    # What is not held takes the fast path, whatever waits beside it.
    assert {n for n, device in enumerate(devices) if device.detour or rig.host.detour} == held
    assert rig.host.state is (HostState.RECOVERY if scope == "host" else HostState.RUNNING)
    rig.driver.pending[-1].complete()
    assert all(probe.phase is Phase.FINISHED for probe in probes)
    assert rig.idle()


def test_eh_04_an_unknown_scope_is_refused(rig: Rig) -> None:
    rig.driver.eh_scope = "galaxy"
    with pytest.raises(InvalidRequest, match="eh_scope is 'galaxy', not host, target, device"):
        rig.start()


@pytest.mark.parametrize("scope", ["target", "device"])
def test_eh_04_a_step_that_reaches_further_holds_more(scope: str) -> None:
    rig = Rig(luns=2)
    rig.driver.unit(0, 1, 0)
    rig.driver.eh_scope = scope
    seen: list[tuple[str, list[Phase]]] = []

    def reset(command: Command) -> int:
        probes = [rig.send(device, TUR) for device in rig.subsystem.devices()]
        seen.append((rig.host.state.value, [probe.phase for probe in probes]))
        return FAILED

    for step in ("device_reset", "target_reset", "bus_reset"):
        rig.driver.handle(step, reset)
    rig.driver.handle("host_reset")
    rig.driver.skip_settle_delay = True
    devices = rig.start()
    rig.send(devices[0])
    rig.clock.advance(30)
    queued, done = Phase.QUEUED, Phase.FINISHED
    assert seen == [
        ("running", [queued, done if scope == "device" else queued, done]),
        ("running", [queued, queued, done]),
        ("recovery", [queued, queued, queued]),
    ]
    assert rig.idle()
    assert rig.host.state is HostState.RUNNING


def test_eh_04_a_command_that_fails_with_a_host_byte_is_recovered(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], Answer(host_byte=0x55))
    command = rig.send(device)
    assert rig.driver.calls == ["eh_device_reset_handler 0:0:0:0"]
    assert (command.host_byte, rig.ended) == (0x55, [command])


def test_eh_04_a_scan_goes_on_through_recovery() -> None:
    rig = Rig()
    rig.driver.handle("device_reset")
    rig.driver.unit(0, 1, 0)
    rig.driver.units[0, 0, 0].on(0x12, Answer(host_byte=0x55))  # INQUIRY
    assert [device.address.target for device in rig.start()] == [1]


# EH-9, EH-10


def test_eh_09_past_the_deadline_only_the_host_is_reset() -> None:
    rig = Rig()
    for step in ("device_reset", "target_reset", "bus_reset"):
        rig.driver.handle(step, lambda command: FAILED + 0 * rig.clock.advance(6))
    rig.driver.handle("host_reset")
    rig.driver.eh_deadline = 5
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(30)
    rig.clock.advance(20)
    assert [call.split()[0] for call in rig.driver.calls] == [
        "eh_device_reset_handler",
        "eh_host_reset_handler",
    ]
    assert rig.actions().count("past deadline") == 2
    assert rig.idle()


def test_eh_09_no_deadline_without_a_host_reset_handler() -> None:
    rig = Rig()
    rig.driver.handle("device_reset", lambda command: FAILED + 0 * rig.clock.advance(6))
    rig.driver.handle("target_reset")
    rig.driver.eh_deadline = 0
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(50)
    assert "target reset" in rig.actions()


def test_eh_09_the_deadline_passes_before_the_abort() -> None:
    rig = Rig()
    rig.driver.handle("abort")
    rig.driver.handle("host_reset")
    rig.driver.eh_deadline = 0
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(50)
    assert [call.split()[0] for call in rig.driver.calls] == ["eh_host_reset_handler"]


def test_eh_10_flush_retries_what_may_be_retried(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], LATER, LATER, Answer())
    retried, ended = rig.send(device, allowed=1), rig.send(device)
    rig.clock.advance(30)
    assert (ended.host_byte, retried.host_byte, retried.retries) == (HostByte.DID_TIME_OUT, 0, 1)
    assert rig.actions()[-4:] == ["test unit ready", "retry", "give up", "end"]


@pytest.mark.parametrize("answer", [False, RuntimeError("oops")])
def test_eh_10_the_driver_may_say_no_to_a_retry(rig: Rig, answer: object) -> None:
    rig.driver.handle("device_reset")
    rig.driver.handle("eh_should_retry_cmd", answer)
    (device,) = rig.start()
    command = rig.send(device, allowed=5)
    rig.clock.advance(30)
    assert (rig.ended, command.retries) == ([command], 0)


def test_eh_10_a_command_without_a_result_gets_did_time_out(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert (command.host_byte, command.status) == (HostByte.DID_TIME_OUT, 0)


# What others see


class Listener(UpperDriver):
    def __init__(self) -> None:
        self.steps: list[RecoveryStep] = []
        self.changes: list[dict[str, str]] = []

    def recovery(self, host: Host, step: RecoveryStep) -> None:
        self.steps.append(step)
        raise RuntimeError("not mine")

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        self.changes.append(changes)


def test_upper_drivers_hear_of_each_step(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.driver.handle("device_reset", FAILED)
    (device,) = rig.start()
    listener = Listener()
    rig.subsystem.register_upper(listener)
    rig.send(device)
    rig.clock.advance(30)
    assert listener.steps == list(rig.host.error_handler.recent)
    assert [step.action for step in listener.steps] == [
        Action.TIME_OUT, Action.BEGIN, Action.DEVICE_RESET, Action.OFFLINE, Action.GIVE_UP, Action.END
    ]  # fmt: skip
    assert str(listener.steps[2]) == "host 0: device reset 0:0:0:0: failed"
    assert listener.changes == [{"state": "offline"}]
    assert "raised in recovery" in caplog.text


def test_a_host_that_is_removed_in_recovery(rig: Rig) -> None:
    rig.driver.handle("bus_reset")
    (device,) = rig.start()
    host = rig.host
    command = rig.send(device)
    rig.clock.advance(30)
    assert host.state is HostState.RECOVERY  # the bus settles
    waiting = rig.send(device, TUR)
    rig.subsystem.remove_host(host)
    assert (host.state, waiting.host_byte) == (HostState.DEL_RECOVERY, HostByte.DID_NO_CONNECT)
    rig.clock.advance(10)
    assert (host.state, rig.ended) == (HostState.DEL, [waiting, command])


def test_a_command_that_is_lost_after_the_host_was_removed_ends(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    host = rig.host
    command = rig.send(device)
    rig.subsystem.remove_host(host)
    rig.clock.advance(30)
    assert (rig.ended, command.host_byte, host.state) == ([command], HostByte.DID_TIME_OUT, HostState.DEL)


def test_other_hosts_are_untouched(rig: Rig) -> None:
    rig.driver.handle("host_reset", FAILED)
    (device,) = rig.start()
    quiet = ScriptedDriver()
    quiet.unit(0, 0, 0)
    other = quiet.start(rig.subsystem).devices()[0]
    rig.send(device)
    rig.clock.advance(30)
    assert device.state is DeviceState.OFFLINE
    assert (rig.send(other, TUR).host_byte, other.state) == (0, DeviceState.RUNNING)
