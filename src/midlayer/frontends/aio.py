"""Many commands at once to one device, for programs that run on asyncio.

::

    async with midlayer.aio.open_session("/dev/sg3", depth=32) as session:
        result = await session.execute(cdb, data_in=4096)

        session.submit(Request(cdb, data_in=4096) for cdb in cdbs)
        async for pack_id, result in session:
            ...

It is a thin edge around `midlayer.Session`: commands go down in the loop's thread, and results come back
from whichever thread the driver completes in. There is no thread for each command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from midlayer.device import open_device
from midlayer.errors import DaemonError, UsageError
from midlayer.frontends.monitor import Monitor, MonitorEvent
from midlayer.mid.command import Buffer, Result
from midlayer.upper.scsimon import Gap
from midlayer.upper.sg import DEFAULT_TIMEOUT_S, BoundDevice, Request, Session
from midlayer.upper.sg.session import DEFAULT_DEPTH


@asynccontextmanager
async def open_session(
    device: str | BoundDevice, *, depth: int = DEFAULT_DEPTH
) -> AsyncIterator[AsyncSession]:
    """Open a session, and a device too if it is given by its name; both are closed at the end.

    Leaving it waits for what is on its way; leaving it by an exception, a cancellation included, aborts
    what can be aborted first. The loop goes on meanwhile.

    Args:
        device: A device that is open, or what `midlayer.open_device` takes.
        depth: Commands on their way at once.

    Raises:
        MidlayerError: What `midlayer.open_device` raises.
    """
    opened = await asyncio.to_thread(open_device, device) if isinstance(device, str) else None
    bound = opened if opened is not None else device
    assert isinstance(bound, BoundDevice)
    try:
        session = AsyncSession(bound, depth=depth)
        abort = True
        try:
            yield session
            abort = False
        finally:
            await _close(session, abort=abort)
    finally:
        if opened is not None:
            opened.close()


class AsyncSession:
    """A session of one event loop. Its methods are for that loop's thread.

    Made by `open_session`.
    """

    def __init__(self, device: BoundDevice, *, depth: int = DEFAULT_DEPTH) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = Session(device.logical_unit, depth=depth, on_ready=self._on_ready)
        self._scheduled = False
        self._awaited: dict[int, asyncio.Future[Result]] = {}
        self._mine: set[int] = set()  # what `submit` sent and nobody has received
        self._ready: deque[tuple[int, Result]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()

    @property
    def outstanding(self) -> int:
        """Commands that `submit` sent and whose results nobody has received."""
        return len(self._mine)

    async def execute(
        self,
        cdb: bytes,
        *,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Result:
        """Send one command and wait for its end, as `midlayer.execute` does. Cancelled, it is aborted."""
        (pack_id,) = self._session.submit([Request(cdb, data_out, data_in, timeout_s)])
        future: asyncio.Future[Result] = self._loop.create_future()
        self._awaited[pack_id] = future
        self._collect()  # a driver may have completed it in this thread
        if future.done():
            return future.result()
        try:
            return await future
        except asyncio.CancelledError:
            if pack_id in self._awaited:
                self._session.abort(pack_id)
            raise

    def submit(self, requests: Iterable[Request | bytes]) -> list[int]:
        """Send commands without waiting; see `Session.submit`. Their results come by `receive`."""
        pack_ids = self._session.submit(requests)
        self._mine.update(pack_ids)
        return pack_ids

    async def receive(self) -> tuple[int, Result]:
        """Wait for the next command that `submit` sent to end, and take its result.

        Raises:
            UsageError: If there is none.
        """
        if not self._mine:
            raise UsageError("nothing to receive: submit commands first")
        self._collect()
        while not self._ready:
            waiter = self._loop.create_future()
            self._receivers.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._receivers:
                    self._receivers.remove(waiter)
            if not self._mine:
                raise UsageError("nothing to receive: other tasks have received everything")
        pack_id, result = self._ready.popleft()
        self._mine.discard(pack_id)
        if not self._mine:
            self._wake()
        return pack_id, result

    def abort(self, pack_id: int) -> bool:
        """End a command before its time; see `Session.abort`."""
        return self._session.abort(pack_id)

    def close(self, *, abort: bool = False) -> None:
        """Close the session; see `Session.close`. It waits, so call it in another thread."""
        self._session.close(abort=abort)

    def __aiter__(self) -> AsyncIterator[tuple[int, Result]]:
        return self._results()

    async def _results(self) -> AsyncIterator[tuple[int, Result]]:
        while self._mine:
            yield await self.receive()

    def _on_ready(self) -> None:
        """Tell the loop, once for all that ends before it looks. Called from any thread."""
        if not self._scheduled:
            self._scheduled = True
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        self._collect()

    def _collect(self) -> None:
        if not self._session.ready:
            return
        for pack_id, result in self._session.receive_many(timeout_s=0):
            future = self._awaited.pop(pack_id, None)
            if future is None:
                self._ready.append((pack_id, result))
            elif not future.done():
                future.set_result(result)
        if self._ready:
            self._wake()

    def _wake(self) -> None:
        while self._receivers:
            waiter = self._receivers.popleft()
            if not waiter.done():
                waiter.set_result(None)


async def _close(session: AsyncSession, *, abort: bool) -> None:
    """Close a session in another thread; who cancels us meanwhile has to wait until that is done."""
    closing = asyncio.ensure_future(asyncio.to_thread(session.close, abort=abort))
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as error:
            cancelled = error
    closing.result()
    if cancelled is not None:
        raise cancelled


class AsyncMonitor:
    """Events of a daemon, for ``async for``; see `midlayer.Monitor`. It ends when the daemon ends.

    ::

        async with midlayer.aio.monitor(since=40) as events:
            async for event in events:
                ...

    Args:
        monitor: Nobody else uses it.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    @property
    def since(self) -> int:
        """Count of the last event that was given."""
        return self._monitor.since

    def __aiter__(self) -> AsyncIterator[MonitorEvent | Gap]:
        return self

    async def __anext__(self) -> MonitorEvent | Gap:
        try:
            while (item := self._monitor.poll(0)) is None:
                await _readable(self._monitor.fileno())
        except DaemonError:
            raise StopAsyncIteration from None
        return item


@asynccontextmanager
async def monitor(socket: Path | None = None, *, since: int | None = None) -> AsyncIterator[AsyncMonitor]:
    """Follow the events of a daemon; arguments and errors are those of `midlayer.Monitor`."""
    opened = await asyncio.to_thread(Monitor, socket, since=since)
    try:
        yield AsyncMonitor(opened)
    finally:
        opened.close()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
