"""The socket. Datagrams are sent to it by this process, whose sender address is not the kernel's."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from midlayer.errors import NodeError, NodePermission
from midlayer.lower.linux.netlink import LOST, UeventSocket
from midlayer.lower.linux.uevent import UeventError

GOOD = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SEQNUM=3\0"


class FakeNetlink:
    """Stands in for the netlink socket: a pipe makes it ready, a list has what `recvmsg` gives."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK)
        self.items: list[object] = []
        self.options: list[tuple[object, ...]] = []
        self.force_allowed = True

    def put(self, *items: object) -> None:
        self.items += items
        os.write(self._write_fd, b"." * len(items))

    def fileno(self) -> int:
        return self._read_fd

    def recvmsg(
        self, size: int, ancillary: int, flags: int
    ) -> tuple[bytes, list[object], int, tuple[int, int]]:
        assert flags == socket.MSG_DONTWAIT
        os.read(self._read_fd, 1)
        item = self.items.pop(0)
        if isinstance(item, OSError):
            raise item
        assert isinstance(item, tuple)
        return item  # type: ignore[return-value]

    def setsockopt(self, *arguments: object) -> None:
        if arguments[1] == 33 and not self.force_allowed:
            raise PermissionError(errno.EPERM, "no")
        self.options.append(arguments)

    def bind(self, address: tuple[int, int]) -> None:
        assert address == (0, 1)

    def close(self) -> None:
        if self._read_fd >= 0:
            os.close(self._read_fd)
            os.close(self._write_fd)
        self._read_fd = -1


def from_kernel(
    data: bytes, *, flags: int = 0, sender: int = 0
) -> tuple[bytes, list[object], int, tuple[int, int]]:
    return data, [], flags, (sender, 1)


@pytest.fixture
def netlink(monkeypatch: pytest.MonkeyPatch) -> FakeNetlink:
    fake = FakeNetlink()
    monkeypatch.setattr(socket, "socket", lambda *arguments: fake)
    return fake


@pytest.fixture
def source(netlink: FakeNetlink) -> Iterator[UeventSocket]:
    opened = UeventSocket(receive_buffer_bytes=1 << 20)
    yield opened
    opened.close()


def test_events_in_order(netlink: FakeNetlink, source: UeventSocket) -> None:
    netlink.put(from_kernel(GOOD), from_kernel(GOOD.replace(b"=3", b"=4")))
    assert [source.receive(0).seqnum, source.receive(None).seqnum] == [3, 4]  # type: ignore[union-attr]
    assert source.receive(0) is None


def test_lost_events(netlink: FakeNetlink, source: UeventSocket) -> None:
    netlink.put(OSError(errno.ENOBUFS, "no"), from_kernel(GOOD))
    assert source.receive(0) is LOST
    assert source.receive(0) is not None


def test_only_the_kernel_is_heard(netlink: FakeNetlink, source: UeventSocket) -> None:
    netlink.put(from_kernel(GOOD, sender=4711), from_kernel(b"libudev\0", sender=1), from_kernel(GOOD))
    assert source.receive(0) is not None
    assert source.foreign == 2


def test_garbage_and_what_follows_it(netlink: FakeNetlink, source: UeventSocket) -> None:
    netlink.put(from_kernel(b"junk"), from_kernel(GOOD, flags=socket.MSG_TRUNC), from_kernel(GOOD))
    for _ in range(2):
        with pytest.raises(UeventError):
            source.receive(0)
    assert source.receive(0) is not None


def test_another_error_is_raised(netlink: FakeNetlink, source: UeventSocket) -> None:
    netlink.put(OSError(errno.EIO, "broken"))
    with pytest.raises(OSError, match="broken"):
        source.receive(0)


def test_a_time_out(source: UeventSocket) -> None:
    assert source.receive(0.001) is None


def test_wake_from_another_thread(source: UeventSocket) -> None:
    got: list[object] = ["waiting"]
    thread = threading.Thread(target=lambda: got.append(source.receive(None)))
    thread.start()
    source.wake()
    thread.join(60)
    assert got == ["waiting", None]
    assert source.receive(0) is None  # the wake was for one receive


def test_close_from_another_thread(source: UeventSocket) -> None:
    thread = threading.Thread(target=source.receive)
    thread.start()
    source.close()
    thread.join(60)
    assert not thread.is_alive()
    assert source.receive(None) is None
    source.close()
    source.wake()


def test_receive_buffer(netlink: FakeNetlink) -> None:
    UeventSocket(receive_buffer_bytes=1 << 20).close()
    assert [option[:2] for option in netlink.options] == [(socket.SOL_SOCKET, 33)]


def test_receive_buffer_without_the_right(netlink: FakeNetlink) -> None:
    netlink.force_allowed = False
    UeventSocket(receive_buffer_bytes=1 << 20).close()
    assert netlink.options == [(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)]


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [(errno.EPERM, NodePermission, "run as root"), (errno.ENOENT, NodeError, "bind to the kernel's group")],
)
def test_no_bind(
    netlink: FakeNetlink, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], text: str
) -> None:
    def refuse(address: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(netlink, "bind", refuse)
    with pytest.raises(kind, match=text):
        UeventSocket()
    assert netlink.fileno() == -1


def test_no_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(NodeError, match="does this container allow AF_NETLINK"):
        UeventSocket()


def test_a_real_socket() -> None:
    try:
        source = UeventSocket(receive_buffer_bytes=1 << 20)
    except NodeError as error:
        pytest.skip(str(error))
    assert source.receive_buffer_bytes > 0
    began = time.monotonic()
    source.wake()
    while source.receive(120.0) is not None:
        pass
    source.close()
    assert time.monotonic() - began < 120
