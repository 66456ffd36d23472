"""Our initiator against iscsi-perf, which is in C: both read from the same tgtd, in turns."""

from __future__ import annotations

import threading
import time
from itertools import cycle
from urllib.parse import urlsplit

from midlayer.lower.iscsi import IscsiDriver, SessionSpec
from midlayer.mid.command import Command
from midlayer.mid.dispatch import execute, submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read16
from midlayer.standards.spc import TestUnitReady

BLOCK_BYTES = 512
TIMEOUT_S = 30.0


class Reader:
    """Keeps a number of READs under way for a while; the next goes out where one ends."""

    def __init__(self, device: LogicalUnit, blocks: int, device_blocks: int) -> None:
        self._device = device
        self._room_bytes = blocks * BLOCK_BYTES
        self._cdbs = cycle(
            [
                Read16(logical_block_address=lba, transfer_length=blocks).encode()
                for lba in range(0, device_blocks, blocks)
            ]
        )
        self._until = 0.0
        self._left = 0
        self._over = threading.Event()
        self.ended = 0

    def run(self, depth: int, seconds: float) -> float:
        """Read, and return how many commands ended in a second."""
        began = time.monotonic()
        self._until, self._left, self.ended = began + seconds, depth, 0
        self._over.clear()
        for _ in range(depth):
            self._send(memoryview(bytearray(self._room_bytes)))
        self._over.wait()
        return self.ended / (time.monotonic() - began)

    def _send(self, room: memoryview) -> None:
        submit(Command(self._device, next(self._cdbs), None, room, TIMEOUT_S, 0, True, self._done))

    def _done(self, command: Command) -> None:
        assert not command.status
        assert not command.host_byte
        self.ended += 1
        if time.monotonic() < self._until:
            assert command.data_in is not None
            self._send(command.data_in)
            return
        self._left -= 1
        if not self._left:
            self._over.set()


class Ours:
    """A session of ours with the logical unit of an ``iscsi://`` URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        iqn, lun = parts.path.strip("/").split("/")
        self._subsystem = Subsystem()
        self._driver = IscsiDriver(self._subsystem)
        spec = SessionSpec.from_mapping({"portal": parts.netloc, "target": iqn, "queue_depth": 32})
        self._host = self._driver.add_host(spec, scan=False)
        self.device = self._subsystem.add_device(self._host, 0, 0, int(lun))
        while not execute(self.device, TestUnitReady().encode(), timeout_s=TIMEOUT_S).ok:
            pass  # unit attention conditions of a new session

    def measure(self, depth: int, blocks: int, device_blocks: int, seconds: float) -> tuple[int, float]:
        """Return commands in a second, and the processor time of each in microseconds."""
        reader = Reader(self.device, blocks, device_blocks)
        before = time.process_time()
        rate = reader.run(depth, seconds)
        return int(rate), (time.process_time() - before) / max(reader.ended, 1) * 1e6

    def close(self) -> None:
        """Log out."""
        self._driver.remove_host(self._host)
