"""Programs that tests run as agents: this Python with a few lines, and pipes to hold and to watch them."""

from __future__ import annotations

import os
import select
import sys

SOON_S = 60.0


def python(code: str) -> tuple[str, ...]:
    """Return the command that runs a few lines of Python."""
    return (sys.executable, "-S", "-E", "-c", code)


class Fifo:
    """A named pipe between a test and a program: whoever reads waits for a writer, or for its end."""

    def __init__(self, path: str) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR)  # so that no open waits

    def read(self, length: int = 4096) -> bytes:
        """Return what a program wrote; it has to come."""
        ready, _, _ = select.select([self._descriptor], [], [], SOON_S)
        assert ready, f"{self.path}: nobody wrote"
        return os.read(self._descriptor, length)

    def is_empty(self) -> bool:
        """Return whether nobody has written."""
        return not select.select([self._descriptor], [], [], 0)[0]

    def write(self, data: bytes) -> None:
        """Let a program that reads go on."""
        os.write(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)
