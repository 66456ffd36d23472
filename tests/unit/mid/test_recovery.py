"""The ladder, rung by rung, on the fake clock; each test is named by its rule (docs/error-handling.md)."""

from __future__ import annotations

import pytest
from recovery_rig import LATER, READ, TUR, Rig

from midlayer.mid.command import HostByte, Phase
from midlayer.mid.host import HostState
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS
from midlayer.standards.sense import fixed_sense
from midlayer.testing import Answer

REQUEST_SENSE, START_STOP_UNIT = 0x03, 0x1B
NO_AUTOSENSE = Answer(status=0x02)
NOT_STARTED = Answer.check(2, 0x04, 0x02)


# EH-5


@pytest.mark.parametrize("with_handlers", [False, True])
@pytest.mark.parametrize(
    ("sense", "tries"), [(fixed_sense(5, 0x24), 1), (fixed_sense(0xB), 3), (fixed_sense(4, 0x44), 1)]
)
def test_eh_05_get_sense(rig: Rig, sense: bytes, tries: int, with_handlers: bool) -> None:
    if with_handlers:
        rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], NO_AUTOSENSE)
    rig.driver.units[0, 0, 0].on(REQUEST_SENSE, Answer(data=sense))
    command = rig.send(device, allowed=2)
    assert rig.ended == [command]
    assert (command.status, command.host_byte, command.sense_data) == (2, 0, sense)
    assert rig.sent() == [READ[0], REQUEST_SENSE] * tries
    assert rig.driver.calls == []
    assert rig.idle()


def test_eh_05_a_command_that_timed_out_is_not_asked_for_sense(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.send(device)
    rig.clock.advance(30)
    assert rig.sent() == [READ[0], 0x00]


@pytest.mark.parametrize("answer", [Answer(data=bytes(18)), Answer(status=8), Answer(host_byte=1), LATER])
def test_eh_05_without_sense_the_ladder_is_climbed(rig: Rig, answer: Answer) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], NO_AUTOSENSE)
    rig.driver.units[0, 0, 0].on(REQUEST_SENSE, answer)
    command = rig.send(device)
    rig.clock.advance(100)
    assert rig.ended == [command]
    assert (command.status, command.host_byte) == (2, 0)
    assert "eh_device_reset_handler 0:0:0:0" in rig.driver.calls
    assert rig.idle()


def test_eh_05_a_driver_without_handlers_and_a_device_without_sense(rig: Rig) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], NO_AUTOSENSE)
    rig.driver.units[0, 0, 0].on(REQUEST_SENSE, Answer(host_byte=7))
    command = rig.send(device)
    assert (rig.ended, command.status, device.state) == ([command], 2, DeviceState.RUNNING)


# EH-6


def test_eh_06_start_unit_and_then_test_unit_ready(rig: Rig) -> None:
    (device,) = rig.start()
    device.allow_restart = True
    rig.driver.units[0, 0, 0].on(READ[0], NOT_STARTED, Answer())
    command = rig.send(device, allowed=1)
    assert rig.sent() == [READ[0], START_STOP_UNIT, TUR[0], READ[0]]
    assert (rig.ended, command.status) == ([command], 0)


def test_eh_06_at_most_two_tries(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    device.allow_restart = True
    rig.driver.units[0, 0, 0].on(READ[0], NOT_STARTED)
    rig.driver.units[0, 0, 0].on(START_STOP_UNIT, Answer.check(0xB))
    rig.send(device)
    assert rig.sent() == [READ[0], START_STOP_UNIT, START_STOP_UNIT, TUR[0]]
    assert rig.actions() == ["begin", "start unit", "device reset", "test unit ready", "give up", "end"]


def test_eh_06_only_with_allow_restart(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], NOT_STARTED)
    assert rig.send(device).status == 2
    assert rig.sent() == [READ[0]]


# EH-7


