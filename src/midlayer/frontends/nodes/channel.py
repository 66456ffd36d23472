"""One thread of a program: its requests, in turn, carried out in a thread of their own."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import threading
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.frontends.nodes import wire
from midlayer.frontends.nodes.caller_memory import LAST_ADDRESS, CallerMemory, efault
from midlayer.frontends.nodes.shared import SharedMemory
from midlayer.upper.sg.parameters import Caller

if TYPE_CHECKING:
    from midlayer.frontends.nodes.server import NodeServer

_log = logging.getLogger("midlayer.nodes")

FIRST_SHARED_BYTES = 1 << 20
MOST_SHARED_BYTES = 1 << 30
_MOST_PATH = 4096
_MOST_COUNT = 0x7FFF_F000  # of read(2) and write(2)

_CREDENTIALS = struct.Struct("=iII")
_HEADER_BYTES = wire.REQUEST.size
_NONBLOCK = int(wire.RequestFlag.NONBLOCK)
_reply = wire.REPLY.pack


class Channel:
    """A connection. Its thread ends when the program, or the server, closes it.

    Args:
        server: Who has the open files.
        connection: Just accepted.
    """

    def __init__(self, server: NodeServer, connection: socket.socket) -> None:
        self._server = server
        self._files = server.files
        self._by_number = server.files.by_number
        self.connection = connection
        self.caller = caller_of(connection, server.uid)
        self._shared = SharedMemory(FIRST_SHARED_BYTES)
        self._buffer = memoryview(bytearray(wire.MOST_MESSAGE))
        self.memory = CallerMemory(self._shared, self._fetch)
        self.interruptible: Callable[[int], bool] | None = None
        self.thread = threading.Thread(target=self._run, name="midlayer-channel", daemon=True)
        self._attached = -1
        self.attached_is_ours = False
        self.handing_over = threading.Lock()  # held from sending a descriptor until our copy is closed
        self._flags = 0

    def _run(self) -> None:
        receive, buffer, send = self.connection.recv_into, self._buffer, self.connection.send
        try:
            while length := receive(buffer):
                if length < _HEADER_BYTES:
                    break
                answer = self._serve()
                if self._attached >= 0:
                    self._send_attached(answer)
                else:
                    send(answer)
        except OSError:
            pass  # the program is gone
        finally:
            self._server.channel_ended(self)
            self._shared.close()
            self.connection.close()
            self.interruptible = None
            self._server.channel_closed(self)

    def _serve(self) -> bytes:
        """Carry out the request in the buffer, and return the answer."""
        memory, self._flags = self.memory, 0
        try:
            operation, number, request, argument, flags = memory.begin(self._buffer)
            handler = _HANDLERS.get(operation)
            if handler is None:
                raise OSError(errno.EINVAL, f"operation {operation}")
            result = handler(self, number, request, argument, flags)
        except OSError as error:
            return memory.reply(error.errno or errno.EIO, 0, self._flags)
        except Exception:
            _log.exception("a request of process %d failed", self.caller.pid)
            return memory.reply(errno.EIO, 0, self._flags)
        return memory.reply(0, result, self._flags)

    def _send_attached(self, answer: bytes) -> None:
        descriptor, self._attached = self._attached, -1
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
        with self.handing_over:
            try:
                self.connection.sendmsg([answer], rights)
            finally:
                if self.attached_is_ours:
                    self.attached_is_ours = False
                    os.close(descriptor)

    def _fetch(self, address: int, length: int) -> bytes:
        """Ask the program for bytes of its memory."""
        if address > LAST_ADDRESS:
            raise efault()
        self.connection.send(_reply(wire.ReplyKind.FETCH, 0, address, length, 0, 0, 0))
        buffer = bytearray(_HEADER_BYTES + wire.MOST_FETCH)
        received = self.connection.recv_into(buffer)
        if received < _HEADER_BYTES + length:
            raise efault()
        return bytes(buffer[_HEADER_BYTES : _HEADER_BYTES + length])

    # Requests

    def _hello(self, number: int, request: int, argument: int, flags: int) -> int:
        self._attached = self._shared.descriptor
        return 0

    def _open(self, number: int, request: int, argument: int, flags: int) -> int:
        length = self._header_length()
        if length > _MOST_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        path = self.memory.read(argument, length).decode(errors="surrogateescape")
        if "\0" in path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        opened, self._attached = self._server.open(path, request, self)
        return opened

    def _header_length(self) -> int:
        return int.from_bytes(self._buffer[40:44], "little")

    def _who(self, number: int, request: int, argument: int, flags: int) -> int:
        return self._files.who(argument)

    def _ioctl(self, number: int, request: int, argument: int, flags: int) -> int:
        file = self._by_number.get(number) or self._files.get(number)
        self.interruptible = file.interrupt
        result = file.ioctl(request, argument, self.memory)
        if file.asynchronous and file.drained():
            self._flags = wire.DRAIN
        return result

    def _read(self, number: int, request: int, argument: int, flags: int) -> int:
        file = self._files.get(number)
        file.set_nonblock(flags & _NONBLOCK != 0)
        self.interruptible = file.interrupt
        request = min(request, _MOST_COUNT)
        header = self.memory.read(argument, min(self._header_length(), request))
        try:
            returned, data = file.read(request, header, self.memory)
            self.memory.write(argument, data)
        finally:
            if file.drained():
                self._flags = wire.DRAIN
        return returned

    def _write(self, number: int, request: int, argument: int, flags: int) -> int:
        file = self._files.get(number)
        file.set_nonblock(flags & _NONBLOCK != 0)
        self.interruptible = file.interrupt
        return file.write(self.memory.read(argument, min(request, _MOST_COUNT)), self.memory)

    def _mmap(self, number: int, request: int, argument: int, flags: int) -> int:
        self._attached = self._files.get(number).mmap(request, argument)
        return 0

    def _grow(self, number: int, request: int, argument: int, flags: int) -> int:
        if request > MOST_SHARED_BYTES:
            raise OSError(errno.ENOMEM, "too much memory")
        self._shared.grow(request)
        return 0

    def _fstat(self, number: int, request: int, argument: int, flags: int) -> int:
        return self._files.get(number).fstat()

    def _access_mode(self, number: int, request: int, argument: int, flags: int) -> int:
        return self._files.get(number).access_mode


_HANDLERS: dict[int, Callable[[Channel, int, int, int, int], int]] = {
    int(wire.Operation.HELLO): Channel._hello,
    int(wire.Operation.OPEN): Channel._open,
    int(wire.Operation.WHO): Channel._who,
    int(wire.Operation.IOCTL): Channel._ioctl,
    int(wire.Operation.READ): Channel._read,
    int(wire.Operation.WRITE): Channel._write,
    int(wire.Operation.MMAP): Channel._mmap,
    int(wire.Operation.GROW): Channel._grow,
    int(wire.Operation.FSTAT): Channel._fstat,
    int(wire.Operation.FLAGS): Channel._access_mode,
}


def caller_of(connection: socket.socket, uid: int) -> Caller:
    """Return who is at the other end. Whoever runs the subsystem has every right to it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, their_uid, _ = _CREDENTIALS.unpack(raw)
    owner = their_uid in (0, uid)
    return Caller(uid=0 if owner else their_uid, pid=pid, sys_admin=owner, sys_rawio=owner)
