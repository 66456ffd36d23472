"""The requests of one descriptor: added, mapped, sent, waited for, taken and forgotten.

A request that SG_IO sends and the driver answers at once takes the device's lock twice and wakes
nobody. Who has to wait, waits for `RequestQueue.waiting`.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.mid.command import Command
from midlayer.mid.dispatch import submit
from midlayer.upper.sg.device import Allocate, SgDevice, Waiting
from midlayer.upper.sg.header import DXFER_NONE, FLAG_Q_AT_TAIL, Abi
from midlayer.upper.sg.parameters import SCATTER_ELEMENT_BYTES
from midlayer.upper.sg.request import Event, Request, RequestView, State, after
from midlayer.upper.sg.transfer import SECTOR_BYTES, Plan, Transfer, os_error, prepare

if TYPE_CHECKING:
    from midlayer.upper.sg.memory import Memory

MAX_QUEUE = 16
MAX_CDB_BYTES = 32
"""What the mid level takes, whatever the header allows (SG-28)."""

MAX_TRANSFER_BYTES = 256 << 20
QUEUE_TIMEOUT_MS = 30_000
"""For a request that says 0: the time-out of the device's queue."""

PAGE_BYTES = 4096
POLL_IN_BAND, POLL_HUP_BAND = 1, 6
"""``si_code`` of the signals that `RequestQueue.fasync` stands for."""

_PRIOR, _ACT, _RCV, _FREE = State.PRIOR, State.ACT, State.RCV, State.FREE
# Rows of the table for what happens to every request; `Request.on` is for what is rare.
_SUBMITTED, _COMPLETED = after(Event.SUBMIT), after(Event.COMPLETE)
_TAKEN, _RETURNED = after(Event.TAKE), after(Event.RETURN)
# Completed, taken and returned, with the lock held all the time.
_OVER = {before: _RETURNED[_TAKEN[then]] for before, then in _COMPLETED.items()}


Owners = tuple[Callable[[int], object], ...]


