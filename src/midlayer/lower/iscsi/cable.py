"""A connection with its socket: bytes go out as far as the socket takes them, in whichever thread.

Nobody blocks in a send: what the socket does not take at once goes out from the thread that receives.
A thread that blocked there could wait for a target that itself waits to be read.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from threading import get_ident

from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorEvent

_MOST_PIECES = 512
_HELD_AT_LEAST = 8
_IN, _IN_AND_OUT = select.POLLIN, select.POLLIN | select.POLLOUT
Buffer = bytes | bytearray | memoryview


class CableCut(ConnectionError):
    """The connection is over; the text says why."""


class Cable:
    """One socket and one connection.

    Args:
        sock: A connected socket; the cable closes it.
        connection: Sans-I/O side of it.
        lock: Guards the connection.

    Attributes:
        connection: As given.
        woken: Set by `wake`, for a thread that waits without receiving.
    """

    def __init__(self, sock: socket.socket, connection: InitiatorConnection, lock: threading.Lock) -> None:
        self.connection = connection
        self.woken = threading.Event()
        self._socket = sock
        self._lock = lock
        self._sending = threading.Lock()
        self._waking = threading.Lock()
        self._closed = False
        self._unsent: list[Buffer] = []
        self._drained = False
        self._holder = self._held = 0
        self._broken: IscsiError | None = None
        self._cut = ""
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        sock.setblocking(False)
        with suppress(OSError):  # a socket pair has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(self._wake_in, _IN)
        self._mask = 0
        self._watch(_IN)

    def flush(self) -> None:
        """Send what the connection has to say, as far as the socket takes it. Any thread may."""
        if self._holder == get_ident():
            self._held += 1
            # Half of what is under way: the target works on the other half while these are made.
            if self._held < max(_HELD_AT_LEAST, len(self.connection.tasks) // 2):
                return
            self._held = 0
        while self._unsent or self.connection.output:
            if not self._sending.acquire(blocking=False):
                return  # whoever has it looks again before going
            try:
                more = self._send_some()
            except OSError as error:
                self.cut(f"send: {error.strerror or error}")
                return
            finally:
                self._sending.release()
            if not more:
                self.wake()
                return

    def hold(self) -> None:
        """Have this thread send several commands in one go; `let_go` has to follow."""
        self._holder, self._held = get_ident(), 0

    def let_go(self) -> None:
        """Send what was held, and everything at once from now on."""
        self._holder = 0
        self.flush()

    def receive(self, timeout_s: float | None = None, *, until_woken: bool = False) -> list[InitiatorEvent]:
        """Wait for bytes, and return what they mean; one thread only.

        Args:
            timeout_s: Seconds to wait at most; None for ever.
            until_woken: True to return, without events, when somebody calls `wake` as well.

        Raises:
            CableCut: If the connection is over.
            IscsiError: If the target breaks a rule.
            TimeoutError: If nothing came in time.
        """
        reader = self.connection.reader
        while True:
            if self._cut:
                raise CableCut(self._cut)
            if self._broken is not None:
                raise self._broken
            if self._drained:
                woken = self._wait(timeout_s)
                self._drained = False
                if woken and until_woken and not self._cut:
                    return []
                continue
            room = reader.room()
            try:
                count = self._socket.recv_into(room)
            except BlockingIOError:
                self._drained = True
                continue
            except OSError as error:
                raise CableCut(f"receive: {error.strerror or error}") from None
            if not count:
                raise CableCut(self._cut or "the target closed the connection")
            self._drained = count < len(room)  # what was not there then is waited for, not asked for
            reader.received(count)
            events = self._events()
            if self.connection.output:
                self.flush()
            if events:
                return events

    def cut(self, why: str) -> None:
        """End the connection from any thread; the thread that receives gets to know."""
        if not self._cut:
            self._cut = why
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.wake()

    def close(self) -> None:
        """Close the socket. Nobody may receive any more."""
        with self._lock:
            self.connection.lost()
        with self._sending, self._waking:
            self._socket.close()
            self._unsent = []
            if not self._closed:
                self._closed = True
                os.close(self._wake_in)
                os.close(self._wake_out)

    def _events(self) -> list[InitiatorEvent]:
        events: list[InitiatorEvent] = []
        next_event = self.connection.next_event
        with self._lock:
            try:
                while (event := next_event()) is not None:
                    events.append(event)
            except IscsiError as error:
                if not events:
                    raise
                self._broken = error  # what came whole before it counts
        return events

    def _send_some(self) -> bool:
        """Send once; False if the socket is full. The caller holds `_sending`."""
        buffers = self._unsent
        total = -1
        if not buffers:
            with self._lock:
                total = self.connection.output_bytes
                buffers = self.connection.take_output()
        if not buffers:
            return True
        try:
            sent = self._socket.sendmsg(buffers[:_MOST_PIECES])
        except BlockingIOError:
            self._unsent = buffers
            return False
        self._unsent = [] if sent == total else _rest(buffers, sent)
        return True

    def _wait(self, timeout_s: float | None) -> bool:
        """Wait until something can be done; return whether somebody woke us."""
        self._watch(_IN_AND_OUT if self._unsent else _IN)
        ready = self._poll.poll(None if timeout_s is None else timeout_s * 1000)
        if not ready:
            raise TimeoutError
        woken = len(ready) > 1 or ready[0][0] == self._wake_in
        if woken:
            with suppress(BlockingIOError):
                os.read(self._wake_in, 4096)
        if self._unsent:
            self.flush()
        return woken

    def _watch(self, mask: int) -> None:
        if mask != self._mask:
            self._poll.register(self._socket, mask)
            self._mask = mask

    def wake(self) -> None:
        """Wake whoever receives."""
        self.woken.set()
        with self._waking, suppress(BlockingIOError):  # a full pipe wakes as well
            if not self._closed:  # or its number may be another file's by now
                os.write(self._wake_out, b"\0")


def _rest(buffers: list[Buffer], sent: int) -> list[Buffer]:
    """Return what is left of buffers after `sent` bytes have gone."""
    for index, buffer in enumerate(buffers):
        length = len(buffer)
        if sent < length:
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]] if sent else buffers[index:]
        sent -= length
    return []
