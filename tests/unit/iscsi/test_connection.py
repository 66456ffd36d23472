"""Both roles against each other: commands, data both ways, functions, text, logout."""

from __future__ import annotations

import pytest

from midlayer.iscsi.codes import AsyncEvent, Function, FunctionResponse, RejectReason
from midlayer.iscsi.errors import DigestError, ProtocolError
from midlayer.iscsi.initiator_events import (
    FunctionAnswered,
    InitiatorTask,
    LogoutAnswered,
    MessageCame,
    PingAnswered,
    Rejected,
    SessionBegun,
    TaskEnded,
    TextAnswered,
)
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.state import State
from midlayer.iscsi.target import MAX_IMMEDIATE, WINDOW
from midlayer.iscsi.target_events import Broken, FunctionRequest, LoggedIn, LoggedOut
from midlayer.iscsi.task import Task

from .wire import INITIATOR, LUN_0, TARGET, Cable, Policy

READ_10 = bytes.fromhex("28000000000000000800")
WRITE_10 = bytes.fromhex("2a000000000000000800")
CHECK_CONDITION = 2


def logged_in(step: int = 1 << 30, **wanted: object) -> Cable:
    """Return a cable whose session has begun; `wanted` are the initiator's wishes."""
    cable = Cable(wishes=Wishes(INITIATOR, TARGET, wanted=dict(wanted)), step=step).run()  # type: ignore[arg-type]
    assert [type(event) for event in cable.at_initiator] == [SessionBegun]
    assert [type(event) for event in cable.at_target] == [LoggedIn]
    cable.take_initiator()
    cable.take_target()
    return cable


def task_at_target(cable: Cable) -> Task:
    (task,) = cable.take_target()
    assert isinstance(task, Task)
    return task


def ended(cable: Cable) -> InitiatorTask:
    (event,) = cable.take_initiator()
    assert isinstance(event, TaskEnded)
    return event.task


DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


@pytest.mark.parametrize("step", [1 << 30, 1000, 7])
@pytest.mark.parametrize("digests", [{}, DIGESTS], ids=["plain", "digests"])
@pytest.mark.parametrize("length", [4096, 4095, 100_001])
def test_read(step: int, digests: dict[str, str], length: int) -> None:
    cable = logged_in(step, **digests)
    stored = bytes(index * 7 & 0xFF for index in range(length))
    buffer = bytearray(length)
    cable.initiator.submit(InitiatorTask(LUN_0, READ_10, data_in=memoryview(buffer)))
    task = task_at_target(cable)
    assert (task.cdb, task.read, task.write, task.expected_bytes) == (READ_10, True, False, length)
    cable.target.respond(task, 0, data=memoryview(stored))
    answer = ended(cable)
    assert (answer.status, answer.residual, answer.received_bytes) == (0, 0, length)
    assert buffer == stored


@pytest.mark.parametrize("step", [1 << 30, 1000, 7])
@pytest.mark.parametrize("digests", [{}, DIGESTS], ids=["plain", "digests"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"ImmediateData": False},
        {"InitialR2T": True},
        {"InitialR2T": True, "ImmediateData": False},
        {"InitialR2T": True, "MaxBurstLength": 8192, "FirstBurstLength": 1024},
        {"MaxOutstandingR2T": 1, "MaxBurstLength": 16384, "FirstBurstLength": 4096},
    ],
    ids=str,
)
def test_write(step: int, digests: dict[str, str], wanted: dict[str, object]) -> None:
    cable = logged_in(step, **wanted, **digests)
    data = bytes(index * 11 & 0xFF for index in range(100_003))
    cable.initiator.submit(InitiatorTask(LUN_0, WRITE_10, data_out=data))
    task = task_at_target(cable)
    assert task.data_out == data
    cable.target.respond(task, 0)
    assert ended(cable).status == 0
    assert not cable.target.tasks


def test_read_in_many_segments_has_bursts() -> None:
    cable = logged_in(MaxRecvDataSegmentLength=512, MaxBurstLength=1024)
    buffer = bytearray(3000)
    cable.initiator.submit(InitiatorTask(LUN_0, READ_10, data_in=memoryview(buffer)))
    cable.target.respond(task_at_target(cable), 0, data=bytes(range(250)) * 12)
    headers = [bytes(piece) for piece in cable.target.output if len(piece) == 48]
    assert [header[1] & 0x80 for header in headers[:-1]] == [0, 0x80, 0, 0x80, 0, 0x80]
    assert [int.from_bytes(header[36:40], "big") for header in headers] == [0, 1, 2, 3, 4, 5, 6]
    assert ended(cable).received_bytes == 3000


def test_sense_and_residual() -> None:
    cable = logged_in()
    cable.initiator.submit(InitiatorTask(LUN_0, READ_10, data_in=memoryview(bytearray(4096))))
    sense = bytes.fromhex("700005000000000a00000000240000000000")
    cable.target.respond(task_at_target(cable), CHECK_CONDITION, sense, residual=4096)
    answer = ended(cable)
    assert (answer.status, answer.sense, answer.residual) == (CHECK_CONDITION, sense, 4096)


