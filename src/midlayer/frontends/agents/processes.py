"""Running programs: each in a process group of its own, with a time limit and an eye on its output.

Whoever owns a `Processes` calls `start` and `wait` from one thread. Nothing here blocks on a program: it may
hang, write without end, close its output, or leave children behind.

A program has ended when its process has; what its children still write then is not waited for. They end
with it: the whole process group is killed, except for those that have left it (setsid).
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from midlayer.frontends.agents.job import Job, Outcome
from midlayer.mid.clock import Clock, Timer

_log = logging.getLogger("midlayer.agents")

Ended = Callable[[Job, Outcome], None]

_READ_BYTES = 1 << 18
_READS_IN_A_ROW = 16


class Launcher(Protocol):
    """Who runs jobs: `Processes`, unless a test says otherwise."""

    def start(self, job: Job, ended: Ended) -> None:
        """Start a job; `ended` is called once, by this or by a later `wait`."""

    def wait(self, *, block: bool = True) -> None:
        """Wait until something happens or `wake` is called, and see to it."""

    def wake(self) -> None:
        """Make a `wait` return, from any thread."""

    def close(self) -> None:
        """End everything that still runs; no `ended` is called any more."""


class Processes:
    """Programs that run now.

    Args:
        clock: For the time limits.
        output_bytes: Bytes of output that are kept.
    """

    def __init__(self, clock: Clock, *, output_bytes: int) -> None:
        self.output_bytes = output_bytes
        self._clock = clock
        self._poll = select.poll()
        self._wake_in, self._wake_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll.register(self._wake_in, select.POLLIN)
        self._by_descriptor: dict[int, _Running] = {}

    def start(self, job: Job, ended: Ended) -> None:
        """Start a program; one that can not be started has ended at once."""
        try:
            running = _Running(job, ended, self)
        except OSError as error:
            ended(job, Outcome("not-started", error.errno or errno.EINVAL))
        except ValueError:  # a zero byte in an argument
            ended(job, Outcome("not-started", errno.EINVAL))
        else:
            running.arm(self._clock)

    def wait(self, *, block: bool = True) -> None:
        """Wait until a program writes or ends, or `wake` is called, and see to it."""
        for descriptor, _ in self._poll.poll(None if block else 0):
            if descriptor == self._wake_in:
                with suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
                continue
            running = self._by_descriptor.get(descriptor)
            if running is not None:
                running.ready(descriptor)

    def wake(self) -> None:
        """Make a `wait` return, from any thread."""
        with suppress(BlockingIOError, OSError):  # full: it will return anyway; closed: nobody waits
            os.write(self._wake_out, b"!")

    def close(self) -> None:
        """Kill what still runs, and close everything."""
        for running in set(self._by_descriptor.values()):
            running.abandon()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def watch(self, descriptor: int, running: _Running) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._by_descriptor[descriptor] = running

    def forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._by_descriptor[descriptor]
        os.close(descriptor)


class _Running:
    """One program: its process, the end of its output, and its time limit."""

    def __init__(self, job: Job, ended: Ended, owner: Processes) -> None:
        self.job = job
        self._ended = ended
        self._owner = owner
        self._kept = bytearray()
        self._size = 0
        self._timer: Timer | None = None
        self._lock = threading.Lock()  # a process group must not be killed once its number is free again
        self._reaped = self._too_late = False
        self._output, writable = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                job.argv,
                env=job.environment,
                stdin=subprocess.DEVNULL,
                stdout=writable,
                stderr=writable,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(writable)
        os.set_blocking(self._output, False)
        try:
            self._end = os.pidfd_open(self._process.pid)
        except OSError:  # no descriptor is left: nobody could watch it
            self._kill_group()
            self._process.wait()
            os.close(self._output)
            raise
        owner.watch(self._output, self)
        owner.watch(self._end, self)

    def arm(self, clock: Clock) -> None:
        self._timer = clock.call_later(self.job.timeout_s, self._time_is_over)

    def ready(self, descriptor: int) -> None:
        if descriptor == self._end:
            self._finish()
        elif self._output >= 0 and not self._read():
            self._close_output()

    def abandon(self) -> None:
        self._finish(tell=False)

    def _read(self) -> bool:
        """Take what the program wrote; False at its end. What is beyond the limit is counted, not kept."""
        for _ in range(_READS_IN_A_ROW):  # others want to be heard as well
            try:
                data = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._size += len(data)
            room = self._owner.output_bytes - len(self._kept)
            self._kept += data[: max(0, room)]
        return True

    def _close_output(self) -> None:
        if self._output >= 0:
            self._owner.forget(self._output)
            self._output = -1

    def _kill_group(self) -> None:
        with self._lock:
            if not self._reaped:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _time_is_over(self) -> None:
        self._too_late = True
        self._kill_group()

    def _finish(self, *, tell: bool = True) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._kill_group()  # the leader is dead but not reaped: the number is still its group's
        with self._lock:
            code = self._process.wait()
            self._reaped = True
        self._owner.forget(self._end)
        if self._output >= 0:
            self._read()
            self._close_output()
        if tell:
            self._ended(self.job, self._outcome(code))

    def _outcome(self, code: int) -> Outcome:
        output = bytes(self._kept), self._size
        if self._too_late and code == -signal.SIGKILL:
            return Outcome("timed-out", signal.SIGKILL, *output)
        return Outcome("killed", -code, *output) if code < 0 else Outcome("exited", code, *output)
