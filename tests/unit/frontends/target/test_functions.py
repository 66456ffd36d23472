"""Task management of commands that a device has: aborts, resets, and initiators that go."""

from __future__ import annotations

import pytest

from midlayer.iscsi.codes import Function, FunctionResponse
from midlayer.iscsi.initiator_events import FunctionAnswered, InitiatorTask, LogoutAnswered, TaskEnded
from midlayer.iscsi.initiator_login import Wishes
from midlayer.mid.recovery_callbacks import FAILED, SUCCESS
from midlayer.testing.scripted import Answer, ScriptedDriver

from .conftest import Serving
from .initiator import INITIATOR, LUN_0, TARGET, Initiator

READ = bytes.fromhex("28000000000000000100")
TUR = bytes(6)
OTHER = INITIATOR + ".other"
COMPLETE, REJECTED = FunctionResponse.COMPLETE, FunctionResponse.REJECTED


class Held:
    """A scripted disk that keeps READs, behind a target, with two initiators."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.driver = ScriptedDriver()
        self.driver.unit(0, 0, 0).on(0x28, Answer(later=True))
        host = self.driver.start(serving.subsystem)
        serving.subsystem.adjust_queue_depth(host.devices()[0], 8)
        port = serving.add(lun=[{"device": f"{host.host_no}:0:0:0"}])
        self.alice = serving.connect(port)
        self.bob = serving.connect(port, Wishes(OTHER, TARGET))

    def read(self, initiator: Initiator, number: int = 1) -> list[InitiatorTask]:
        """Send READs, and wait until the device has them."""
        before = len(self.driver.pending)
        tasks = [InitiatorTask(LUN_0, READ, None, memoryview(bytearray(512))) for _ in range(number)]
        for task in tasks:
            initiator.iscsi.submit(task)
        initiator.send()
        self.serving.eventually(lambda: len(self.driver.pending) == before + number)
        return tasks


@pytest.fixture
def held(serving: Serving) -> Held:
    return Held(serving)


def ask(initiator: Initiator, function: int, task: InitiatorTask | None = None) -> int:
    """Send a function and return the response; no task may end before it comes."""
    tag = initiator.iscsi.manage(function, lun=LUN_0, task=task)
    event = initiator.until(lambda event: isinstance(event, FunctionAnswered | TaskEnded))
    assert isinstance(event, FunctionAnswered)
    assert event.tag == tag
    return event.response


def test_abort_task(held: Held) -> None:
    held.driver.handle("abort", SUCCESS)
    first, second = held.read(held.alice, 2)
    assert ask(held.alice, Function.QUERY_TASK, first) == FunctionResponse.SUCCEEDED
    assert ask(held.alice, Function.ABORT_TASK, first) == COMPLETE
    assert ask(held.alice, Function.QUERY_TASK, first) == COMPLETE
    held.driver.pending[-1].complete(Answer(data=b"x" * 512))
    ended = held.alice.until(lambda event: isinstance(event, TaskEnded))
    assert isinstance(ended, TaskEnded)
    assert ended.task is second
    assert held.alice.run(TUR).status == 0


def test_a_command_that_can_not_be_aborted_ends_by_itself(held: Held) -> None:
    held.driver.handle("abort", FAILED)
    (task,) = held.read(held.alice)
    assert ask(held.alice, Function.ABORT_TASK, task) == REJECTED
    held.driver.pending[0].complete(Answer(data=b"x" * 512))
    ended = held.alice.until(lambda event: isinstance(event, TaskEnded))
    assert isinstance(ended, TaskEnded)
    assert (ended.task, bytes(task.data_in or b"")) == (task, b"x" * 512)


@pytest.mark.parametrize("function", [Function.ABORT_TASK_SET, Function.I_T_NEXUS_RESET])
def test_own_tasks_end_and_those_of_others_stay(held: Held, function: int) -> None:
    held.driver.handle("abort", SUCCESS)
    held.read(held.alice, 2)
    (others,) = held.read(held.bob)
    assert ask(held.alice, function) == COMPLETE
    assert ask(held.alice, Function.QUERY_TASK_SET) == COMPLETE
    assert ask(held.bob, Function.QUERY_TASK, others) == FunctionResponse.SUCCEEDED


def test_clear_task_set_ends_the_tasks_of_all(held: Held) -> None:
    held.driver.handle("abort", SUCCESS)
    held.read(held.alice)
    held.read(held.bob)
    assert ask(held.alice, Function.CLEAR_TASK_SET) == COMPLETE
    for initiator in (held.alice, held.bob):
        assert ask(initiator, Function.QUERY_TASK_SET) == COMPLETE


@pytest.mark.parametrize("function", [Function.LOGICAL_UNIT_RESET, Function.TARGET_WARM_RESET])
def test_a_reset_ends_the_tasks_of_all(held: Held, function: int) -> None:
    held.driver.handle("abort", SUCCESS)
    held.driver.handle("device_reset", SUCCESS)
    held.read(held.alice)
    held.read(held.bob)
    assert ask(held.alice, function) == COMPLETE
    assert "eh_device_reset_handler" in " ".join(held.driver.calls)
    for initiator in (held.alice, held.bob):
        assert ask(initiator, Function.QUERY_TASK_SET) == COMPLETE


@pytest.mark.parametrize("function", [Function.LOGICAL_UNIT_RESET, Function.TARGET_WARM_RESET])
def test_a_reset_that_the_driver_refuses_is_rejected(held: Held, function: int) -> None:
    assert ask(held.alice, function) == REJECTED


def test_what_an_initiator_left_with_the_device_is_aborted(held: Held) -> None:
    held.driver.handle("abort", SUCCESS)
    held.read(held.alice)
    held.alice.close()
    held.serving.eventually(lambda: any("abort" in call for call in held.driver.calls))
    assert held.bob.run(TUR).status == 0


@pytest.mark.parametrize("function", [Function.LOGICAL_UNIT_RESET, Function.TARGET_WARM_RESET])
def test_after_a_reset_every_initiator_is_told(serving: Serving, function: int) -> None:
    port = serving.add()
    alice, bob = serving.connect(port), serving.connect(port, Wishes(OTHER, TARGET))
    for initiator in (alice, bob):
        assert initiator.run(TUR).status == 0
    assert ask(alice, function) == COMPLETE
    for initiator in (alice, bob):
        told = initiator.run(TUR)
        assert (told.sense[2] & 15, told.sense[12], told.sense[13]) == (6, 0x29, 0x03)
        assert initiator.run(TUR).status == 0


def test_a_reservation_is_gone_when_the_logout_is_answered(serving: Serving) -> None:
    port = serving.add()
    bob = serving.connect(port, Wishes(OTHER, TARGET))
    for _ in range(20):  # in the wrong order it went well now and then
        alice = serving.connect(port)
        assert alice.run(bytes.fromhex("160000000000")).status == 0  # RESERVE(6)
        assert bob.run(TUR).status == 0x18
        alice.iscsi.logout()
        alice.until(lambda event: isinstance(event, LogoutAnswered))
        assert bob.run(TUR).status == 0


@pytest.mark.parametrize("same_port", [False, True])
def test_a_reservation_is_gone_when_its_initiator_is_back(serving: Serving, same_port: bool) -> None:
    port = serving.add()
    for _ in range(20):  # in the wrong order it went well now and then
        isid = b"\x80abcde" if same_port else None
        alice = serving.connect(port, Wishes(INITIATOR, TARGET, isid=isid) if isid else None)
        assert alice.run(bytes.fromhex("160000000000")).status == 0  # RESERVE(6)
        alice.close()
        back = serving.connect(port, Wishes(INITIATOR, TARGET, isid=isid) if isid else None)
        assert back.run(bytes.fromhex("160000000000")).status == 0
        assert serving.connect(port, Wishes(OTHER, TARGET)).run(TUR).status == 0x18, "it has its own"
        back.close()


def test_a_reservation_ends_with_its_session(serving: Serving) -> None:
    port = serving.add()
    alice, bob = serving.connect(port), serving.connect(port, Wishes(OTHER, TARGET))
    assert alice.run(bytes.fromhex("160000000000")).status == 0  # RESERVE(6)
    assert bob.run(TUR).status == 0x18
    alice.close()
    serving.eventually(lambda: bob.run(TUR).status == 0)