def test_overflow_is_a_negative_residual() -> None:
    cable = logged_in()
    cable.initiator.submit(InitiatorTask(LUN_0, READ_10, data_in=memoryview(bytearray(100))))
    cable.target.respond(task_at_target(cable), 0, data=bytes(100), residual=-3996)
    assert ended(cable).residual == -3996


def test_long_cdbs_go_in_an_additional_segment() -> None:
    cable = logged_in(**DIGESTS)
    cdb = bytes.fromhex("7f000000000000180009") + bytes(range(22))
    cable.initiator.submit(InitiatorTask(LUN_0, cdb))
    assert task_at_target(cable).cdb == cdb


def test_the_window_closes_and_opens() -> None:
    cable = logged_in()
    for _ in range(WINDOW + 2):
        cable.initiator.submit(InitiatorTask(LUN_0, bytes(6)))
    tasks = cable.take_target()
    assert len(tasks) == WINDOW
    assert len(cable.initiator.waiting) == 2
    assert cable.initiator.window == 0
    for task in reversed(tasks):
        assert isinstance(task, Task)
        cable.target.respond(task, 0)
    assert len(cable.take_initiator()) == WINDOW
    assert len(cable.take_target()) == 2


def test_commands_outside_the_window_are_ignored_and_gaps_wait() -> None:
    cable = logged_in()
    for _ in range(3):
        cable.initiator.submit(InitiatorTask(LUN_0, bytes(6)))
    first, second, third = (bytes(piece) for piece in cable.initiator.take_output())
    too_high = bytearray(first)
    too_high[24:28] = (int.from_bytes(first[24:28], "big") + WINDOW + 1).to_bytes(4, "big")
    cable.target.reader.feed(bytes(too_high) + third + second)
    assert cable.target.next_event() is None
    cable.target.reader.feed(first)
    events = [cable.target.next_event() for _ in range(3)]
    assert [event.tag for event in events if isinstance(event, Task)] == [
        int.from_bytes(header[16:20], "big") for header in (first, second, third)
    ]
    cable.target.reader.feed(second)
    assert cable.target.next_event() is None, "a command number that is used up"


def test_functions() -> None:
    cable = logged_in()
    task = InitiatorTask(LUN_0, bytes(6))
    cable.initiator.submit(task)
    at_target = task_at_target(cable)
    tag = cable.initiator.manage(Function.ABORT_TASK, task=task)
    (request,) = cable.take_target()
    assert isinstance(request, FunctionRequest)
    assert (request.function, request.referenced_tag) == (Function.ABORT_TASK, at_target.tag)
    cable.target.abort(at_target)
    cable.target.respond_function(request, FunctionResponse.COMPLETE)
    cable.target.respond(at_target, 0)
    assert cable.take_initiator() == [FunctionAnswered(tag, FunctionResponse.COMPLETE)]
    assert not cable.target.tasks


def test_a_task_that_an_abort_overtook() -> None:
    cable = logged_in()
    cable.initiator.submit(InitiatorTask(LUN_0, bytes(6)))
    lost = bytes(cable.initiator.take_output()[0])
    cmd_sn = int.from_bytes(lost[24:28], "big")
    assert cable.target.aborted_before_it_came(cmd_sn)
    assert not cable.target.aborted_before_it_came(cmd_sn)
    cable.target.reader.feed(lost)
    assert cable.target.next_event() is None


def test_pings_both_ways() -> None:
    cable = logged_in()
    tag = cable.initiator.ping(b"there?")
    assert cable.take_initiator() == [PingAnswered(tag, b"there?")]
    cable.target.ping()
    assert cable.target.pings == 1
    assert cable.take_initiator() == []
    assert cable.target.pings == 0


def test_send_targets() -> None:
    cable = Cable(wishes=Wishes(INITIATOR)).run()
    cable.take_initiator()
    tag = cable.initiator.send_targets()
    expected = [("TargetName", TARGET), ("TargetAddress", "192.0.2.1:3260,1")]
    assert cable.take_initiator() == [TextAnswered(tag, expected)]


def test_many_targets_come_in_pieces() -> None:
    names = tuple(f"{TARGET}-{number:04}" for number in range(500))
    cable = Cable(Policy(targets=names), wishes=Wishes(INITIATOR, wanted={"MaxRecvDataSegmentLength": 512}))
    cable.run().take_initiator()
    cable.initiator.send_targets()
    (event,) = cable.take_initiator()
    assert isinstance(event, TextAnswered)
    assert [value for key, value in event.pairs if key == "TargetName"] == list(names)


def test_send_targets_in_a_normal_session_gives_its_own_alone() -> None:
    cable = logged_in()
    cable.initiator.send_targets("")
    cable.initiator.send_targets("All")
    own, everything = cable.take_initiator()
    assert isinstance(own, TextAnswered)
    assert isinstance(everything, TextAnswered)
    assert ("TargetName", TARGET) in own.pairs
    assert everything.pairs == [("SendTargets", "Reject")]


