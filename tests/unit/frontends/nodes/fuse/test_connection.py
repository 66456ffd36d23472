"""A connection to a kernel that a test plays, over a socket pair."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.connection import Call, Connection
from midlayer.frontends.nodes.fuse.handles import Handles, NodeHandle, TextHandle
from midlayer.frontends.nodes.fuse.protocol import Opcode
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, ScriptedDriver
from midlayer.upper.sg.device import SgDevice, SgNodes

POLL = int(Opcode.POLL)


class Kernel:
    """Our end of what the connection takes for ``/dev/fuse``."""

    def __init__(self, handlers: dict[int, object]) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.ended = threading.Event()
        self.connection = Connection(theirs.detach(), handlers, name="test", ended=self.ended.set)  # type: ignore[arg-type]
        self.connection.start()

    def send(self, opcode: int, unique: int = 2, body: bytes = b"", uid: int = 0) -> None:
        size = protocol.IN_HEADER.size + len(body)
        self.socket.send(protocol.IN_HEADER.pack(size, opcode, unique, 1, uid, 0, os.getpid()) + body)

    def receive(self) -> tuple[int, int, bytes]:
        """Return unique, error and the rest."""
        message = self.socket.recv(1 << 16)
        length, error, unique = protocol.OUT_HEADER.unpack_from(message)
        assert length == len(message)
        return unique, error, message[protocol.OUT_HEADER.size :]

    def ask(self, opcode: int, body: bytes = b"", **header: int) -> tuple[int, bytes]:
        """Return error and answer."""
        self.send(opcode, body=body, **header)
        unique, error, answer = self.receive()
        assert unique == 2
        return error, answer


@pytest.fixture
def kernel() -> Iterator[type[Kernel]]:
    made: list[Kernel] = []

    class Recorded(Kernel):
        def __init__(self, handlers: dict[int, object]) -> None:
            super().__init__(handlers)
            made.append(self)

    before = threading.active_count()
    yield Recorded
    for each in made:
        each.socket.close()
        each.connection.close()
    assert threading.active_count() == before


def test_answers_errors_and_what_is_not_known(kernel: type[Kernel]) -> None:
    def fail(call: Call) -> bytes:
        raise OSError(errno.ENXIO, "no")

    def break_down(call: Call) -> bytes:
        raise ValueError("a defect")

    one = kernel({101: lambda call: bytes(call.body)[::-1], 102: fail, 103: break_down})
    assert one.ask(101, b"abc") == (0, b"cba")
    assert one.ask(102) == (-errno.ENXIO, b"")
    assert one.ask(103) == (-errno.EIO, b"")
    assert one.ask(999) == (-errno.ENOSYS, b"")
    one.socket.send(b"short")
    assert one.ask(101, b"x") == (0, b"x")


def test_a_call_that_blocks_holds_nobody_up(kernel: type[Kernel]) -> None:
    go_on = threading.Event()

    def block(call: Call) -> bytes:
        go_on.wait(60)
        return b"at last"

    one = kernel({101: lambda call: b"quick", 102: block})
    one.send(102, unique=4)
    assert one.ask(101) == (0, b"quick")
    go_on.set()
    assert one.receive() == (4, 0, b"at last")


def test_an_interrupt_is_asked_for_again_until_the_call_waits(kernel: type[Kernel]) -> None:
    interrupted, waits, begun = threading.Event(), threading.Event(), threading.Event()

    def interrupt(worker: int) -> bool:
        if waits.is_set():
            interrupted.set()
        return waits.is_set()

    def block(call: Call) -> bytes:
        call.interruptible = interrupt
        begun.set()
        interrupted.wait(60)
        raise OSError(errno.EINTR, "a signal")

    one = kernel({101: block})
    one.send(101, unique=4)
    one.send(int(Opcode.INTERRUPT), unique=5, body=protocol.INTERRUPT_IN.pack(4))
    assert one.receive() == (5, -errno.EAGAIN, b"")
    assert begun.wait(60)
    waits.set()
    one.send(int(Opcode.INTERRUPT), unique=5, body=protocol.INTERRUPT_IN.pack(4))
    assert one.receive() == (4, -errno.EINTR, b"")


def test_a_poll_is_answered_and_the_kernel_woken(kernel: type[Kernel], device: SgDevice) -> None:
    handles = Handles()
    one = kernel(handles.handlers)  # type: ignore[arg-type]
    handles.connection = one.connection
    opener = Call(1, 1, 0, 0, memoryview(b""))
    node = NodeHandle(device, os.O_RDWR, opener, owner=0)
    number = protocol.OPEN_OUT.unpack(handles.opened(node))[0]
    asked = protocol.POLL_IN.pack(number, 77, protocol.POLL_SCHEDULE_NOTIFY, select.POLLIN)
    error, answer = one.ask(POLL, asked)
    assert (error, protocol.POLL_OUT.unpack(answer)[0] & select.POLLIN) == (0, 0)
    device.detach()
    assert one.receive() == (0, protocol.NOTIFY_POLL, protocol.NOTIFY_POLL_OUT.pack(77))
    error, answer = one.ask(POLL, asked)
    assert protocol.POLL_OUT.unpack(answer)[0] & select.POLLHUP
    assert one.ask(int(Opcode.RELEASE), protocol.RELEASE_IN.pack(number, 0, 0, 0)) == (0, b"")
    assert one.ask(POLL, asked) == (-errno.EBADF, b"")
    assert device.open_count == 0


def test_who_did_not_open_it_has_no_right_and_no_memory_is_touched(device: SgDevice) -> None:
    node = NodeHandle(device, os.O_RDWR, Call(1, 1, 1000, os.getpid(), memoryview(b"")), owner=7)
    for uid, allowed in ((1000, True), (7, True), (0, True), (1001, False)):
        call = Call(2, 1, uid, 0, memoryview(b""))  # of thread 0 no memory could be read
        with pytest.raises(OSError) as raised:
            node.ioctl(call, 0x2285, 0x1000, 0)
        assert raised.value.errno == (errno.EFAULT if allowed else errno.EPERM)
    node.close()


def test_a_text_is_read_at_any_place(kernel: type[Kernel]) -> None:
    handles = Handles()
    one = kernel(handles.handlers)  # type: ignore[arg-type]
    taken: list[bytes] = []
    number = protocol.OPEN_OUT.unpack(handles.opened(TextHandle(b"a text", _into(taken))))[0]
    assert one.ask(int(Opcode.READ), protocol.READ_IN.pack(number, 2, 3, 0, 0, 0)) == (0, b"tex")
    written = protocol.WRITE_IN.pack(number, 0, 2, 0, 0, 0) + b"on"
    assert one.ask(int(Opcode.WRITE), written) == (0, protocol.WRITE_OUT.pack(2))
    assert taken == [b"on"]
    assert one.ask(int(Opcode.IOCTL), protocol.IOCTL_IN.pack(number, 0, 1, 0, 0, 0)) == (-errno.ENOTTY, b"")
    handles.close()


def _into(taken: list[bytes]) -> object:
    def obey(data: bytes) -> int:
        taken.append(data)
        return len(data)

    return obey


@pytest.fixture
def device() -> SgDevice:
    """A scripted device."""
    subsystem, nodes, driver = Subsystem(), SgNodes(), ScriptedDriver()
    driver.unit(0, 0, 0).on(0x28, Answer(later=True))
    subsystem.register_upper(nodes)
    driver.start(subsystem)
    return nodes.device(0)
