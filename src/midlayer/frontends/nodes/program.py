"""Running a program that sees the nodes: its environment, its signals and its exit status."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from midlayer.errors import UsageError
from midlayer.frontends.nodes.blind import why_blind

LIBRARY = Path(__file__).with_name("libmidlayer_nodes.so")
NOT_EXECUTABLE, NOT_FOUND, KILLED = 126, 127, 128

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_MOST_SIGNALS = 4096
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGQUIT)

Start = Callable[..., subprocess.Popen[bytes]]


def check_library() -> None:
    """Make sure that the preload library is there.

    Raises:
        UsageError: With what to do.
    """
    if not LIBRARY.exists():
        raise UsageError(
            "the preload library is not built: install midlayer where a C compiler is (pip install .)"
        )


def environment(directory: Path) -> dict[str, str]:
    """Return the environment of a program that is to see the nodes."""
    preload = " ".join(filter(None, [str(LIBRARY), os.environ.get("LD_PRELOAD")]))
    return {**os.environ, "LD_PRELOAD": preload, "MIDLAYER_NODES": str(directory)}


def run_under(directory: Path, program: Sequence[str], *, start: Start = subprocess.Popen) -> int:
    """Run a program that sees the nodes, and return its exit status.

    Args:
        directory: Of the server.
        program: Its name and arguments.
        start: Starts it.
    """
    reason = why_blind(program[0])
    if reason is not None:
        print(f"midlayer: {program[0]} does not see these devices: {reason}", file=sys.stderr)
    with _many_descriptors() as usual, Forwarding() as forwarding:
        try:
            child = start(program, env=environment(directory))
        except FileNotFoundError as error:
            return _complain(program[0], error, NOT_FOUND)
        except OSError as error:
            return _complain(program[0], error, NOT_EXECUTABLE)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, usual)
        forwarding.to(child)
        status = forwarding.wait(child)
    return KILLED - status if status < 0 else status


class Forwarding:
    """Hands signals on to a program while it is entered. What a terminal sends, it sends to both.

    A signal that comes before the program is known waits for it: the program may be at work, and
    have invited the signal, before the call that started it has returned. While the program is waited
    for, a signal is seen in whatever thread, and at whatever moment, the kernel delivers it: Python
    writes a byte for each to `_wake`. To sleep in waitpid(2) would be to miss one that came just before.
    """

    def __init__(self) -> None:
        self._program: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, object] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)

    def __enter__(self) -> Forwarding:
        self._wakeup_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in _FORWARDED:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup_before)
        self._woken.close()
        self._wake.close()

    def to(self, program: subprocess.Popen[bytes]) -> None:
        """Hand on to this program, what came early first."""
        # A handler runs between two steps of this very thread, so nothing comes between.
        self._program = program
        while self._early:
            program.send_signal(self._early.pop(0))

    def wait(self, program: subprocess.Popen[bytes]) -> int:
        """Wait for the end of the program, and return what `subprocess.Popen.wait` does."""
        ended = os.pidfd_open(program.pid)
        try:
            waiting = select.poll()
            for descriptor in (ended, self._woken.fileno()):
                waiting.register(descriptor, select.POLLIN)
            while ended not in (descriptor for descriptor, _ in waiting.poll()):
                self._woken.recv(_MOST_SIGNALS)  # their handlers have run by now, or do so next
        finally:
            os.close(ended)
        return program.wait()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if number in _OF_A_TERMINAL and os.isatty(0):
            return
        if self._program is None:
            self._early.append(number)
        else:
            self._program.send_signal(number)


@contextlib.contextmanager
def _many_descriptors() -> Iterator[tuple[int, int]]:
    """Have as many descriptors as may be, and yield the usual limits.

    A program costs the server about six, and hundreds of programs may run at once.
    """
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual[1], usual[1]))
    try:
        yield usual
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def _complain(program: str, error: OSError, status: int) -> int:
    print(f"midlayer: {program}: {error.strerror}", file=sys.stderr)
    return status
