"""The asynchronous form of sessions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

import midlayer
from midlayer import HostByte, Request
from midlayer.errors import UsageError
from midlayer.mid.command import Command
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.testing.scripted import Answer, ScriptedDriver
from midlayer.upper.sg import BoundDevice

TUR, READ = bytes(6), bytes.fromhex("28 00 00 00 00 00 00 00 01 00")


class Driver(ScriptedDriver):
    """One disk, which keeps every READ; `answer` answers what it has from another thread."""

    can_queue = cmd_per_lun = 64

    def answer(self, count: int = 1) -> None:
        chosen = self.pending[:count]
        thread = threading.Thread(target=lambda: [one.complete(Answer(data=b"abcd")) for one in chosen])
        thread.start()
        thread.join()

    def eh_abort_handler(self, command: Command) -> int:
        for pending in list(self.pending):
            if pending.command is command:
                self.forget(pending)
        return SUCCESS


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.unit(0, 0, 0).on(READ[0], Answer(later=True))
    return driver


@pytest.fixture
def disk(driver: Driver) -> BoundDevice:
    return BoundDevice(driver.start(Subsystem(clock=FakeClock())).devices()[0])


def test_execute_on_a_driver_that_answers_at_once() -> None:
    async def run() -> str:
        async with midlayer.aio.open_session("virtual:disk?size=1M") as session:
            result = await session.execute(READ, data_in=512)
            return str(result.raise_for_status())

    assert asyncio.run(run()) == "0:0:0:0 READ(10) lba=0 blocks=1: GOOD"


def test_execute_many_at_once(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> list[bytes]:
        async with midlayer.aio.open_session(disk) as session:
            tasks = [asyncio.create_task(session.execute(READ, data_in=4)) for _ in range(20)]
            await asyncio.sleep(0)
            assert len(driver.pending) == 20
            driver.answer(20)
            return [bytes(result.data) for result in await asyncio.gather(*tasks)]

    assert asyncio.run(run()) == [b"abcd"] * 20


def test_results_are_iterated_as_they_come(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> list[int]:
        async with midlayer.aio.open_session(disk, depth=2) as session:
            assert session.submit([READ, READ, READ, TUR]) == [0, 1, 2, 3]
            other = asyncio.create_task(session.execute(READ))
            came = []
            async for pack_id, _ in results(session, driver):
                came.append(pack_id)
            await other
            assert session.outstanding == 0
            return came

    assert asyncio.run(run()) == [0, 1, 3, 2]


async def results(
    session: midlayer.frontends.aio.AsyncSession, driver: Driver
) -> AsyncIterator[tuple[int, midlayer.Result]]:
    iterator = aiter(session)
    while True:
        following = asyncio.ensure_future(anext(iterator, None))
        while not following.done():
            driver.answer()
            await asyncio.sleep(0)
        item = following.result()
        if item is None:
            break
        yield item
    driver.answer()


def test_several_tasks_receive(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> list[int]:
        async with midlayer.aio.open_session(disk) as session:
            session.submit([READ] * 3)
            tasks = [asyncio.create_task(session.receive()) for _ in range(3)]
            late = asyncio.create_task(session.receive())
            await asyncio.sleep(0)
            driver.answer(3)
            came = sorted([(await task)[0] for task in tasks])
            with pytest.raises(UsageError, match="other tasks have received everything"):
                await late
            with pytest.raises(UsageError, match="submit commands first"):
                await session.receive()
            return came

    assert asyncio.run(run()) == [0, 1, 2]


def test_a_cancelled_command_is_aborted(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> None:
        async with midlayer.aio.open_session(disk) as session:
            task = asyncio.create_task(session.execute(READ))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert driver.pending == []
            session.submit([READ])
            assert session.abort(1)
            assert (await session.receive())[1].host_byte == HostByte.DID_ABORT

    asyncio.run(run())
    assert disk.logical_unit.references == 2


def test_leaving_by_an_exception_aborts(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> None:
        async with midlayer.aio.open_session(disk) as session:
            session.submit([Request(READ, data_in=4)] * 3)
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(run())
    assert driver.pending == []
    assert disk.logical_unit.references == 2


def test_leaving_waits_and_the_loop_goes_on(disk: BoundDevice, driver: Driver) -> None:
    async def run() -> None:
        async with midlayer.aio.open_session(disk) as session:
            session.submit([READ])
            asyncio.get_running_loop().call_later(0.01, driver.answer)

    asyncio.run(run())
    assert driver.pending == []


def test_who_is_cancelled_while_it_closes_waits(disk: BoundDevice, driver: Driver) -> None:
    async def use() -> None:
        async with midlayer.aio.open_session(disk) as session:
            session.submit([READ])

    async def run() -> None:
        task = asyncio.create_task(use())
        for _ in range(3):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        driver.answer()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert disk.logical_unit.references == 2