def test_eh_07_every_rung_in_order_with_its_settle_time(rig: Rig) -> None:
    for step in ("device_reset", "target_reset", "bus_reset", "host_reset"):
        rig.driver.handle(step)
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], Answer(host_byte=HostByte.DID_ERROR))
    begin = rig.clock.monotonic()
    times: list[tuple[str, float]] = []
    rig.driver.hook = lambda name, subject: times.append((name, rig.clock.monotonic() - begin))
    command = rig.send(device)
    rig.clock.advance(60)
    assert times == [
        ("eh_device_reset_handler", 30.0),
        ("eh_target_reset_handler", 30.0),
        ("eh_bus_reset_handler", 30.0),
        ("eh_host_reset_handler", 40.0),
    ]
    assert rig.actions()[-3:] == ["offline", "give up", "end"]
    assert (rig.ended, device.state) == ([command], DeviceState.OFFLINE)
    assert rig.idle()


def test_eh_07_each_device_target_and_channel_is_reset_once() -> None:
    rig = Rig(luns=2)
    rig.driver.max_channel = 1
    rig.driver.can_queue = 16
    for place in ((0, 1, 0), (1, 0, 0), (1, 1, 0)):
        rig.driver.unit(*place).on(READ[0], LATER)
    for step in ("device_reset", "target_reset", "bus_reset", "host_reset"):
        rig.driver.handle(step, FAILED)
    for device in rig.start():
        rig.send(device)
        rig.send(device)
    rig.clock.advance(30)
    assert rig.driver.calls == [
        *(f"eh_device_reset_handler 0:{place}" for place in ("0:0:0", "0:0:1", "0:1:0", "1:0:0", "1:1:0")),
        # by the id alone: channel 1 is not asked
        "eh_target_reset_handler 0:0:0:0",
        "eh_target_reset_handler 0:0:1:0",
        "eh_bus_reset_handler 0:0:0:0",
        "eh_bus_reset_handler 0:1:0:0",
        "eh_host_reset_handler 0:0:0:0",
    ]
    assert len(rig.ended) == 10
    assert {device.state for device in rig.subsystem.devices()} == {DeviceState.OFFLINE}


def test_eh_07_only_what_is_left_climbs_on() -> None:
    rig = Rig(luns=2)
    rig.driver.handle("device_reset", SUCCESS, FAILED)
    rig.driver.handle("target_reset")
    one, other = rig.start()
    first, second = rig.send(one), rig.send(other)
    rig.clock.advance(30)
    assert rig.driver.calls == [
        "eh_device_reset_handler 0:0:0:0",
        "eh_device_reset_handler 0:0:0:1",
        "eh_target_reset_handler 0:0:0:1",
    ]
    assert rig.ended == [first, second]


def test_eh_07_start_unit_after_a_host_reset(rig: Rig) -> None:
    rig.driver.handle("host_reset")
    (device,) = rig.start()
    device.allow_restart = True
    rig.send(device)
    rig.clock.advance(40)
    assert rig.sent() == [READ[0], START_STOP_UNIT, TUR[0]]


def test_eh_07_offline_says_so(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.driver.handle("host_reset", FAILED)
    (device,) = rig.start()
    lost = rig.send(device, allowed=5)
    queued = [rig.send(device) for _ in range(9)][-1]
    rig.clock.advance(30)
    assert "0:0:0:0: Device offlined - not ready after error recovery" in caplog.text
    assert (lost.host_byte, queued.host_byte) == (HostByte.DID_TIME_OUT, HostByte.DID_NO_CONNECT)
    assert len(rig.ended) == 10
    assert rig.idle()


# EH-8


def test_eh_08_test_unit_ready_gets_one_retry(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    # The unit attention of the reset is expected, and costs the retry.
    rig.driver.units[0, 0, 0].on(TUR[0], Answer.check(6, 0x29), Answer.check(2, 0x3A))
    rig.send(device)
    rig.clock.advance(30)
    assert rig.sent() == [READ[0], TUR[0], TUR[0]]
    assert rig.actions()[-3:] == ["test unit ready", "give up", "end"]
    assert (device.was_reset, device.expecting_cc_ua) == (True, False)


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (Answer(), True),
        (Answer(status=0x18), True),  # reserved, and there
        (Answer.check(2, 0x3A), True),
        (Answer.check(0xB), True),  # a retry, and then it is good enough
        (Answer(status=0x08), True),  # likewise
        (Answer(status=0x28), True),
        (Answer(host_byte=HostByte.DID_NO_CONNECT), False),
        (Answer(host_byte=HostByte.DID_RESET, sense=fixed_sense(2, 0x3A)), True),
        (Answer(host_byte=HostByte.DID_RESET), False),
        (Answer(raises=RuntimeError("oops")), False),
        (Answer(busy=0x1055), False),
        (LATER, False),
    ],
)
def test_eh_08_what_test_unit_ready_means(rig: Rig, answer: Answer, well: bool) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    device.expecting_cc_ua = False
    rig.driver.units[0, 0, 0].on(TUR[0], answer)
    command = rig.send(device)
    rig.clock.advance(100)
    assert rig.ended == [command]
    assert device.state is (DeviceState.RUNNING if well else DeviceState.OFFLINE)
    assert rig.idle()