def test_text_that_nobody_understands() -> None:
    cable = logged_in()
    tag = cable.initiator.send_text([("X-com.example.key", "1"), ("MaxBurstLength", "512")])
    expected = [("X-com.example.key", "NotUnderstood"), ("MaxBurstLength", "Reject")]
    assert cable.take_initiator() == [TextAnswered(tag, expected)]


def test_commands_in_a_discovery_session_are_rejected() -> None:
    cable = Cable(wishes=Wishes(INITIATOR)).run()
    cable.take_initiator()
    cable.take_target()
    task = InitiatorTask(LUN_0, bytes(6))
    cable.initiator.submit(task)
    (rejected,) = cable.take_initiator()
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.task) == (RejectReason.COMMAND_NOT_SUPPORTED, task)
    assert cable.target.closed


@pytest.mark.parametrize("reason", [0, 1])
def test_logout(reason: int) -> None:
    cable = logged_in()
    cable.initiator.logout(reason)
    assert cable.take_initiator() == [LogoutAnswered(0, 0, 0)]
    assert cable.take_target() == [LoggedOut(reason)]
    assert cable.initiator.closed
    assert cable.target.closed
    with pytest.raises(ProtocolError, match="closed"):
        cable.initiator.submit(InitiatorTask(LUN_0, bytes(6)))


def test_logout_for_recovery_is_not_supported() -> None:
    cable = logged_in()
    cable.initiator.logout(2)
    assert cable.take_initiator() == [LogoutAnswered(2, 0, 0)]
    assert cable.target.state is State.LOGGED_IN


def test_asynchronous_messages() -> None:
    cable = logged_in()
    sense = bytes.fromhex("70000600000000000a00000000290000")
    cable.target.send_async(AsyncEvent.SCSI_EVENT, data=len(sense).to_bytes(2, "big") + sense)
    cable.target.send_async(AsyncEvent.REQUEST_LOGOUT, parameters=(0, 0, 10))
    scsi, logout = cable.take_initiator()
    assert isinstance(scsi, MessageCame)
    assert scsi.sense == sense
    assert isinstance(logout, MessageCame)
    assert logout.parameters == (0, 0, 10)
    assert cable.initiator.logout_requested


@pytest.mark.parametrize(
    ("position", "reason"), [(30, RejectReason.PROTOCOL_ERROR), (60, RejectReason.DATA_DIGEST_ERROR)]
)
def test_a_wrong_digest_ends_the_connection(position: int, reason: RejectReason) -> None:
    cable = logged_in(**DIGESTS)
    cable.initiator.submit(InitiatorTask(LUN_0, WRITE_10, data_out=bytes(4096)))
    sent = bytearray(b"".join(cable.initiator.take_output()))
    sent[position] ^= 1
    cable.target.reader.feed(bytes(sent))
    event = cable.target.next_event()
    assert isinstance(event, Broken)
    assert isinstance(event.error, DigestError)
    assert event.error.reason is reason
    assert cable.target.closed


def test_snack_is_rejected_and_the_session_lives() -> None:
    cable = logged_in()
    snack = bytearray(48)
    snack[0], snack[1] = 0x10, 0x81
    cable.target.reader.feed(bytes(snack))
    assert cable.target.next_event() is None
    (rejected,) = cable.take_initiator()
    assert isinstance(rejected, Rejected)
    assert rejected.reason == RejectReason.SNACK_REJECT
    assert not cable.target.closed


def test_too_many_immediate_commands() -> None:
    cable = logged_in()
    cable.initiator.submit(InitiatorTask(LUN_0, bytes(6)))
    command = bytearray(cable.initiator.take_output()[0])
    command[0] |= 0x40
    for number in range(MAX_IMMEDIATE + 1):
        command[16:20] = (1000 + number).to_bytes(4, "big")
        cable.target.reader.feed(bytes(command))
    events = [cable.target.next_event() for _ in range(MAX_IMMEDIATE + 1)]
    assert isinstance(events[-1], Broken)
    assert events[-1].error.reason is RejectReason.TOO_MANY_IMMEDIATE_COMMANDS


def test_a_write_that_is_too_long_is_refused_before_its_data() -> None:
    cable = logged_in(InitialR2T=True)
    huge = memoryview(bytearray(1)).cast("B")
    task = InitiatorTask(LUN_0, WRITE_10, data_out=huge)
    cable.initiator.submit(task)
    command = bytearray(b"".join(cable.initiator.take_output()))
    command[5:8], command[20:24] = b"\0\0\0", b"\xff\xff\xff\xff"
    cable.target.reader.feed(bytes(command[:48]))
    assert cable.target.next_event() is None
    answer = ended(cable)
    assert answer.status == CHECK_CONDITION
    assert answer.sense[12] == 0x24
