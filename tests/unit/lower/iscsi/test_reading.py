"""Whoever waits for a command reads the socket; nobody waits for somebody who does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from iscsi_array import Array

from midlayer.iscsi.initiator_events import InitiatorTask
from midlayer.mid.asking import Asking, Question, Steps
from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.dispatch import run, submit
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.testing import Answer
from midlayer.upper.sg import execute

LogIn = Callable[..., Host]
TUR = bytes(6)
WAIT_S = 60.0


@pytest.fixture
def host(log_in: LogIn) -> Host:
    return log_in()


def readers(host: Host) -> list[threading.Thread]:
    """Note from now on which thread completes each command."""
    seen: list[threading.Thread] = []
    reading = host.hostdata.session._reading
    ended = reading._task_ended

    def note(task: InitiatorTask) -> None:
        seen.append(threading.current_thread())
        ended(task)

    reading._task_ended = note
    return seen


def until_it_reads(host: Host, device: LogicalUnit, seen: list[threading.Thread]) -> None:
    """Send commands until this thread completes them itself."""
    for _ in range(10_000):
        execute(device, TUR)
        if seen[-1] is threading.current_thread():
            return
    pytest.fail("the thread that waits never reads")


def test_who_waits_comes_to_read_itself(host: Host) -> None:
    seen = readers(host)
    until_it_reads(host, host.devices()[0], seen)


def test_commands_nobody_waits_for_are_completed_as_well(host: Host) -> None:
    device = host.devices()[0]
    until_it_reads(host, device, readers(host))
    ended = threading.Event()
    submit(Command(device, TUR, on_finished=lambda command: ended.set()))
    assert ended.wait(WAIT_S)


def test_who_reads_leaves_nobody_behind(host: Host, array: Array) -> None:
    seen = readers(host)
    held, other = host.devices()[3], host.devices()[0]
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))
    until_it_reads(host, other, seen)
    results: list[Result] = []
    waiting = threading.Thread(target=lambda: results.append(execute(held, TUR)))
    waiting.start()
    for _ in range(100):
        assert execute(other, TUR).ok
    while not array.scripted.pending:
        assert waiting.is_alive()
    array.scripted.pending[0].complete()
    waiting.join(WAIT_S)
    assert [result.ok for result in results] == [True]


def test_a_command_that_another_thread_ends(host: Host, array: Array) -> None:
    held, other = host.devices()[3], host.devices()[0]
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))
    until_it_reads(host, other, readers(host))
    command = Command(held, TUR)

    def give_up() -> None:  # as the error handler does
        while not array.scripted.pending:
            pass
        link, task = host.hostdata, command.host_scribble
        link.session.forget(lambda other: other is task)
        link.task_lost(task)

    giving_up = threading.Thread(target=give_up)
    giving_up.start()
    assert run(command).host_byte == HostByte.DID_TRANSPORT_DISRUPTED
    giving_up.join(WAIT_S)
    for pending in list(array.scripted.pending):
        pending.complete()


def test_the_session_is_lost_while_somebody_reads(host: Host, array: Array) -> None:
    held, other = host.devices()[3], host.devices()[0]
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))
    until_it_reads(host, other, readers(host))

    def lose() -> None:
        while not array.scripted.pending:
            pass
        host.hostdata.session.reconnect("on purpose", WAIT_S)

    losing = threading.Thread(target=lose)
    losing.start()
    assert execute(held, TUR).host_byte == HostByte.DID_TRANSPORT_DISRUPTED
    losing.join(WAIT_S)
    assert execute(other, TUR).host_byte == 0
    for pending in list(array.scripted.pending):
        pending.complete()


def steps(device: LogicalUnit, times: int = 3) -> Steps[int]:
    good = 0
    for _ in range(times):
        result = yield Question(device, TUR, bytearray(), WAIT_S)
        good += result.ok
    return good


def until_it_reads_for_many(host: Host, seen: list[threading.Thread]) -> None:
    """Have many commands under way, as a scan has, until this thread completes all of a round itself."""
    for _ in range(1000):
        before = len(seen)
        under_way = [Asking(steps(device)).begin() for device in host.devices()]
        assert [each.wait() for each in under_way] == [3] * len(under_way)
        if set(seen[before:]) == {threading.current_thread()}:
            return
    pytest.fail("the thread that waits for many never reads")


def test_who_waits_for_many_comes_to_read_itself(host: Host) -> None:
    until_it_reads_for_many(host, readers(host))


def test_who_read_for_many_and_stays_away_leaves_nobody_behind(host: Host) -> None:
    until_it_reads_for_many(host, readers(host))
    under_way = [Asking(steps(device)).begin() for device in host.devices()]
    assert under_way[0].wait() == 3
    assert all(each.over.wait(WAIT_S) for each in under_way)


def test_the_session_is_lost_while_somebody_waits_for_many(host: Host, array: Array) -> None:
    seen, link = readers(host), host.hostdata
    until_it_reads_for_many(host, seen)
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))

    def lose() -> None:
        while not array.scripted.pending:
            pass
        link.session.reconnect("on purpose", WAIT_S)

    losing = threading.Thread(target=lose)
    losing.start()
    assert Asking(steps(host.devices()[3], 1)).begin().wait() == 0
    losing.join(WAIT_S)
    for pending in list(array.scripted.pending):
        pending.complete()
