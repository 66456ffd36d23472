"""Recovery whatever the driver does: the steps are those of the ladder, and every command ends once."""

from __future__ import annotations

import itertools
import logging

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from midlayer.mid.command import Command, FailFast, HostByte, Phase
from midlayer.mid.dispatch import submit
from midlayer.mid.error_handler import abort_command, reset
from midlayer.mid.host import HostState
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS, TimeOut
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver

TUR, READ, INQUIRY, REPORT_LUNS = 0x00, 0x28, 0x12, 0xA0
LATER = Answer(later=True)
RESETS = ("device_reset", "target_reset", "bus_reset", "host_reset")
OUTCOMES = (None, FAILED, SUCCESS)  # None: the driver has no such handler


def expected_steps(handlers: tuple[int | None, ...], *, ready: bool) -> list[str]:
    """What the kernel's document says of one lost command; handlers are abort and then the resets."""
    if handlers == (None,) * 5:
        return []
    words = {SUCCESS: "success", FAILED: "failed"}
    abort, *resets = handlers
    steps = ["time out"]
    if abort is not None:
        steps.append(f"abort {words[abort]}")
        if abort == SUCCESS:
            return [*steps, "give up"]
    steps.append("begin")
    for name, outcome in zip(RESETS, resets, strict=True):
        if outcome is not None:
            steps.append(f"{name.replace('_', ' ')} {words[outcome]}")
        if outcome == SUCCESS:
            steps.append(f"test unit ready {'success' if ready else 'failed'}")
            if ready:
                return [*steps, "give up", "end"]
    return [*steps, "offline", "give up", "end"]


@pytest.mark.parametrize("ready", [True, False])
def test_the_steps_are_those_of_the_ladder(ready: bool) -> None:
    for handlers in itertools.product(OUTCOMES, repeat=5):
        driver, clock = ScriptedDriver(), FakeClock()
        unit = driver.unit(0, 0, 0)
        unit.on(READ, LATER)
        for name, outcome in zip(("abort", *RESETS), handlers, strict=True):
            if outcome is not None:
                driver.handle(name, outcome)
        host = driver.start(Subsystem(clock=clock))
        unit.on(TUR, Answer() if ready else Answer(host_byte=HostByte.DID_ERROR))
        ended: list[Command] = []
        command = Command(host.devices()[0], bytes((READ, *bytes(9))), on_finished=ended.append)
        submit(command)
        clock.advance(60 + 0.01 + 10 + 10)
        noted = [
            f"{step.action} {step.outcome}" if step.outcome in ("success", "failed") else str(step.action)
            for step in host.error_handler.recent
        ]
        assert noted == expected_steps(handlers, ready=ready), handlers
        assert ended == [command]
        assert command.host_byte == HostByte.DID_TIME_OUT
        assert host.devices()[0].state is (DeviceState.OFFLINE if "offline" in noted else DeviceState.RUNNING)
        assert (host.state, host.busy, host.detour, clock.pending()) == (HostState.RUNNING, 0, 0, [])


ANSWERS = st.sampled_from(
    [
        LATER, LATER, LATER,
        Answer(),
        Answer(status=0x08),
        Answer(status=0x28),
        Answer(status=0x02),  # no sense data
        Answer(status=0x40),
        Answer(status=0x06),  # no such status
        Answer(busy=0x1055),
        Answer(busy=0x1056),
        Answer(raises=RuntimeError("oops")),
        *[Answer(host_byte=byte) for byte in (1, 3, 5, 7, 8, 0x0A, 0x0D, 0x55)],
        *[Answer.check(key, *code) for key, code in ((6, (0x29,)), (2, (4, 2)), (0xB, ()), (3, (0x10,)))],
    ]
)  # fmt: skip
VERDICTS = st.sampled_from([SUCCESS, SUCCESS, FAILED, FAST_IO_FAIL, None, "nonsense", RuntimeError("oops")])
TIME_OUTS = st.sampled_from([TimeOut.NOT_HANDLED, TimeOut.DONE, RuntimeError("oops"), 99, None])