@pytest.mark.parametrize("passthrough", [True, False])
@pytest.mark.parametrize("answers", [[Answer.check(6, 0x29, 2)], [Answer.check(6, 0x29), Answer()]])
def test_eh_08_the_sense_data_of_the_last_test_stays_with_the_command(
    rig: Rig, answers: list[Answer], passthrough: bool
) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], *answers)
    command = rig.send(device, passthrough=passthrough)
    rig.clock.advance(100)
    assert rig.ended == [command]
    assert command.host_byte == HostByte.DID_TIME_OUT
    assert command.sense_data == answers[-1].sense


def test_eh_08_test_unit_ready_has_ten_seconds(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], LATER)
    rig.send(device)
    rig.clock.advance(39.9)
    assert rig.ended == []
    rig.clock.advance(0.2)
    assert len(rig.ended) == 1


def test_eh_08_a_busy_driver_is_asked_again_meanwhile(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], Answer(busy=0x1055), Answer(busy=0x1055), Answer())
    rig.send(device)
    rig.clock.advance(30.2)
    assert rig.sent() == [READ[0], TUR[0], TUR[0], TUR[0]]
    assert device.state is DeviceState.RUNNING


@pytest.mark.parametrize("step", ["device_reset", "target_reset", "bus_reset", "host_reset"])
def test_eh_08_fast_io_fail_ends_without_a_test(rig: Rig, step: str) -> None:
    rig.driver.handle(step, FAST_IO_FAIL)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert (rig.sent(), rig.ended) == ([READ[0]], [command])
    assert (device.state, device.was_reset) == (DeviceState.RUNNING, False)


@pytest.mark.parametrize(
    ("step", "reset"),
    [
        ("device_reset", {"0:0:0:0"}),
        ("target_reset", {"0:0:0:0", "0:0:0:1"}),
        ("bus_reset", {"0:0:0:0", "0:0:0:1", "0:0:1:0"}),
        ("host_reset", {"0:0:0:0", "0:0:0:1", "0:0:1:0", "0:1:0:0"}),
    ],
)
def test_eh_08_what_a_reset_reaches_expects_a_unit_attention(step: str, reset: set[str]) -> None:
    rig = Rig(luns=2)
    rig.driver.max_channel = 1
    rig.driver.unit(0, 1, 0)
    rig.driver.unit(1, 0, 0)
    rig.driver.handle(step)
    devices = rig.start()
    rig.send(devices[0])
    rig.clock.advance(40)
    assert {str(device.address) for device in devices if device.was_reset} == reset
    assert {str(device.address) for device in devices if device.expecting_cc_ua} == reset


