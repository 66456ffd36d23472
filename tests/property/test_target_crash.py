"""kill -9 of a target at random moments: every write that was acknowledged is in the file, whole.

``MIDLAYER_KILLS`` sets how often (8 by default), ``MIDLAYER_SEED`` where the random numbers start.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorEvent, InitiatorTask, SessionBegun, TaskEnded
from midlayer.iscsi.initiator_login import Wishes

KILLS = int(os.environ.get("MIDLAYER_KILLS", "8"))
SEED = int(os.environ.get("MIDLAYER_SEED", "20261129"))
IQN, SIZE = "iqn.2026-11.io.midlayer:crash", 1 << 20
BLOCK, DEPTH, LONGEST_BLOCKS = 512, 16, 32

pytestmark = pytest.mark.crash


class Writer:
    """One session that keeps writes under way, no two of them to the same blocks.

    Attributes:
        acknowledged: What the file must have: block → contents.
        pending: Tasks without an answer, with their first block and data.
    """

    def __init__(self, port: int) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.pending: dict[InitiatorTask, tuple[int, bytes]] = {}
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._iscsi = InitiatorConnection(Wishes("iqn.2026-11.io.midlayer:writer", IQN), os.urandom)
        while not any(isinstance(event, SessionBegun) for event in self._events()):
            pass

    def write(self, choose: random.Random, writes: int) -> None:
        """Write until so many were acknowledged, or the target is gone."""
        while writes > 0:
            while len(self.pending) < DEPTH:
                self._submit(choose)
            for event in self._events():
                if isinstance(event, TaskEnded):
                    assert event.task.status == 0
                    first, data = self.pending.pop(event.task)
                    self._keep(first, data)
                    writes -= 1

    def close(self) -> None:
        self._socket.close()

    def _submit(self, choose: random.Random) -> None:
        blocks = choose.randint(1, LONGEST_BLOCKS)
        first = choose.randrange(SIZE // BLOCK - blocks)
        wanted = range(first, first + blocks)
        if any(
            start < wanted.stop and wanted.start < start + len(data) // BLOCK
            for start, data in self.pending.values()
        ):
            return
        data = choose.randbytes(blocks * BLOCK)
        cdb = b"\x2a\0" + first.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"
        task = InitiatorTask(bytes(8), cdb, data)
        self.pending[task] = first, data
        self._iscsi.submit(task)

    def _keep(self, first: int, data: bytes) -> None:
        for at in range(0, len(data), BLOCK):
            self.acknowledged[first + at // BLOCK] = data[at : at + BLOCK]

    def _events(self) -> Iterator[InitiatorEvent]:
        self._socket.sendall(b"".join(map(bytes, self._iscsi.take_output())))
        count = self._socket.recv_into(self._iscsi.reader.room())
        if not count:
            raise ConnectionResetError
        self._iscsi.reader.received(count)
        while (event := self._iscsi.next_event()) is not None:
            yield event


@contextmanager
def serving(file: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the target; it is killed at the end."""
    script = Path(__file__).with_name("target_of_a_file.py")
    command = [sys.executable, str(script), str(file), str(SIZE), IQN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as target:
        try:
            assert target.stdout is not None
            yield target, int(target.stdout.readline())
        finally:
            target.kill()


def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    print(f"MIDLAYER_SEED={SEED} MIDLAYER_KILLS={KILLS}")
    choose, file = random.Random(SEED), tmp_path / "disk"
    there: dict[int, bytes] = {}
    acknowledged = 0
    for _ in range(KILLS):
        with serving(file) as (target, port):
            writer = Writer(port)
            kill = threading.Timer(choose.uniform(0.01, 0.3), target.send_signal, (signal.SIGKILL,))
            kill.start()
            try:
                writer.write(choose, 1 << 30)
            except (OSError, IscsiError):
                pass
            finally:
                kill.join()
                writer.close()
        acknowledged += len(writer.acknowledged)
        there |= writer.acknowledged
        check(file.read_bytes(), there, writer)
    print(f"{acknowledged} blocks were acknowledged")
    assert acknowledged > KILLS


def check(contents: bytes, there: dict[int, bytes], writer: Writer) -> None:
    """Hold the file against what was acknowledged; what was not may be there, but only block by block."""
    under_way = {
        first + at // BLOCK: data[at : at + BLOCK]
        for first, data in writer.pending.values()
        for at in range(0, len(data), BLOCK)
    }
    for block in range(SIZE // BLOCK):
        now = contents[block * BLOCK : (block + 1) * BLOCK]
        before = there.get(block, bytes(BLOCK))
        assert now in (before, under_way.get(block)), f"block {block}"
        there[block] = now
