"""What a recovery waits for, so that it can be written from top to bottom and yet hold no thread.

A recovery is a generator. It yields a wait and goes on with what that gives: on the machine's clock in a
worker thread, on a fake clock in the thread that moves time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from midlayer.mid.command import Command, Phase
from midlayer.mid.completion import with_lun_bits

if TYPE_CHECKING:
    from midlayer.mid.clock import Clock, Timer, Worker
    from midlayer.mid.logical_unit import LogicalUnit

_log = logging.getLogger("midlayer.recovery")
_T = TypeVar("_T")

Resume = Callable[[object], None]


class Wait(Protocol):
    """Something that takes time."""

    def begin(self, resume: Resume) -> None:
        """Start; `resume` is called once with the outcome, perhaps before this returns."""


Steps = Generator[Wait, object, _T]
"""A part of a recovery that waits now and then, and returns something."""


class Settle:
    """Time that has to pass."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def begin(self, resume: Resume) -> None:
        self._clock.call_later(self._seconds, partial(resume, None))


class Sent(Enum):
    """What became of a command of the error handler's."""

    DONE = auto()
    BUSY = auto()
    TIMED_OUT = auto()
    RAISED = auto()


class Send:
    """A command of the error handler's own: past the queues, and counted nowhere.

    Args:
        device: Where to.
        cdb: What.
        timeout_s: Seconds for the driver.
        data_in: Room for data.
    """

    def __init__(
        self, device: LogicalUnit, cdb: bytes, timeout_s: float, data_in: bytearray | None = None
    ) -> None:
        if device.lun_in_cdb:
            cdb = with_lun_bits(cdb, device.address.lun)
        room = memoryview(data_in) if data_in is not None else None
        self.command = Command(device, cdb, None, room, timeout_s, 0, True)
        self._host = device.host
        self._timer: Timer | None = None
        self._resume: Resume

    def begin(self, resume: Resume) -> None:
        host, command = self._host, self.command
        self._resume = resume
        command.phase = Phase.ISSUED
        command.started_s = host.monotonic()
        self._timer = host.clock.call_later(command.timeout_s, self._timed_out)
        try:
            busy = command.device.queuecommand(command, self._done)
        except Exception:
            _log.exception("%s: driver %s raised in queuecommand", command, host.name)
            self._end(Sent.RAISED)
        else:
            if busy:
                self._end(Sent.BUSY)

    def _done(self, command: Command) -> None:
        if not self._end(Sent.DONE):
            host = self._host
            with host.lock:
                host.late_done += 1
            _log.info("%s: driver %s called done again, or after the time-out", command, host.name)

    def _timed_out(self) -> None:
        self._end(Sent.TIMED_OUT)

    def _end(self, outcome: Sent) -> bool:
        command = self.command
        with self._host.lock:
            if command.phase is not Phase.ISSUED:
                return False
            command.phase = Phase.LOST if outcome is Sent.TIMED_OUT else Phase.FINISHED
        if self._timer is not None:
            self._timer.cancel()
        command.duration_s = self._host.monotonic() - command.started_s
        self._resume(outcome)
        return True


def carry_out(worker: Worker, steps: Steps[None], at_end: Callable[[], None]) -> None:
    """Have a worker go through steps to the end; `at_end` is called then, even if they raise."""

    def go_on(value: object) -> None:
        try:
            wait = steps.send(value)
        except StopIteration:
            at_end()
        except BaseException as error:
            _log.error("a recovery broke off", exc_info=error)
            at_end()
            if not isinstance(error, Exception):
                raise
        else:
            wait.begin(lambda outcome: worker.post(partial(go_on, outcome)))

    worker.post(partial(go_on, None))