def test_eh_08_an_offline_device_ends_without_a_test(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    command = rig.send(device)
    rig.subsystem.set_device_state(device, DeviceState.OFFLINE)
    rig.clock.advance(30)
    assert (rig.sent(), rig.ended) == ([READ[0]], [command])


# EH-11


def test_eh_11_a_command_of_the_error_handler_that_times_out_is_aborted(rig: Rig) -> None:
    rig.driver.handle("abort", FAILED, SUCCESS)
    rig.driver.handle("device_reset")
    rig.driver.handle("host_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], LATER, Answer())
    rig.send(device)
    rig.clock.advance(100)
    assert [call.split()[0] for call in rig.driver.calls] == [
        "eh_abort_handler",  # of the READ, in vain
        "eh_device_reset_handler",
        "eh_abort_handler",  # of the TEST UNIT READY
        "eh_host_reset_handler",
    ]
    assert device.state is DeviceState.RUNNING


def test_eh_11_or_reset_inside(rig: Rig) -> None:
    rig.driver.handle("abort", FAILED)
    rig.driver.handle("device_reset", SUCCESS, FAILED)
    rig.driver.handle("target_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], LATER, Answer())
    rig.send(device)
    rig.clock.advance(100)
    assert [call.split()[0] for call in rig.driver.calls] == [
        "eh_abort_handler",
        "eh_device_reset_handler",
        "eh_abort_handler",
        "eh_device_reset_handler",  # inside
        "eh_target_reset_handler",  # inside
        "eh_target_reset_handler",  # the next rung
    ]
    assert device.state is DeviceState.RUNNING


def test_eh_11_a_late_answer_to_a_command_of_the_error_handler(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    rig.driver.handle("host_reset")
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], LATER, Answer())
    rig.send(device)
    rig.clock.advance(41)
    rig.driver.pending[-1].complete()
    rig.clock.advance(20)
    assert rig.host.late_done == 1
    assert len(rig.ended) == 1
    assert rig.idle()


# Bad drivers in recovery

STEPS = ("device_reset", "target_reset", "bus_reset", "host_reset")


@pytest.mark.parametrize(
    "nonsense", [RuntimeError("oops"), None, "2002", 0, True, [], lambda command: [SUCCESS]]
)
@pytest.mark.parametrize("step", STEPS)
def test_nonsense_of_a_handler_counts_as_failed(
    rig: Rig, step: str, nonsense: object, caplog: pytest.LogCaptureFixture
) -> None:
    rig.driver.handle(step, nonsense)
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    assert (rig.ended, device.state) == ([command], DeviceState.OFFLINE)
    assert f"eh_{step}_handler of driver scripted host" in caplog.text
    assert rig.host.state is HostState.RUNNING
    rig.subsystem.set_device_state(device, DeviceState.RUNNING)
    assert rig.send(device, TUR).host_byte == 0


def test_a_driver_that_completes_a_lost_command_twice(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    command = rig.send(device)
    pending = rig.driver.pending[0]
    rig.clock.advance(30)
    pending.complete()
    pending.complete()
    assert (rig.ended, rig.host.unexpected_done, device.busy) == ([command], 2, 0)


def test_a_driver_that_completes_everything_from_its_reset(rig: Rig) -> None:
    def reset(command: object) -> int:
        for pending in list(rig.driver.pending):
            pending.complete(Answer(host_byte=HostByte.DID_RESET))
        return SUCCESS

    rig.driver.handle("device_reset", reset)
    (device,) = rig.start()
    commands = [rig.send(device) for _ in range(3)]
    rig.clock.advance(30)
    assert rig.ended == commands
    assert (rig.host.late_done, rig.host.unexpected_done) == (3, 0)
    assert {command.host_byte for command in commands} == {HostByte.DID_TIME_OUT}
    assert rig.idle()


def test_a_command_that_fails_again_and_again_is_recovered_each_time(rig: Rig) -> None:
    rig.driver.handle("device_reset")
    (device,) = rig.start()
    command = rig.send(device, allowed=2)
    rig.clock.advance(90)
    assert (rig.ended, command.retries) == ([command], 2)
    assert rig.driver.calls == ["eh_device_reset_handler 0:0:0:0"] * 3


def test_removal_of_a_device_in_recovery(rig: Rig) -> None:
    rig.driver.handle("bus_reset")
    (device,) = rig.start()
    command = rig.send(device)
    rig.clock.advance(30)
    rig.subsystem.remove_device(device)
    rig.clock.advance(10)
    assert (rig.ended, command.phase) == ([command], Phase.FINISHED)
    assert rig.sent() == [READ[0]]


@pytest.mark.parametrize(
    "answer", [NO_AUTOSENSE, Answer(host_byte=HostByte.DID_TIME_OUT), Answer(status=0x3F)]
)
def test_a_driver_that_recovers_itself_is_left_alone(rig: Rig, answer: Answer) -> None:
    for name in ("abort", "device_reset", "host_reset"):
        rig.driver.handle(name)
    rig.driver.recovers_itself = True
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], answer)
    command = rig.send(device)
    assert rig.ended == [command]
    assert rig.sent() == [READ[0]]
    assert (rig.driver.calls, device.online) == ([], True)
    assert rig.idle()
