"""A descriptor of an sg node: write, read, ioctl, poll, mmap and close, errno by errno.

The rules in brackets are those of the sg driver of Linux 6.12. A blocking call blocks its thread;
`SgFile.interrupt` ends it as a signal does.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from midlayer.mid.command import Command
from midlayer.mid.dispatch import submit
from midlayer.upper.sg import ioctls, old_interface, version_3
from midlayer.upper.sg.device import Allocate, SgDevice, SgNodes, Waiting
from midlayer.upper.sg.header import ILP32, LP64, OLD_HEADER, OLD_HEADER_BYTES
from midlayer.upper.sg.parameters import SCATTER_ELEMENT_BYTES, Caller
from midlayer.upper.sg.request import Event, Request, RequestView, State
from midlayer.upper.sg.transfer import SECTOR_BYTES, Plan, Transfer, os_error, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midlayer.upper.sg.memory import Memory

__all__ = ["ReadData", "SgDevice", "SgFile", "SgNodes"]

MAX_QUEUE = 16
MAX_CDB_BYTES = 32
"""What the mid level takes, whatever the header allows (SG-28)."""

MAX_TRANSFER_BYTES = 256 << 20
DEFAULT_TIMEOUT_MS = 60_000
QUEUE_TIMEOUT_MS = 30_000
"""For a request that says 0: the time-out of the device's queue."""

PAGE_BYTES = 4096
POLL_IN_BAND, POLL_HUP_BAND = 1, 6
"""``si_code`` of the signals that `SgFile.fasync` stands for."""

_READABLE = select.POLLIN | select.POLLRDNORM
_WRITABLE = select.POLLOUT | select.POLLWRNORM


class ReadData(bytes):
    """What read() puts into the caller's buffer.

    Attributes:
        returned: What read(2) returns: for version 3 the count that was asked for, which may be more
            than there is; for the older interface at most ``reply_len``, which may be less.
    """

    returned: int

    def __new__(cls, data: bytes, returned: int) -> ReadData:
        made = super().__new__(cls, data)
        made.returned = returned
        return made


