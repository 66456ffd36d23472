"""A connection to the kernel: requests come, threads answer them.

A thread that gets a request sees to it that another one waits for the next, so a call that blocks
holds nobody up. Threads stay, and go when the connection ends.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Mapping

from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.protocol import Opcode

_log = logging.getLogger("midlayer.nodes")

MOST_THREADS = 256
MOST_WRITE = 1 << 20
_ROOM = MOST_WRITE + 4096
_JOIN_S = 5.0
_ASK_AGAIN_S = 0.01
_OVER = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF})

Interrupt = Callable[[int], bool]


class Call:
    """One request.

    Attributes:
        unique: Its number.
        node: Number of the file that it is about.
        uid: Who calls.
        thread: Which thread calls, 0 if it is one of a stranger's name space.
        body: What follows the header. It is valid until the answer.
        interruptible: Ends a wait of the thread that carries the request out.
        answered: Called when the kernel has taken the answer, and done what it does with it.
    """

    __slots__ = ("answered", "body", "interruptible", "node", "thread", "uid", "unique", "worker")

    def __init__(self, unique: int, node: int, uid: int, thread: int, body: memoryview) -> None:
        self.unique = unique
        self.node = node
        self.uid = uid
        self.thread = thread
        self.body = body
        self.worker = threading.get_ident()
        self.interruptible: Interrupt | None = None
        self.answered: Callable[[], None] | None = None


Handler = Callable[[Call], bytes]


class Connection:
    """An open ``/dev/fuse`` or ``/dev/cuse``.

    Args:
        descriptor: It is closed by `close`.
        handlers: What answers a request; it raises OSError for an error. An opcode without one is ENOSYS.
        ended: Called once, when the kernel wants no more.
        name: For the names of the threads.
    """

    def __init__(
        self,
        descriptor: int,
        handlers: Mapping[int, Handler],
        *,
        name: str,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._descriptor = descriptor
        self._handlers = handlers
        self._name = name
        self._ended = ended
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._active: dict[int, Call] = {}

    def start(self) -> None:
        """Begin to answer."""
        with self._lock:
            self._start_thread()

    def close(self) -> None:
        """Wait for the threads, after the kernel was told that it is over; then close the descriptor."""
        self._over.set()
        with self._lock:
            threads = list(self._threads)
            calls = list(self._active.values())
        for call in calls:
            self._end(call)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
        os.close(self._descriptor)

    def notify_poll(self, kernel_handle: int) -> None:
        """Tell the kernel that a file may be ready."""
        self._send(0, protocol.NOTIFY_POLL, protocol.NOTIFY_POLL_OUT.pack(kernel_handle))

    # Threads

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=f"midlayer-{self._name}", daemon=True)
        self._threads.append(thread)
        self._idle += 1
        thread.start()

    def _run(self) -> None:
        buffer = memoryview(bytearray(_ROOM))
        while not self._over.is_set():
            try:
                length = os.readv(self._descriptor, [buffer])
            except OSError as error:
                if error.errno in _OVER:
                    break
                continue  # a request that was taken back, or a signal
            if not length:
                break
            with self._lock:
                self._idle -= 1
                if not (self._idle or self._over.is_set()) and len(self._threads) < MOST_THREADS:
                    self._start_thread()
            try:
                self._carry_out(buffer[:length])
            finally:
                with self._lock:
                    self._idle += 1
        first = not self._over.is_set()
        self._over.set()
        if first:
            self._ended()

    def _carry_out(self, message: memoryview) -> None:
        if len(message) < protocol.IN_HEADER.size:
            return
        _, opcode, unique, node, uid, _, thread = protocol.IN_HEADER.unpack_from(message)
        call = Call(unique, node, uid, thread, message[protocol.IN_HEADER.size :])
        if opcode == Opcode.INTERRUPT:
            self._interrupt(call)
            return
        handler = self._handlers.get(opcode)
        if handler is None:
            self._send(unique, -errno.ENOSYS)
            return
        with self._lock:
            self._active[unique] = call
        try:
            error, answer = 0, handler(call)
        except OSError as problem:
            error, answer = -(problem.errno or errno.EIO), b""
        except Exception:
            _log.exception("a request of thread %d failed", thread)
            error, answer = -errno.EIO, b""
        finally:
            with self._lock:
                self._active.pop(unique, None)
        if opcode not in _WITHOUT_ANSWER:
            self._send(unique, error, answer)
        if call.answered is not None:
            call.answered()

    def _interrupt(self, call: Call) -> None:
        """A signal came: end the wait; if there is none yet, have the kernel ask again."""
        if len(call.body) < protocol.INTERRUPT_IN.size:
            return
        (wanted,) = protocol.INTERRUPT_IN.unpack_from(call.body)
        with self._lock:  # so that it is not the worker's next call that ends
            found = self._active.get(wanted)
            if found is not None and found.interruptible is not None and found.interruptible(found.worker):
                return
        self._over.wait(_ASK_AGAIN_S)
        self._send(call.unique, -errno.EAGAIN)

    def _end(self, call: Call) -> None:
        for _ in range(int(_JOIN_S / _ASK_AGAIN_S)):
            with self._lock:
                here = self._active.get(call.unique) is call
                if not here or call.interruptible is None or call.interruptible(call.worker):
                    return
            threading.Event().wait(_ASK_AGAIN_S)

    def _send(self, unique: int, error: int, answer: bytes = b"") -> None:
        header = protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size + len(answer), error, unique)
        try:
            os.write(self._descriptor, header + answer)
        except OSError as problem:  # who asked is gone, or the kernel wants no more
            if problem.errno not in (errno.ENOENT, *_OVER):
                _log.warning("the kernel does not take an answer: %s", problem.strerror)


_WITHOUT_ANSWER = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT})
