"""Sending a list of buffers, and memory for reads that is used again."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from midlayer.iscsi.connection import Buffer

_MOST_BUFFERS = 1024  # IOV_MAX
_LARGEST_KEPT_BYTES = 1 << 20
_MOST_KEPT = 64


def send_all(connection: socket.socket, buffers: Sequence[Buffer], total: int) -> None:
    """Send every byte of `buffers`, which are `total` bytes, in order.

    Raises:
        OSError: If the connection is gone.
    """
    if len(buffers) > _MOST_BUFFERS:
        for first in range(0, len(buffers), _MOST_BUFFERS):
            group = buffers[first : first + _MOST_BUFFERS]
            send_all(connection, group, sum(map(len, group)))
        return
    sent = connection.sendmsg(buffers)
    if sent < total:
        _send_rest(connection, buffers, sent)


def _send_rest(connection: socket.socket, group: Sequence[Buffer], sent: int) -> None:
    for piece in group:
        length = len(piece)
        if sent >= length:
            sent -= length
            continue
        connection.sendall(memoryview(piece)[sent:])
        sent = 0


class BufferPool:
    """Memory for reads: taken by length, given back once it was sent. Not safe against two threads.

    Attributes:
        lent: Buffers that are on their way out; `sent` takes them back.
    """

    __slots__ = ("_free", "lent")

    def __init__(self) -> None:
        self._free: dict[int, list[memoryview]] = {}
        self.lent: list[memoryview] = []

    def take(self, length: int) -> memoryview:
        """Return memory of this length, with anything in it."""
        free = self._free.get(length)
        if free:
            return free.pop()
        return memoryview(bytearray(length))

    def give(self, buffer: memoryview) -> None:
        """Take a buffer back."""
        length = len(buffer)
        if length > _LARGEST_KEPT_BYTES:
            return
        free = self._free.get(length)
        if free is None:
            if len(self._free) > _MOST_KEPT:
                self._free.clear()
            self._free[length] = [buffer]
        elif len(free) < _MOST_KEPT:
            free.append(buffer)

    def sent(self) -> None:
        """All that was lent has been sent."""
        for buffer in self.lent:
            self.give(buffer)
        self.lent.clear()