class SgFile:
    """An open descriptor. Made by `SgDevice.open`; every method may be called from any thread.

    Attributes:
        device: What it is open on.
        nonblock: O_NONBLOCK; may be changed, as fcntl(2) does.
        cmd_q, force_pack_id, keep_orphan: Set by the ioctls of these names.
        timeout_ms: For the older interface.
        timeout_ticks: The same as SG_SET_TIMEOUT was given it.
        bsg_queue: What SG_SET_COMMAND_Q of a bsg node was given; nothing follows from it.
        next_cmd_len: For the next write of the older interface; 0 for none.
        reserved_bytes, reserved_sgat: Of the reserved buffer.
        mmap_called: It must not change any more.
        waiting: Who blocks in a call on this descriptor.
        closed: Nobody has it open; requests may still be on their way.
    """

    def __init__(
        self,
        device: SgDevice,
        flags: int,
        caller: Caller,
        *,
        bsg: bool = False,
        allocate: Allocate = bytearray,
    ) -> None:
        self.device = device
        self.caller = caller
        self.abi = ILP32 if caller.ilp32 else LP64
        self.bsg = bsg
        self.nonblock = bool(flags & os.O_NONBLOCK)
        access = flags & os.O_ACCMODE
        self.may_read = access in (os.O_RDONLY, os.O_RDWR)
        self.may_write = access in (os.O_WRONLY, os.O_RDWR)
        self.cmd_q = False
        self.force_pack_id = False
        self.keep_orphan = 0
        self.timeout_ms = DEFAULT_TIMEOUT_MS
        self.timeout_ticks = 0 if bsg else DEFAULT_TIMEOUT_MS // 10  # a bsg node says 0 until it is set
        self.next_cmd_len = 0
        self.bsg_queue = 64
        self.mmap_called = False
        self.closed = False
        self.lock = device.lock
        self._allocate = allocate
        self._reserve_busy = False
        self._ended = threading.Condition(self.lock)
        self.waiting = Waiting(self._ended)
        self._requests: list[Request] = []
        self._owners: list[Callable[[int], object]] = []
        self.set_reserved(min(device.parameters.def_reserved_size, device.usual_max_bytes))

    # What a node's caller does

    def write(
        self, data: bytes | bytearray | memoryview, memory: Memory, *, caller: Caller | None = None
    ) -> int:
        """Send a request; the result is for `read`.

        Args:
            data: What was written: a header, and what follows it in the older interface.
            memory: The caller's.
            caller: Who writes, if that is not who opened.

        Returns:
            The number of bytes taken.

        Raises:
            OSError: Rules SG-10 to SG-29.
        """
        self._check_access(writing=True, caller=caller)
        if self.device.detaching:
            raise os_error(errno.ENODEV)
        if not self.nonblock and not self.device.wait_for_recovery(self.waiting):
            raise os_error(errno.ENXIO)
        if len(data) < OLD_HEADER_BYTES:
            raise os_error(errno.EIO)
        if int.from_bytes(data[4:8], "little", signed=True) < 0:  # SG-14: reply_len
            request = version_3.start(self, data, memory, sg_io_owned=False)
        else:
            request = old_interface.start(self, data)
        self.send(request)
        return len(data)

    def read(self, count: int, header: bytes, memory: Memory, *, caller: Caller | None = None) -> ReadData:
        """Wait for a request that has ended, and return its result.

        Args:
            count: Bytes of the caller's buffer.
            header: What the buffer holds now, for force_pack_id; as much of it as a header has.
            memory: The caller's; data and sense of a version 3 request go there.
            caller: Who reads, if that is not who opened.

        Returns:
            What belongs into the buffer.

        Raises:
            OSError: Rules SG-40 to SG-45; EINTR if the wait was interrupted.
        """
        self._check_access(writing=False, caller=caller)
        pack_id = self._wanted_pack_id(count, header) if self.force_pack_id else -1
        request = self._take(pack_id)
        try:
            if request.interface:
                return ReadData(version_3.result(request, count, memory), count)
            return ReadData(*old_interface.result(request, count))
        finally:
            self.finish(request)

    def ioctl(self, request: int, argument: int, memory: Memory, *, caller: Caller | None = None) -> int:
        """Carry out an ioctl.

        Args:
            request: Its number.
            argument: A number, or an address in the caller's memory.
            memory: The caller's.
            caller: Who calls, if that is not who opened.

        Returns:
            What ioctl(2) returns.

        Raises:
            OSError: The ioctl table of the rules; EINTR if the wait was interrupted.
        """
        table = ioctls.BSG_TABLE if self.bsg else ioctls.TABLE
        call = ioctls.Call(self, argument & 0xFFFF_FFFF_FFFF_FFFF, memory, caller or self.caller)
        request &= 0xFFFF_FFFF
        handler = table.get(request)
        return handler(call) if handler is not None else ioctls.unknown(call, request)

    def poll(self) -> int:
        """Return the POLL bits that hold now (rule SG-49)."""
        with self.lock:
            events, count = 0, len(self._requests)
            if any(request.readable for request in self._requests):
                events = _READABLE
            if self.device.detaching:
                return events | select.POLLHUP
            if count < (MAX_QUEUE if self.cmd_q else 1):
                events |= _WRITABLE
            return events

    def mmap(self, length: int, offset: int) -> memoryview:
        """Return the reserved buffer (rule SG-51).

        Raises:
            OSError: EINVAL, ENOMEM.
        """
        if offset or length <= 0:
            raise os_error(errno.EINVAL)
        with self.lock:
            if -(-length // PAGE_BYTES) * PAGE_BYTES > self.reserved_bytes:
                raise os_error(errno.ENOMEM)
            self.mmap_called = True
            return self._reserve[:length]

    def close(self) -> None:
        """Close the descriptor; requests on their way become orphans (rule SG-52). Again is no error."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self._ended.notify_all()
            self._owners.clear()
            for request in tuple(self._requests):
                if request.state is State.RCV:
                    request.on(Event.DROP)
                    self._remove(request)
                else:
                    request.orphan = True
            if self.bsg:
                self.device.device.put()
                return
            self.device.released()
            self._forget_if_idle()
        self.device.device.put()

    def fasync(self, owner: Callable[[int], object], *, on: bool = True) -> None:
        """Have a callback called with 1 (POLL_IN) at each end of a request, 6 (POLL_HUP) at the device's.

        It is called without a lock, in whatever thread the request ended, and must not block. A server
        of nodes that has to wake up a poll(2) uses it too.
        """
        with self.lock:
            if owner in self._owners:
                self._owners.remove(owner)
            if on:
                self._owners.append(owner)

    def interrupt(self, thread: int | None = None) -> bool:
        """End a call that blocks in a thread, or every one, with EINTR.

        Returns:
            False if none blocked. The call may be about to: ask again until it has returned.
        """
        with self.lock:
            return self.waiting.interrupt(thread)

    # What the proc files show

    @property
    def reserved_bytes(self) -> int:
        """Bytes of the reserved buffer."""
        return len(self._reserve)

    @property
    def reserved_sgat(self) -> int:
        """Pieces of the reserved buffer."""
        return -(-len(self._reserve) // SCATTER_ELEMENT_BYTES)

    @property
    def requests(self) -> tuple[RequestView, ...]:
        """The requests at one moment, in the order of submission.

        With ``device.lock`` held around it, several descriptors are seen at the same moment.
        """
        with self.lock:
            now_s = self.device.device.host.monotonic()
            return tuple(request.view(now_s) for request in self._requests)

    # For the rest of the driver

    @property
    def table(self) -> tuple[Request, ...]:
        """The requests themselves. The caller holds the lock while it looks at them."""
        return tuple(self._requests)

    @property
    def reserve_busy(self) -> bool:
        """The reserved buffer is in use."""
        return self._reserve_busy

    def set_reserved(self, size: int) -> None:
        """Make the reserved buffer anew: whole sectors, and at least a page."""
        size = max(size, PAGE_BYTES)
        self._reserve = memoryview(self._allocate(-(-size // SECTOR_BYTES) * SECTOR_BYTES))

    def add(self, interface: str, *, sg_io_owned: bool) -> Request:
        """Begin a request.

        Raises:
            OSError: EDOM if the descriptor has as many as it may (SG-16, SG-21).
        """
        request = Request(interface, sg_io_owned=sg_io_owned, abi=self.abi)
        with self.lock:
            if not self.bsg and len(self._requests) >= (MAX_QUEUE if self.cmd_q else 1):
                raise os_error(errno.EDOM)
            self._requests.append(request)
        return request

    @contextmanager
    def refusing(self, request: Request) -> Iterator[None]:
        """Take a request back if what is inside fails."""
        try:
            yield
        except BaseException:
            with self.lock:
                request.on(Event.REFUSE)
                self._release(request)
            raise

    def map_data(
        self, request: Request, memory: Memory, *, direction: int, address: int, iovec_count: int
    ) -> None:
        """Find a way for the data of a request, and set its `transfer`.

        Raises:
            OSError: As `prepare`; EINVAL for 256 MiB or more (SG-27), or a CDB of more than 32 bytes (SG-28).
        """
        if request.dxfer_len >= MAX_TRANSFER_BYTES or request.cmd_len > MAX_CDB_BYTES:
            raise os_error(errno.EINVAL)
        request.transfer = Transfer()
        plan = Plan(
            direction=direction,
            length=request.dxfer_len,
            address=address,
            iovec_count=iovec_count,
            flags=request.flags,
            abi=self.abi,
            in_place=request.sg_io_owned and not self.keep_orphan,
            allow_dio=self.device.parameters.allow_dio,
            max_bytes=self.device.max_bytes,
            max_elements=self.device.sg_tablesize or 1,
        )
        prepare(plan, memory, self._claim_reserve, request.transfer)

    def send(self, request: tuple[Request, bytes]) -> None:
        """Submit a request that `start` of an interface made.

        Raises:
            OSError: ENODEV if the device is going away.
        """
        made, cdb = request
        transfer = made.transfer
        assert transfer is not None
        with self.refusing(made), self.lock:
            if self.device.detaching:
                raise os_error(errno.ENODEV)
            made.start_s = self.device.device.host.monotonic()
            made.on(Event.SUBMIT)

        def on_finished(command: Command) -> None:
            self._completed(made, command)

        submit(
            Command(
                self.device.device,
                cdb,
                transfer.data_out,
                transfer.data_in,
                (made.timeout_ms or QUEUE_TIMEOUT_MS) / 1000,
                0,
                True,
                on_finished,
            )
        )

    def wait(self, request: Request) -> None:
        """Wait for the end of a request that SG_IO owns, and take it.

        Raises:
            OSError: EINTR; the request is an orphan then, and never sent again (SG-53).
        """
        with self.lock:
            self.waiting.wait_for(lambda: request.state is not State.ACT or self.closed)
            if request.state is not State.RCV:
                request.orphan = True
                raise os_error(errno.EINTR)
            request.on(Event.TAKE)

    def finish(self, request: Request) -> None:
        """The result of a request was read: forget it."""
        with self.lock:
            request.on(Event.RETURN)
            self._release(request)

    def hang_up(self) -> None:
        """The device is going away: wake up who waits."""
        with self.lock:
            self._ended.notify_all()
            owners = tuple(self._owners)
        for owner in owners:
            owner(POLL_HUP_BAND)

    # Inside

    def _check_access(self, *, writing: bool, caller: Caller | None) -> None:
        if self.bsg:
            raise os_error(errno.EINVAL)
        if self.closed or not (self.may_write if writing else self.may_read):
            raise os_error(errno.EBADF)
        if caller is not None and not caller.same_credentials(self.caller):
            raise os_error(errno.EPERM)

    def _wanted_pack_id(self, count: int, header: bytes) -> int:
        if count < OLD_HEADER_BYTES or len(header) < OLD_HEADER_BYTES:
            return -1
        _, reply_len, pack_id, _, _ = OLD_HEADER.unpack_from(header)
        if reply_len >= 0:
            return int(pack_id)
        at = self.abi.pack_id_at
        if count < self.abi.size or len(header) < at + 4:
            return -1
        return int.from_bytes(header[at : at + 4], "little", signed=True)

    def _take(self, pack_id: int) -> Request:
        """Mark the oldest request that can be read (SG-41); wait for one if there is none (SG-42)."""
        found: list[Request] = []

        def look() -> bool:
            busy = False
            for request in self._requests:
                if request.sg_io_owned or pack_id not in (-1, request.pack_id):
                    continue
                if request.state is State.RCV:
                    found.append(request)
                    return True
                busy = busy or request.state in (State.PRIOR, State.ACT)
            return (self.device.detaching and not busy) or self.closed

        with self.lock:
            ready = look()
            if not found and self.nonblock:
                raise os_error(errno.EAGAIN)
            if not ready and not self.waiting.wait_for(look):
                raise os_error(errno.EINTR)
            if not found:
                raise os_error(errno.EBADF if self.closed else errno.ENODEV)
            found[0].on(Event.TAKE)
            return found[0]

    def _completed(self, request: Request, command: Command) -> None:
        with self.lock:
            request.take_answer(command, self.device.device.host.monotonic())
            if request.orphan and (self.closed or not self.keep_orphan):
                request.on(Event.DROP)
                self._release(request)
                return
            if request.orphan:
                request.sg_io_owned = False
            request.on(Event.COMPLETE)
            self._ended.notify_all()
            owners = tuple(self._owners)
        for owner in owners:
            owner(POLL_IN_BAND)

    def _claim_reserve(self, length: int) -> memoryview | None:
        with self.lock:
            if self._reserve_busy or length > len(self._reserve):
                return None
            self._reserve_busy = True
            return self._reserve

    def _release(self, request: Request) -> None:
        if request.transfer is not None and request.transfer.uses_reserve:
            self._reserve_busy = False
        self._remove(request)

    def _remove(self, request: Request) -> None:
        self._requests.remove(request)
        self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if self.closed and not self._requests:
            self.device.forget(self)
