"""Sessions: many commands at once, on a driver that completes them when the test says so."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

import midlayer
from midlayer.errors import StateError, UsageError
from midlayer.mid.command import Command, HostByte
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.testing.scripted import Answer, ScriptedDriver
from midlayer.upper.sg import Request, Session

TUR, READ = bytes(6), bytes.fromhex("28 00 00 00 00 00 00 00 01 00")


class Driver(ScriptedDriver):
    """One disk, which keeps every READ until the test completes it."""

    can_queue = cmd_per_lun = 64

    def __init__(self) -> None:
        super().__init__()
        self.unit(0, 0, 0).on(READ[0], Answer(later=True))

    def on_their_way(self) -> int:
        return len(self.pending)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def disk(driver: Driver) -> Iterator[LogicalUnit]:
    subsystem = Subsystem(clock=FakeClock())
    host = driver.start(subsystem)
    yield host.devices()[0]
    subsystem.remove_host(host)
    host.put()


def aborting(driver: Driver) -> None:
    """Give the driver an eh_abort_handler."""

    def handler(command: Command) -> int:
        for pending in list(driver.pending):
            if pending.command is command:
                driver.forget(pending)
                return SUCCESS
        return 0x2003

    driver.eh_abort_handler = handler  # type: ignore[attr-defined]


def test_results_come_in_the_order_of_their_ends(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk) as session:
        assert session.submit([READ, READ, READ]) == [0, 1, 2]
        for at in (1, 1, 0):
            driver.pending[at].complete()
        assert [session.receive()[0] for _ in range(3)] == [1, 2, 0]
        assert session.submit([TUR]) == [3]
        assert str(session.receive()[1]) == "0:0:0:0 TEST UNIT READY: GOOD"


def test_data_comes_into_the_buffer_of_its_request(disk: LogicalUnit, driver: Driver) -> None:
    mine = bytearray(4)
    with Session(disk) as session:
        session.submit([Request(READ, data_in=8), Request(READ, data_in=mine), Request(READ, data_in=mine)])
        first, second, third = list(driver.pending)
        second.complete(Answer(data=b"abcd"))
        third.complete(Answer.check(3, 0x11))
        first.complete(Answer(data=b"xy"))
        results = dict(session)
    assert (bytes(results[0].data), results[0].residual) == (b"xy", 6)
    assert mine == b"abcd"
    assert results[2].outcome == "MEDIUM ERROR, unrecovered read error (3/11/00)"
    assert results[2].driver_byte == 8


def test_depth_is_what_the_mid_level_gets_at_once(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk, depth=3) as session:
        session.submit([READ] * 10)
        for left in range(10, 0, -1):
            assert driver.on_their_way() == min(left, 3)
            driver.pending[0].complete()
        assert [pack_id for pack_id, _ in session] == list(range(10))


def test_no_limit_of_16(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk, depth=64) as session:
        session.submit([READ] * 64)
        assert driver.on_their_way() == 64
        for pending in list(driver.pending):
            pending.complete()
        assert len(session.receive_many(limit=40)) == 40
        assert len(session.receive_many()) == 24
        assert session.receive_many(timeout_s=0) == []


def test_thousands_wait_without_deep_recursion(disk: LogicalUnit, driver: Driver) -> None:
    count = sys.getrecursionlimit() * 2
    with Session(disk, depth=1) as session:
        session.submit([READ, *[TUR] * count])
        driver.pending[0].complete()
        assert len(session.receive_many()) == count + 1


def test_receive_waits_for_one(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk) as session:
        session.submit([READ, READ])
        driver.pending[0].complete()
        with pytest.raises(TimeoutError, match="no result of command 1 within 0 s"):
            session.receive(1, timeout_s=0)
        driver.pending[0].complete()
        assert session.receive(1)[0] == 1
        for pack_id, why in ((1, "received already"), (2, "never submitted"), (-1, "never submitted")):
            with pytest.raises(UsageError, match=why):
                session.receive(pack_id)
        assert session.receive()[0] == 0


def test_a_waiting_thread_gets_what_another_submits(disk: LogicalUnit, driver: Driver) -> None:
    received: list[int] = []
    with Session(disk) as session:
        threads = [threading.Thread(target=lambda: received.append(session.receive()[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        session.submit([READ] * 4)
        for pending in list(driver.pending):
            pending.complete()
        for thread in threads:
            thread.join(60)
    assert sorted(received) == [0, 1, 2, 3]


def test_many_threads_share_a_session(disk: LogicalUnit) -> None:
    received: list[int] = []

    def work(session: Session) -> None:
        for _ in range(50):
            received.extend(session.receive(pack_id)[0] for pack_id in session.submit([TUR] * 5))

    with Session(disk, depth=3) as session:
        threads = [threading.Thread(target=work, args=(session,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(received) == list(range(8 * 50 * 5))


def test_an_abort_of_what_waits_in_the_session(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk, depth=1) as session:
        session.submit([READ, Request(READ, data_in=512)])
        assert session.abort(1)
        assert not session.abort(1), "it has ended already"
        pack_id, result = session.receive()
        assert (pack_id, result.host_byte, result.residual) == (1, HostByte.DID_ABORT, 512)
        with pytest.raises(UsageError, match="received already"):
            session.abort(1)
        driver.pending[0].complete()
    assert driver.on_their_way() == 0
    assert len([cdb for _, cdb in driver.commands if cdb == READ]) == 1


def test_an_abort_by_the_driver(disk: LogicalUnit, driver: Driver) -> None:
    aborting(driver)
    with Session(disk) as session:
        session.submit([READ, READ])
        assert session.abort(0)
        assert session.receive()[1].host_byte == HostByte.DID_ABORT
        assert disk.busy == 1
        driver.pending[0].complete()
        assert session.receive() == (1, session_result(session, READ))


def session_result(session: Session, cdb: bytes) -> midlayer.Result:
    return midlayer.Result(0, 0, 0, b"", 0, 0.0, None, session.device.address, cdb)


def test_an_abort_that_no_driver_can_do(disk: LogicalUnit, driver: Driver) -> None:
    with Session(disk) as session:
        session.submit([READ])
        assert not session.abort(0)
        driver.pending[0].complete()
        assert session.receive()[1].ok


def test_leaving_waits(disk: LogicalUnit, driver: Driver) -> None:
    session = Session(disk)
    session.submit([READ, READ])
    closing = threading.Thread(target=session.close)
    closing.start()
    driver.pending[0].complete()
    driver.pending[0].complete()
    closing.join(60)
    assert not closing.is_alive()
    assert [pack_id for pack_id, _ in session] == [0, 1], "results are not lost"
    session.close()


def test_leaving_by_an_exception_aborts(disk: LogicalUnit, driver: Driver) -> None:
    aborting(driver)

    def fail(session: Session) -> None:
        with session:
            session.submit([READ] * 5)
            raise KeyError

    session = Session(disk, depth=2)
    with pytest.raises(KeyError):
        fail(session)
    assert {result.host_byte for _, result in session} == {HostByte.DID_ABORT}
    assert len([cdb for _, cdb in driver.commands if cdb == READ]) == 2, "three were never sent"
    assert disk.references == 1


def test_a_closed_session_takes_nothing(disk: LogicalUnit) -> None:
    session = Session(disk)
    session.close()
    with pytest.raises(StateError, match="the session is closed"):
        session.submit([TUR])
    with pytest.raises(StateError, match="the session is closed"):
        session.receive()


def test_a_session_holds_its_device(disk: LogicalUnit) -> None:
    with Session(disk):
        assert disk.references == 2
    assert disk.references == 1


def test_what_makes_no_sense_is_refused_and_nothing_is_sent(disk: LogicalUnit, driver: Driver) -> None:
    before = len(driver.commands)
    with Session(disk) as session:
        with pytest.raises(UsageError, match="6 to 260 bytes"):
            session.submit([TUR, b"\0"])
        with pytest.raises(UsageError, match="one way"):
            session.submit([Request(READ, data_in=1, data_out=b"1")])
        assert session.outstanding == 0
    assert len(driver.commands) == before
    with pytest.raises(UsageError, match="depth 0"):
        Session(disk, depth=0)


def test_ctrl_c_in_a_driver_costs_no_command(disk: LogicalUnit, driver: Driver) -> None:
    interrupt = Answer(raises=KeyboardInterrupt())
    driver.units[0, 0, 0].on(TUR[0], interrupt, Answer())
    session = Session(disk)
    with pytest.raises(KeyboardInterrupt):
        session.submit([TUR] * 4)
    results = dict(session)
    assert [results[at].ok for at in range(4)] == [False, True, True, True]
    session.close()


def test_a_device_of_open_device_has_sessions() -> None:
    with midlayer.open_device("virtual:disk?size=1M") as device:
        with device.session(depth=4) as session:
            session.submit([Request(READ, data_in=512)] * 20)
            assert all(result.ok and len(result.data) == 512 for _, result in session)
        assert device.logical_unit.references == 2
