"""Open files of FUSE and CUSE: nodes, and texts."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.connection import Call, Connection, Handler
from midlayer.frontends.nodes.fuse.process_memory import ProcessMemory, buffer_of_read
from midlayer.frontends.nodes.fuse.protocol import Opcode
from midlayer.upper.scsimon.node import ScsimonFile, ScsimonNode
from midlayer.upper.sg.descriptor import SgFile
from midlayer.upper.sg.device import SgDevice
from midlayer.upper.sg.header import ILP32, LP64
from midlayer.upper.sg.parameters import Caller

_HEADER_BYTES = 88


class Handle(Protocol):
    """What a program has open.

    Attributes:
        opened: OPENED_ flags for the kernel.
    """

    opened: int

    def read(self, call: Call, size: int, offset: int, flags: int) -> bytes:
        """Return bytes."""

    def write(self, call: Call, data: bytes, flags: int) -> int:
        """Return how many bytes were taken."""

    def ioctl(self, call: Call, number: int, argument: int, flags: int) -> int:
        """Carry out an ioctl."""

    def poll(self, notify: Callable[[], None] | None) -> int:
        """Return what holds now; `notify` is to be called once when that may have changed."""

    def close(self) -> None:
        """The last descriptor is closed."""


class NodeHandle:
    """An open sg, bsg or scsimon node.

    Args:
        device: To open.
        flags: Of open(2), without O_EXCL: the protocol does not tell of it.
        call: Who opens.
        owner: Whose process serves; that user and root have every right.
    """

    opened = protocol.OPENED_DIRECT_IO | protocol.OPENED_STREAM | protocol.OPENED_PARALLEL_WRITES

    def __init__(
        self, device: SgDevice | ScsimonNode, flags: int, call: Call, *, owner: int, bsg: bool = False
    ) -> None:
        self._owner = owner
        self._uid = call.uid
        self._opener = _caller(call, owner)
        call.interruptible = device.interrupt
        self.file: SgFile | ScsimonFile = device.open(flags, caller=self._opener, bsg=bsg)
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []
        self.file.fasync(self._wake)

    def read(self, call: Call, size: int, offset: int, flags: int) -> bytes:
        file, memory = self._for(call), ProcessMemory(call.thread)
        file.nonblock = flags & os.O_NONBLOCK != 0
        header = b""
        if file.force_pack_id:
            buffer = buffer_of_read(call.thread, size)
            header = memory.read(buffer, min(size, _HEADER_BYTES)) if buffer else b""
        return bytes(file.read(size, header, memory, caller=_caller(call, self._owner)))

    def write(self, call: Call, data: bytes, flags: int) -> int:
        file = self._for(call)
        file.nonblock = flags & os.O_NONBLOCK != 0
        return file.write(data, ProcessMemory(call.thread), caller=_caller(call, self._owner))

    def ioctl(self, call: Call, number: int, argument: int, flags: int) -> int:
        file = self._for(call)
        file.abi = ILP32 if flags & protocol.IOCTL_32BIT else LP64
        caller = self._opener if call.uid == self._uid else _caller(call, self._owner)
        return file.ioctl(number, argument, ProcessMemory(call.thread), caller=caller)

    def poll(self, notify: Callable[[], None] | None) -> int:
        if notify is not None:
            with self._lock:
                self._waiting.append(notify)
        return self.file.poll()

    def close(self) -> None:
        self.file.fasync(self._wake, on=False)
        self.file.close()

    def _for(self, call: Call) -> SgFile | ScsimonFile:
        """Let in who may use the device: who opened it, and who has every right. Before memory is touched.

        Raises:
            OSError: EPERM.
        """
        if call.uid not in (self._uid, self._owner, 0):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        call.interruptible = self.file.interrupt
        return self.file

    def _wake(self, band: int) -> None:
        if not self._waiting:  # `poll` looks at the file after it has put something there
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for notify in waiting:
            notify()


class TextHandle:
    """A file whose text was made at the opening, or whose writes are obeyed."""

    opened = protocol.OPENED_DIRECT_IO

    def __init__(self, text: bytes, obey: Callable[[bytes], int] | None = None) -> None:
        self._text = text
        self._obey = obey

    def read(self, call: Call, size: int, offset: int, flags: int) -> bytes:
        return self._text[offset : offset + size]

    def write(self, call: Call, data: bytes, flags: int) -> int:
        if self._obey is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._obey(data)

    def ioctl(self, call: Call, number: int, argument: int, flags: int) -> int:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    def poll(self, notify: Callable[[], None] | None) -> int:
        return select.POLLIN | select.POLLOUT

    def close(self) -> None:
        pass


class Handles:
    """Everything that is open over one connection, and the requests to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: dict[int, Handle] = {}
        self._last = 0
        self.connection: Connection | None = None
        self.handlers: dict[int, Handler] = {
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.IOCTL: self._ioctl,
            Opcode.POLL: self._poll,
            Opcode.RELEASE: self._release,
            Opcode.FLUSH: _nothing,
            Opcode.FSYNC: _nothing,
        }

    def opened(self, handle: Handle) -> bytes:
        """Keep a handle, and return the answer to its opening."""
        with self._lock:
            self._last += 1
            self._handles[self._last] = handle
            return protocol.OPEN_OUT.pack(self._last, handle.opened)

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            handles, self._handles = list(self._handles.values()), {}
        for handle in handles:
            handle.close()

    def _get(self, number: int) -> Handle:
        handle = self._handles.get(number)
        if handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def _read(self, call: Call) -> bytes:
        number, offset, size, _, _, flags = protocol.READ_IN.unpack_from(call.body)
        return self._get(number).read(call, size, offset, flags)

    def _write(self, call: Call) -> bytes:
        number, _, size, _, _, flags = protocol.WRITE_IN.unpack_from(call.body)
        at = protocol.WRITE_IN.size
        return protocol.WRITE_OUT.pack(self._get(number).write(call, bytes(call.body[at : at + size]), flags))

    def _ioctl(self, call: Call) -> bytes:
        number, flags, command, argument, _, _ = protocol.IOCTL_IN.unpack_from(call.body)
        result = self._get(number).ioctl(call, command, argument, flags)
        return protocol.IOCTL_OUT.pack(result, 0, 0, 0)

    def _poll(self, call: Call) -> bytes:
        number, kernel_handle, flags, _ = protocol.POLL_IN.unpack_from(call.body)
        notify = None
        if flags & protocol.POLL_SCHEDULE_NOTIFY and (connection := self.connection) is not None:

            def notify() -> None:
                connection.notify_poll(kernel_handle)

        return protocol.POLL_OUT.pack(self._get(number).poll(notify))

    def _release(self, call: Call) -> bytes:
        number = protocol.RELEASE_IN.unpack_from(call.body)[0]
        with self._lock:
            handle = self._handles.pop(number, None)
        if handle is not None:
            handle.close()
        return b""


def _nothing(call: Call) -> bytes:
    return b""


def _caller(call: Call, owner: int) -> Caller:
    if call.uid in (0, owner):
        return _WITH_EVERY_RIGHT
    return Caller(uid=call.uid, pid=call.thread)


_WITH_EVERY_RIGHT = Caller(sys_admin=True, sys_rawio=True)
