"""The socket that the kernel's uevents come from."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading

from midlayer.errors import NodeError, NodePermission
from midlayer.lower.linux.uevent import Uevent, UeventError, parse

RECEIVE_BUFFER_BYTES = 64 << 20
"""Room for about 100,000 events; the kernel takes the memory only when they are there."""

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1  # group 2 has what udevd makes of them
_SO_RCVBUFFORCE = 33
_DATAGRAM_BYTES = 16384  # a uevent has at most 2 KiB of variables and a path


class Lost:
    """The kernel dropped events, because they were not taken from the socket in time."""

    def __repr__(self) -> str:
        return "<Lost>"


LOST = Lost()


class UeventSocket:
    """Receives uevents. Opened by the constructor.

    Args:
        receive_buffer_bytes: Room for events that nobody has taken yet.

    Attributes:
        foreign: Datagrams that another sender than the kernel sent; they are dropped.

    Raises:
        NodeError: If there is no such socket here.
    """

    def __init__(self, *, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self.foreign = 0
        self._closed = False
        self._lock = threading.Lock()  # held by the receiver, so that nobody closes under its hands
        self._socket = _open_socket()
        _set_receive_buffer(self._socket, receive_buffer_bytes)
        self._wakeup_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._wakeup_fd, select.POLLIN)

    @property
    def receive_buffer_bytes(self) -> int:
        """Size of the buffer that the kernel granted, its own overhead included."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def receive(self, timeout_s: float | None = None) -> Uevent | Lost | None:
        """Return the next event.

        Args:
            timeout_s: How long to wait; 0 for not at all, None for ever.

        Returns:
            An event; `LOST` where events are missing; None after the time, `wake` or `close`.

        Raises:
            UeventError: For a datagram that can not be read. The next call goes on behind it.
        """
        with self._lock:
            if self._closed:
                return None
            received = self._receive_now()
            if received is None and timeout_s != 0 and self._wait(timeout_s):
                received = self._receive_now()
            return received

    def wake(self) -> None:
        """Make a `receive` that waits, or else the next one that would, return None."""
        if not self._closed:
            os.eventfd_write(self._wakeup_fd, 1)

    def close(self) -> None:
        """Close the socket, from any thread. A second call does nothing."""
        self.wake()
        self._closed = True
        with self._lock:
            if self._socket.fileno() >= 0:
                self._socket.close()
                os.close(self._wakeup_fd)

    def _wait(self, timeout_s: float | None) -> bool:
        ready = {fd for fd, _ in self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)}
        if self._wakeup_fd in ready:
            os.eventfd_read(self._wakeup_fd)
        return self._socket.fileno() in ready and not self._closed

    def _receive_now(self) -> Uevent | Lost | None:
        while True:
            try:
                data, _, flags, sender = self._socket.recvmsg(_DATAGRAM_BYTES, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return LOST
                raise
            if sender[0] != 0:
                self.foreign += 1
                continue
            if flags & socket.MSG_TRUNC:
                raise UeventError("truncated", f"a uevent longer than {_DATAGRAM_BYTES} bytes")
            return parse(data)


def _open_socket() -> socket.socket:
    try:
        opened = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_KOBJECT_UEVENT
        )
    except OSError as error:
        raise NodeError(
            f"uevents: no netlink socket: {error.strerror}; does this container allow AF_NETLINK?"
        ) from error
    try:
        opened.bind((0, _KERNEL_GROUP))
    except OSError as error:
        opened.close()
        if error.errno in (errno.EPERM, errno.EACCES):
            raise NodePermission("uevents: this process may not listen to the kernel; run as root") from error
        raise NodeError(f"uevents: bind to the kernel's group: {error.strerror}") from error
    return opened


def _set_receive_buffer(opened: socket.socket, size_bytes: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, struct.pack("=i", size_bytes))
    except PermissionError:  # without CAP_NET_ADMIN the kernel grants net.core.rmem_max at most
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