class RequestQueue:
    """What a descriptor has on its way, and its reserved buffer.

    Attributes:
        device: Whose.
        abi: Form of the caller's pointers.
        bsg: The node is the bsg one: as many requests as anybody likes.
        cmd_q, keep_orphan: Set by the ioctls of these names.
        waiting: Who blocks in a call on this descriptor.
        closed: Nobody has the descriptor open; requests may still be on their way.
        reserve_busy: The reserved buffer is in use.
    """

    def __init__(self, device: SgDevice, abi: Abi, allocate: Allocate, *, bsg: bool) -> None:
        self.device = device
        self.abi = abi
        self.bsg = bsg
        self.cmd_q = False
        self.keep_orphan = 0
        self.closed = False
        self.reserve_busy = False
        self.lock = device.lock
        self._allocate = allocate
        self._monotonic = device.device.host.monotonic
        self._ended = threading.Condition(self.lock)
        self.waiting = Waiting(self._ended)
        self._requests: list[Request] = []
        self._owners: Owners = ()
        self._owners_of_sg_io: Owners = ()
        self.set_reserved(min(device.parameters.def_reserved_size, device.usual_max_bytes))

    # The life of a request

    def add(self, interface: str, sg_io_owned: bool) -> Request:
        """Begin a request.

        Raises:
            OSError: EDOM if the descriptor has as many as it may (SG-16, SG-21).
        """
        request = Request(self.device.device, interface, sg_io_owned, self.abi, self._completed)
        requests, lock = self._requests, self.lock
        lock.acquire()  # for each command, and `with` takes twice as long
        try:
            if requests and not self.bsg and len(requests) >= (MAX_QUEUE if self.cmd_q else 1):
                raise os_error(errno.EDOM)
            requests.append(request)
        finally:
            lock.release()
        return request

    def refuse(self, request: Request) -> None:
        """Take back a request that was not sent."""
        with self.lock:
            request.on(Event.REFUSE)
            self._release(request)

    def map_data(
        self, request: Request, memory: Memory, direction: int, address: int, iovec_count: int
    ) -> None:
        """Find a way for the data of a request, and set its `transfer`; None where it has no data.

        Raises:
            OSError: As `prepare`; EINVAL for 256 MiB or more (SG-27), or a CDB of more than 32 bytes (SG-28).
        """
        length = request.dxfer_len
        if length >= MAX_TRANSFER_BYTES or request.cmd_len > MAX_CDB_BYTES:
            raise os_error(errno.EINVAL)
        if length <= 0 or direction == DXFER_NONE:
            return
        device = self.device
        request.transfer = transfer = Transfer()
        plan = Plan(
            direction,
            length,
            address,
            iovec_count,
            request.flags,
            self.abi,
            request.sg_io_owned and not self.keep_orphan,
            device.parameters.allow_dio,
            device.max_bytes,
            device.sg_tablesize or 1,
        )
        prepare(plan, memory, self._claim_reserve, transfer)

    def send(self, request: Request) -> None:
        """Submit a request: at the head of the device's queue, unless its flags say at the tail (SG-30).

        Raises:
            OSError: ENODEV if the device is going away; the request is taken back then.
        """
        device, transfer = self.device, request.transfer
        if device.detaching:
            self.refuse(request)
            raise os_error(errno.ENODEV)
        trace = device.parameters.trace
        if trace is not None and trace.level():
            trace.queued(device, request)
        request.start_s = self._monotonic()  # before the state that shows it
        request.state = _SUBMITTED[request.state]
        if transfer is not None:
            request.data_out, request.data_in = transfer.data_out, transfer.data_in
        request.timeout_s = (request.timeout_ms or QUEUE_TIMEOUT_MS) / 1000
        request.at_head = not request.flags & FLAG_Q_AT_TAIL
        submit(request)

    def wait(self, request: Request) -> bool:
        """Wait for the end of a request that SG_IO owns, and take it.

        Returns:
            True if it is forgotten already, because none of its data has to be copied; else `finish` it.

        Raises:
            OSError: EINTR; the request is an orphan then, and never sent again (SG-53).
        """
        if request.state is _FREE:  # which is for ever: no need of the lock
            return True
        with self.lock:
            if request.state is _ACT:
                self.waiting.wait_for(lambda: request.state is not _ACT or self.closed)
            if request.state is _FREE:
                return True
            if request.state is not _RCV:
                request.orphan = True
                raise os_error(errno.EINTR)
            request.state = _TAKEN[request.state]
            return False

    def take(self, pack_id: int, *, nonblock: bool) -> Request:
        """Mark the oldest request that can be read (SG-41); wait for one if there is none (SG-42).

        Raises:
            OSError: EAGAIN, EINTR, ENODEV; EBADF if the descriptor was closed meanwhile.
        """
        found: list[Request] = []

        def look() -> bool:
            busy = False
            for request in self._requests:
                if request.sg_io_owned or pack_id not in (-1, request.pack_id):
                    continue
                if request.state is _RCV:
                    found.append(request)
                    return True
                busy = busy or request.state in (_PRIOR, _ACT)
            return (self.device.detaching and not busy) or self.closed

        with self.lock:
            ready = look()
            if not found and nonblock:
                raise os_error(errno.EAGAIN)
            if not ready and not self.waiting.wait_for(look):
                raise os_error(errno.EINTR)
            if not found:
                raise os_error(errno.EBADF if self.closed else errno.ENODEV)
            found[0].on(Event.TAKE)
            return found[0]

    def finish(self, request: Request) -> None:
        """The result of a request was read: forget it."""
        with self.lock:
            request.state = _RETURNED[request.state]
            self._release(request)

    def abandon(self) -> None:
        """Nobody reads results any more: drop what has ended, orphan the rest. With the lock held."""
        self.closed = True
        self._ended.notify_all()
        self._owners = self._owners_of_sg_io = ()
        for request in tuple(self._requests):
            if request.state is _RCV:
                request.on(Event.DROP)
                self._release(request)
            else:
                request.orphan = True
        self._forget_if_idle()

    # Who waits, and who wants to hear

    def fasync(self, owner: Callable[[int], object], *, on: bool = True, of_sg_io: bool = True) -> None:
        """Have a callback called with 1 (POLL_IN) at each end of a request, 6 (POLL_HUP) at the device's.

        It is called without a lock, in whatever thread the request ended, and must not block. A server
        of nodes that has to wake up a poll(2) uses it too.

        Args:
            owner: The callback.
            on: False to have it called no more.
            of_sg_io: False to hear nothing of requests that SG_IO waits for.
        """
        with self.lock:
            self._owners = _without(self._owners, owner)
            self._owners_of_sg_io = _without(self._owners_of_sg_io, owner)
            if on:
                self._owners += (owner,)
            if on and of_sg_io:
                self._owners_of_sg_io += (owner,)

    def interrupt(self, thread: int | None = None) -> bool:
        """End a call that blocks in a thread, or every one, with EINTR.

        Returns:
            False if none blocked. The call may be about to: ask again until it has returned.
        """
        with self.lock:
            return self.waiting.interrupt(thread)

    def hang_up(self) -> None:
        """The device is going away: wake up who waits."""
        with self.lock:
            self._ended.notify_all()
            owners = self._owners
        for owner in owners:
            owner(POLL_HUP_BAND)

    # What the proc files and the ioctls show

    @property
    def table(self) -> tuple[Request, ...]:
        """The requests themselves. The caller holds the lock while it looks at them."""
        return tuple(self._requests)

    @property
    def requests(self) -> tuple[RequestView, ...]:
        """The requests at one moment, in the order of submission.

        With ``device.lock`` held around it, several descriptors are seen at the same moment.
        """
        with self.lock:
            now_s = self._monotonic()
            return tuple(request.view(now_s) for request in self._requests)

    @property
    def reserved_bytes(self) -> int:
        """Bytes of the reserved buffer."""
        return len(self._reserve)

    @property
    def reserved_sgat(self) -> int:
        """Pieces of the reserved buffer."""
        return -(-len(self._reserve) // SCATTER_ELEMENT_BYTES)

    def reserved(self, length: int) -> memoryview:
        """Return the beginning of the reserved buffer."""
        return self._reserve[:length]

    def set_reserved(self, size: int) -> None:
        """Make the reserved buffer anew: whole sectors, and at least a page."""
        size = max(size, PAGE_BYTES)
        self._reserve = memoryview(self._allocate(-(-size // SECTOR_BYTES) * SECTOR_BYTES))

    # Inside

    def _completed(self, request: Command) -> None:
        assert type(request) is Request
        lock = self.lock
        lock.acquire()  # as in `add`
        try:
            request.duration_ms = int((self._monotonic() - request.start_s) * 1000)
            trace = self.device.parameters.trace
            if trace is not None and trace.level():
                trace.completed(self.device, request)
            if request.orphan:
                if self.closed or not self.keep_orphan:
                    request.on(Event.DROP)
                    self._release(request)
                    return
                request.sg_io_owned = False
            owners = self._owners
            if request.sg_io_owned:
                owners = self._owners_of_sg_io
            if request.sg_io_owned and (request.transfer is None or request.transfer.source is None):
                request.state = _OVER[request.state]
                self._release(request)
            else:
                request.state = _COMPLETED[request.state]
            if self.waiting.threads:
                self._ended.notify_all()
        finally:
            lock.release()
        for owner in owners:
            owner(POLL_IN_BAND)

    def _claim_reserve(self, length: int) -> memoryview | None:
        with self.lock:
            if self.reserve_busy or length > len(self._reserve):
                return None
            self.reserve_busy = True
            return self._reserve

    def _release(self, request: Request) -> None:
        if request.transfer is not None and request.transfer.uses_reserve:
            self.reserve_busy = False
        self._requests.remove(request)
        if self.closed:
            self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if self.closed and not self._requests and not self.bsg:
            self.device.forget(self)


def _without(owners: Owners, owner: Callable[[int], object]) -> Owners:
    return tuple(known for known in owners if known != owner)
