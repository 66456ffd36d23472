"""An initiator on a real socket, as far as tests need one."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable

from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorEvent, InitiatorTask, SessionBegun, TaskEnded
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.names import port_name

INITIATOR = "iqn.2026-11.io.example:initiator"
TARGET = "iqn.2026-11.io.example:target"
SOON_S = 60.0
LUN_0 = bytes(8)

_isids = itertools.count(0x100)


def lun(number: int) -> bytes:
    """Return the eight bytes of a LUN."""
    return number.to_bytes(2, "big") + bytes(6)


class Initiator:
    """One session; logged in when it is made.

    Args:
        port: Of the target, on the loopback address.
        wishes: As for `InitiatorConnection`.
    """

    def __init__(self, port: int, wishes: Wishes | None = None, *, host: str = "127.0.0.1") -> None:
        wishes = wishes or Wishes(INITIATOR, TARGET, isid=b"\x80" + next(_isids).to_bytes(5, "big"))
        self.name = port_name(wishes.initiator_name, wishes.isid)
        self.socket = socket.create_connection((host, port), timeout=SOON_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.iscsi = InitiatorConnection(wishes, os.urandom)
        try:
            self.until(lambda event: isinstance(event, SessionBegun))
        except BaseException:
            self.socket.close()
            raise

    def until(self, wanted: Callable[[InitiatorEvent], bool]) -> InitiatorEvent:
        """Carry bytes until the event that is wanted."""
        while True:
            self.send()
            while (event := self.iscsi.next_event()) is not None:
                if wanted(event):
                    self.send()
                    return event
            self.send()
            count = self.socket.recv_into(self.iscsi.reader.room())
            if not count:
                raise ConnectionResetError("the target closed the connection")
            self.iscsi.reader.received(count)

    def send(self) -> None:
        """Send what waits."""
        for piece in self.iscsi.take_output():
            self.socket.sendall(piece)

    def run(
        self,
        cdb: bytes,
        *,
        on: bytes = LUN_0,
        data_out: bytes | None = None,
        length: int = 0,
    ) -> InitiatorTask:
        """Run a command to its end."""
        data_in = memoryview(bytearray(length)) if length else None
        task = InitiatorTask(on, cdb, data_out, data_in)
        self.iscsi.submit(task)
        self.until(lambda event: isinstance(event, TaskEnded) and event.task is task)
        return task

    def read(self, lba: int, blocks: int, *, on: bytes = LUN_0) -> bytes:
        """Read blocks; they must be readable."""
        cdb = b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"
        task = self.run(cdb, on=on, length=blocks * 512)
        assert task.status == 0, task.sense.hex()
        assert task.data_in is not None
        return bytes(task.data_in[: task.received_bytes])

    def write(self, lba: int, data: bytes, *, on: bytes = LUN_0) -> InitiatorTask:
        """Write blocks."""
        cdb = b"\x2a\0" + lba.to_bytes(4, "big") + b"\0" + (len(data) // 512).to_bytes(2, "big") + b"\0"
        return self.run(cdb, on=on, data_out=data)

    def ended(self) -> bool:
        """Wait until the target closes the connection; True if it does."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()
