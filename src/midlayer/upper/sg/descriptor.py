"""A descriptor of an sg node: write, read, ioctl, poll, mmap and close, errno by errno.

The rules in brackets are those of the sg driver of Linux 6.12. A blocking call blocks its thread;
`SgFile.interrupt` ends it as a signal does.
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

from midlayer.upper.sg import ioctls, old_interface, version_3
from midlayer.upper.sg.device import Allocate, SgDevice, SgNodes
from midlayer.upper.sg.header import ILP32, LP64, OLD_HEADER, OLD_HEADER_BYTES
from midlayer.upper.sg.parameters import Caller
from midlayer.upper.sg.queue import MAX_QUEUE, PAGE_BYTES, POLL_HUP_BAND, RequestQueue
from midlayer.upper.sg.sg_io import sg_io
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.memory import Memory

__all__ = ["POLL_HUP_BAND", "ReadData", "SgDevice", "SgFile", "SgNodes"]

DEFAULT_TIMEOUT_MS = 60_000

_SG_IO = ioctls.SG_IO
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


class SgFile(RequestQueue):
    """An open descriptor. Made by `SgDevice.open`; every method may be called from any thread.

    Attributes:
        caller: Who opened it.
        nonblock: O_NONBLOCK; may be changed, as fcntl(2) does.
        may_read, may_write: By the access mode.
        force_pack_id: Set by the ioctl of this name.
        timeout_ms: For the older interface.
        timeout_ticks: The same as SG_SET_TIMEOUT was given it.
        bsg_queue: What SG_SET_COMMAND_Q of a bsg node was given; nothing follows from it.
        next_cmd_len: For the next write of the older interface; 0 for none.
        mmap_called: The reserved buffer must not change any more.
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
        super().__init__(device, ILP32 if caller.ilp32 else LP64, allocate, bsg=bsg)
        self.caller = caller
        self.nonblock = bool(flags & os.O_NONBLOCK)
        access = flags & os.O_ACCMODE
        self.may_read = access in (os.O_RDONLY, os.O_RDWR)
        self.may_write = access in (os.O_WRONLY, os.O_RDWR)
        self.force_pack_id = False
        self.timeout_ms = DEFAULT_TIMEOUT_MS
        self.timeout_ticks = 0 if bsg else DEFAULT_TIMEOUT_MS // 10  # a bsg node says 0 until it is set
        self.next_cmd_len = 0
        self.bsg_queue = 64
        self.mmap_called = False

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
            request = version_3.start(self, data, memory, False)
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
        request = self.take(pack_id, nonblock=self.nonblock)
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
        if argument < 0:
            argument &= 0xFFFF_FFFF_FFFF_FFFF
        trace = self.device.parameters.trace
        if trace is not None and trace.level():
            trace.ioctl(self.device, request, argument, is_sg_io=request == _SG_IO)
        if request == _SG_IO and not self.bsg:
            return sg_io(self, argument, memory, caller or self.caller)
        table = ioctls.BSG_TABLE if self.bsg else ioctls.TABLE
        call = ioctls.Call(self, argument, memory, caller or self.caller)
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
            return self.reserved(length)

    def close(self) -> None:
        """Close the descriptor; requests on their way become orphans (rule SG-52). Again is no error."""
        with self.lock:
            if self.closed:
                return
            if not self.bsg:
                self.device.released()
            self.abandon()
        self.device.device.put()

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
