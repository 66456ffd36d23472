"""sg's native interface for many commands at once: submit, receive, abort.

One thread keeps a device busy, with as many commands on their way as it likes::

    with device.session(depth=32) as session:
        pack_ids = session.submit(Request(cdb, data_in=4096) for cdb in cdbs)
        for pack_id, result in session:
            ...

It is what sg's write and read do, without their limits: no 16 commands, no result that is lost because
somebody asked for it in the wrong way, and any number of commands for one lock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Self

from midlayer.errors import StateError, UsageError
from midlayer.mid.command import Buffer, Command, HostByte, Phase, Result
from midlayer.mid.dispatch import submit as dispatch_submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.sg.buffers import DEFAULT_TIMEOUT_S, buffers
from midlayer.upper.sg.sent import Request, Sent, abort_on_its_way, result_of

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger("midlayer.sg")
DEFAULT_DEPTH = 32


class Session:
    """Many commands on their way to one device. A context manager; any number of threads may use it.

    Leaving it waits for every command that was submitted; leaving it by an exception aborts them first:
    what has not gone to the mid level never does, and what has is aborted where the driver can, and waited
    for where it can not. Results that nobody has received then can still be received.

    Args:
        device: Held, as by `BoundDevice`, until the session is closed.
        depth: Commands that go to the mid level at once; others wait in the session, in order.
        on_ready: Called after results have become ready, from any thread, with no lock held.

    Raises:
        DeviceGone: From the constructor, if the device is being removed.
        UsageError: If `depth` is below 1.
    """

    def __init__(
        self, device: LogicalUnit, *, depth: int = DEFAULT_DEPTH, on_ready: Callable[[], None] | None = None
    ) -> None:
        if depth < 1:
            raise UsageError(f"depth {depth}: a session sends at least 1 command at once")
        self.device = device.get()
        self.depth = depth
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._listeners = 0  # threads that wait for the condition
        self._last_pack_id = -1
        self._submitted: dict[int, Sent] = {}  # what nobody has received yet, in order
        self._waiting: deque[Sent] = deque()
        self._ready: dict[int, Sent] = {}  # in the order of their ends
        self._busy = 0
        self._pumps: set[int] = set()
        self._closing = self._closed = False

    @property
    def outstanding(self) -> int:
        """Commands that were submitted and whose results nobody has received."""
        return len(self._submitted)

    @property
    def ready(self) -> int:
        """Results that can be received without waiting."""
        return len(self._ready)

    def submit(self, requests: Iterable[Request | bytes]) -> list[int]:
        """Send commands; a CDB alone is a command without data. Does not wait for a device that is busy.

        Returns:
            A pack id for each, rising by 1 from 0.

        Raises:
            UsageError: If one of them makes no sense; none is sent then.
            StateError: If the session is closed.
        """
        commands = [
            self._command(*(request if type(request) is Request else (request,))) for request in requests
        ]
        with self._lock:
            if self._closing:
                raise StateError(f"{self.device.address}: the session is closed")
            pack_id = self._last_pack_id
            for command in commands:
                pack_id += 1
                command.pack_id = pack_id
                self._submitted[pack_id] = command
            pack_ids = list(range(self._last_pack_id + 1, pack_id + 1))
            self._last_pack_id = pack_id
            self._waiting.extend(commands)
        self._pump()
        return pack_ids

    def receive(self, pack_id: int | None = None, timeout_s: float | None = None) -> tuple[int, Result]:
        """Wait for a command to end, and take its result; each result is received once.

        Args:
            pack_id: Which one; None for the one that ended first.
            timeout_s: Seconds to wait; None for as long as it takes, even if nothing is submitted yet.

        Raises:
            TimeoutError: If the time is over. The result can still be received later.
            UsageError: If there is no such command, or its result was received already.
            StateError: If the session was closed meanwhile.
        """
        with self._lock:
            if not (self._ready if pack_id is None else pack_id in self._ready):
                self._wait(pack_id, timeout_s)
            if pack_id is None:
                pack_id = next(iter(self._ready))
            command = self._ready.pop(pack_id)
            del self._submitted[pack_id]
        return pack_id, result_of(command)

    def receive_many(
        self, limit: int | None = None, timeout_s: float | None = None
    ) -> list[tuple[int, Result]]:
        """Take the results that are there, in the order of their ends; wait for the first of them.

        Args:
            limit: Most results to take; None for all.
            timeout_s: Seconds to wait for the first; 0 not to wait.

        Returns:
            Pack ids and results; nothing if the time is over.

        Raises:
            StateError: If the session is closed.
        """
        with self._lock:
            if not self._ready:
                try:
                    self._wait(None, timeout_s)
                except TimeoutError:
                    return []
            commands = self._take(limit)
        return [(command.pack_id, result_of(command)) for command in commands]

    def abort(self, pack_id: int) -> bool:
        """End a command before its time. Its result says DID_ABORT, and is received like any other.

        Returns:
            True if it was aborted; False if it has ended already, or goes on because neither mid level nor
            driver can stop it.

        Raises:
            UsageError: If there is no such command, or its result was received already.
        """
        with self._lock:
            command = self._known(pack_id)
            if pack_id in self._ready:
                return False
            waits = command in self._waiting
            if waits:
                self._waiting.remove(command)
        if waits:
            self._settle([command])
            return True
        return abort_on_its_way(command)

    def close(self, *, abort: bool = False) -> None:
        """Wait for what is on its way, or abort it first, and let go of the device. Twice does nothing."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        try:
            if abort:
                self._abort_all()
            with self._lock:
                self._listeners += 1
                try:
                    self._changed.wait_for(lambda: len(self._ready) == len(self._submitted))
                finally:
                    self._listeners -= 1
        finally:
            with self._lock:
                self._closed = True
                self._changed.notify_all()
            self.device.put()

    def __iter__(self) -> Iterator[tuple[int, Result]]:
        """Receive until everything that was submitted has come, what is submitted meanwhile included."""
        while self._submitted:
            yield self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(abort=kind is not None)

    # On the way down

    def _command(
        self,
        cdb: bytes,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Sent:
        data_out, view = buffers(cdb, data_out, data_in)
        return Sent(self.device, cdb, data_out, view, timeout_s, 0, True, self._finished)

    def _pump(self) -> None:
        """Hand on what waits, as far as `depth` allows. A thread does so once, however deep it is called."""
        thread = threading.get_ident()
        if thread in self._pumps:
            return
        self._pumps.add(thread)
        batch: deque[Sent] = deque()
        try:
            while True:
                with self._lock:
                    room = self.depth - self._busy
                    if room <= 0 or not self._waiting:
                        self._pumps.discard(thread)
                        return
                    while room and self._waiting:
                        batch.append(self._waiting.popleft())
                        room -= 1
                    self._busy += len(batch)
                while batch:
                    dispatch_submit(batch.popleft())
        except BaseException:
            with self._lock:  # Ctrl-C is for whoever sits in this thread; the other commands still go
                self._pumps.discard(thread)
                self._busy -= len(batch)
                self._waiting.extendleft(reversed(batch))
            self._pump()
            raise

    # On the way up

    def _finished(self, command: Command) -> None:
        assert isinstance(command, Sent)
        if command.error is not None:
            _log.error("%s: %s", command, command.error)  # the result says DID_ERROR, which is not much
        with self._lock:
            self._ready[command.pack_id] = command
            self._busy -= 1
            if self._listeners:
                self._changed.notify_all()
        if self._waiting:
            self._pump()
        if self._on_ready is not None:
            self._on_ready()

    def _settle(self, commands: list[Sent]) -> None:
        """Give their results to commands that were aborted before they were sent."""
        for command in commands:
            command.host_byte = HostByte.DID_ABORT
            command.residual = command.requested_bytes
            command.duration_s = 0.0
        with self._lock:
            self._ready.update((command.pack_id, command) for command in commands)
            if self._listeners:
                self._changed.notify_all()
        if self._on_ready is not None:
            self._on_ready()

    def _wait(self, pack_id: int | None, timeout_s: float | None) -> None:
        """Wait until something, or one result, is ready. The caller holds the lock."""
        if pack_id is not None:
            self._known(pack_id)
        self._listeners += 1
        try:
            there = self._changed.wait_for(lambda: self._closed or self._is_ready(pack_id), timeout_s)
        finally:
            self._listeners -= 1
        if self._closed or not there:
            place = self.device.address
            if self._closed:
                raise StateError(f"{place}: the session is closed")
            what = "any command" if pack_id is None else f"command {pack_id}"
            raise TimeoutError(f"{place}: no result of {what} within {timeout_s:g} s")

    def _is_ready(self, pack_id: int | None) -> bool:
        if pack_id is None:
            return bool(self._ready)
        self._known(pack_id)  # another thread may have received it
        return pack_id in self._ready

    def _known(self, pack_id: int) -> Sent:
        command = self._submitted.get(pack_id)
        if command is None:
            state = (
                "its result was received already" if 0 <= pack_id <= self._last_pack_id else "never submitted"
            )
            raise UsageError(f"{self.device.address}: no command with pack id {pack_id}: {state}")
        return command

    def _take(self, limit: int | None) -> list[Sent]:
        if limit is None or limit >= len(self._ready):
            commands = list(self._ready.values())
            self._ready.clear()
        else:
            commands = [self._ready.pop(pack_id) for pack_id in list(self._ready)[:limit]]
        for command in commands:
            del self._submitted[command.pack_id]
        return commands

    def _abort_all(self) -> None:
        with self._lock:
            never_sent = list(self._waiting)
            self._waiting.clear()
            others = [one for one in self._submitted.values() if one.pack_id not in self._ready]
        self._settle(never_sent)
        for command in others:
            if command.phase is not Phase.FINISHED:
                abort_on_its_way(command)
