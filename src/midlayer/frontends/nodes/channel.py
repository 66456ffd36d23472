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
from midlayer.frontends.nodes.caller_memory import CallerMemory, efault
from midlayer.frontends.nodes.shared import SharedMemory
from midlayer.upper.sg.parameters import Caller

if TYPE_CHECKING:
    from midlayer.frontends.nodes.server import NodeServer

_log = logging.getLogger("midlayer.nodes")

FIRST_SHARED_BYTES = 1 << 20
MOST_SHARED_BYTES = 1 << 30

_CREDENTIALS = struct.Struct("=iII")
_HEADER_BYTES = wire.REQUEST.size
# Plain numbers: arithmetic on enum members would cost every command.
_WAITS = int(wire.Operation.IOCTL)
_NONBLOCK, _FILLED = int(wire.RequestFlag.NONBLOCK), int(wire.RequestFlag.WINDOW_FILLED)
_reply = wire.REPLY.pack
_unpack_request = wire.REQUEST.unpack_from


class Channel:
    """A connection. Its thread ends when the program, or the server, closes it.

    Args:
        server: Who has the open files.
        connection: Just accepted.
    """

    def __init__(self, server: NodeServer, connection: socket.socket) -> None:
        self._server = server
        self._files = server.files
        self.connection = connection
        self.caller = caller_of(connection, server.uid)
        self._shared = SharedMemory(FIRST_SHARED_BYTES)
        self._buffer = memoryview(bytearray(wire.MOST_MESSAGE))
        self.memory = CallerMemory(self._shared, self._fetch)
        self.interruptible: Callable[[int], bool] | None = None
        self.thread = threading.Thread(target=self._run, name="midlayer-channel", daemon=True)
        self._attached = -1
        self.attached_is_ours = False
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
        (
            operation, number, request, argument, flags, window_length, window_at,
            header_length, cdb_length, cdb_at,
        ) = _unpack_request(self._buffer)  # fmt: skip
        memory, self._flags = self.memory, 0
        try:
            if window_length > len(self._shared):
                raise efault()
            header_end = _HEADER_BYTES + header_length
            sent = self._buffer[_HEADER_BYTES : header_end + cdb_length].tobytes()
            memory.begin(
                argument,
                sent[:header_length],
                cdb_at,
                sent[header_length:],
                window_at,
                window_length,
                flags & _FILLED != 0,
                operation == _WAITS,
            )
            result = _HANDLERS[operation](self, number, request, argument, flags)
        except OSError as error:
            return self._done(error.errno or errno.EIO, 0)
        except Exception:
            _log.exception("a request of process %d failed", self.caller.pid)
            return self._done(errno.EIO, 0)
        return self._done(0, result)

    def _done(self, error: int, result: int) -> bytes:
        memory = self.memory
        count, pieces = memory.answer()
        if count > wire.MOST_PIECES:
            count, pieces, error = 0, b"", errno.ENOMEM
        back = 0 if error else memory.window_back
        return _reply(0, error, result, count, back, self._flags, len(self._shared)) + pieces

    def _send_attached(self, answer: bytes) -> None:
        descriptor, self._attached = self._attached, -1
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
            self.connection.sendmsg([answer], rights)
        finally:
            if self.attached_is_ours:
                self.attached_is_ours = False
                os.close(descriptor)

    def _fetch(self, address: int, length: int) -> bytes:
        """Ask the program for bytes of its memory."""
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
        path = self.memory.read(argument, self._header_length()).decode(errors="surrogateescape")
        opened, self._attached = self._server.open(path, request, self)
        return opened

    def _header_length(self) -> int:
        return int.from_bytes(self._buffer[40:44], "little")

    def _who(self, number: int, request: int, argument: int, flags: int) -> int:
        return self._files.who(argument)

    def _ioctl(self, number: int, request: int, argument: int, flags: int) -> int:
        file = self._files.get(number)
        self.interruptible = file.interrupt
        result = file.ioctl(request, argument, self.memory)
        if file.drained():
            self._flags = wire.DRAIN
        return result

    def _read(self, number: int, request: int, argument: int, flags: int) -> int:
        file = self._files.get(number)
        file.set_nonblock(flags & _NONBLOCK != 0)
        self.interruptible = file.interrupt
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
        return file.write(self.memory.read(argument, request), self.memory)

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