class EveryCommandEnds(RuleBasedStateMachine):
    """Commands, answers, time, resets and removals at random."""

    def __init__(self) -> None:
        super().__init__()
        logging.getLogger("midlayer").setLevel(logging.CRITICAL)
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.driver = ScriptedDriver()
        self.driver.can_queue = 4
        self.driver.track_queue_depth = True
        for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0)):
            self.driver.unit(*place)
        self.host = self.driver.start(self.subsystem)
        self.devices = self.subsystem.devices()
        self.sent: list[Command] = []
        self.ended: list[Command] = []
        self.removed = False

    @rule(step=st.sampled_from(("abort", *RESETS)), verdicts=st.lists(VERDICTS, min_size=1, max_size=3))
    def give_handler(self, step: str, verdicts: list[object]) -> None:
        self.driver.handle(step, *verdicts)

    @rule(verdicts=st.lists(TIME_OUTS, min_size=1, max_size=3))
    def give_time_out_handler(self, verdicts: list[object]) -> None:
        self.driver.handle("eh_timed_out", *verdicts)

    @rule(scope=st.sampled_from(["host", "target", "device"]), deadline=st.sampled_from([-1, 0, 5]))
    def configure(self, scope: str, deadline: int) -> None:
        if not self.host.error_handler.recoveries:
            self.host.eh_scope = scope
        self.host.eh_deadline = deadline

    @rule(
        pick=st.integers(0, 2), opcode=st.sampled_from([READ, TUR, 0x03, 0x1B]), answer=ANSWERS, then=ANSWERS
    )
    def script(self, pick: int, opcode: int, answer: Answer, then: Answer) -> None:
        self.driver.units[self.devices[pick].address[1:]].on(opcode, answer, then)

    @rule(pick=st.integers(0, 2), opcode=st.sampled_from([READ, TUR]), allowed=st.integers(0, 3),
          at_head=st.booleans(), passthrough=st.booleans(), fast=st.booleans())  # fmt: skip
    def send(
        self, pick: int, opcode: int, allowed: int, at_head: bool, passthrough: bool, fast: bool
    ) -> None:
        command = Command(
            self.devices[pick], bytes((opcode, *bytes(5))), None, memoryview(bytearray(8)), 5.0, allowed,
            passthrough, self.ended.append,
        )  # fmt: skip
        command.at_head = at_head
        if fast:
            command.failfast = FailFast.DEVICE | FailFast.DRIVER
        self.sent.append(command)
        submit(command)

    @precondition(lambda self: self.driver.pending)
    @rule(pick=st.integers(0, 99), answer=ANSWERS, twice=st.booleans())
    def complete(self, pick: int, answer: Answer, twice: bool) -> None:
        pending = self.driver.pending[pick % len(self.driver.pending)]
        before = pending.command.phase
        pending.complete(answer)
        # A second `done` for a command that is with the driver again would be taken for its answer.
        if twice and pending.command.phase is Phase.FINISHED and before is not Phase.FINISHED:
            pending.done(pending.command)

    @rule(seconds=st.sampled_from([0.003, 0.01, 1.0, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 99))
    def abort(self, pick: int) -> None:
        abort_command(self.sent[pick % len(self.sent)])

    @precondition(lambda self: not self.removed)
    @rule(
        pick=st.integers(0, 2), level=st.sampled_from(["device", "target", "bus", "host"]), up=st.booleans()
    )
    def reset(self, pick: int, level: str, up: bool) -> None:
        reset(self.devices[pick], level, escalate=up)

    @rule(pick=st.integers(0, 2))
    def online(self, pick: int) -> None:
        device = self.devices[pick]
        if device.state is DeviceState.OFFLINE:
            self.subsystem.set_device_state(device, DeviceState.RUNNING)

    @rule(pick=st.integers(0, 2))
    def remove_device(self, pick: int) -> None:
        self.subsystem.remove_device(self.devices[pick])

    @rule()
    def remove_host(self) -> None:
        self.subsystem.remove_host(self.host)
        self.removed = True

    @invariant()
    def no_command_ends_twice(self) -> None:
        assert len({id(command) for command in self.ended}) == len(self.ended)
        with_driver = (Phase.ISSUED, Phase.LOST)
        assert self.host.busy == sum(command.phase in with_driver for command in self.sent)
        assert self.host.busy <= self.host.can_queue
        assert self.host.waiting == sum(command.phase is Phase.QUEUED for command in self.sent)

    def teardown(self) -> None:
        for unit in self.driver.units.values():
            unit.scripts.clear()
        self.driver.handle("eh_timed_out", TimeOut.NOT_HANDLED)
        self.clock.advance(1000)
        assert [command for command in self.sent if command.phase is not Phase.FINISHED] == []
        assert len(self.ended) == len(self.sent)
        assert (self.host.busy, self.host.waiting, self.host.held) == (0, 0, 0)
        assert self.host.detour == self.host.watched
        assert self.host.state is (HostState.DEL if self.removed else HostState.RUNNING)
        assert self.host.error_handler.recoveries == {}
        logging.getLogger("midlayer").setLevel(logging.NOTSET)


TestEveryCommandEnds = EveryCommandEnds.TestCase
TestEveryCommandEnds.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
