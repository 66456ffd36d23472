"""Operations that take their time: SANITIZE (SBC-3 4.11) and FORMAT UNIT (SBC-3 5.3).

What an operation does to the medium is done when it begins, so that nothing is left to be found if the
process ends before it does. What takes time is the rest: until its end the unit refuses nearly everything,
and says how far it has come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from midlayer.lower.virtual.answers import CheckCondition
from midlayer.mid.command import Command, HostByte
from midlayer.standards.sense import SenseKey

if TYPE_CHECKING:
    from midlayer.lower.virtual.unit import VirtualUnit
    from midlayer.mid.clock import Clock

Why = tuple[int, int, int]
"""Sense key, ASC and ASCQ."""

Answer = Callable[[CheckCondition | None, HostByte], None]
"""Ends the command that has waited for an operation: with a refusal, with a host byte, or well."""

_WHOLE = 0x10000
_DID_OK, _DID_RESET = HostByte.DID_OK, HostByte.DID_RESET


class Kind(NamedTuple):
    """What sets one kind of operation apart.

    Attributes:
        ascq: Of NOT READY 04/xx, which is why commands are refused meanwhile.
        failure: What its own command ends with if it fails.
        leaves: In which state the unit is then.
        outlives_reset: A logical unit reset does not end it.
    """

    ascq: int
    failure: Why
    leaves: Why
    outlives_reset: bool


SANITIZE_FAILED: Why = (SenseKey.MEDIUM_ERROR, 0x31, 0x03)
FORMAT_CORRUPT: Why = (SenseKey.MEDIUM_ERROR, 0x31, 0x00)
SANITIZE = Kind(0x1B, SANITIZE_FAILED, SANITIZE_FAILED, outlives_reset=True)
FORMAT = Kind(0x04, (SenseKey.MEDIUM_ERROR, 0x31, 0x01), FORMAT_CORRUPT, outlives_reset=False)


class Deferred(Exception):
    """The command ends when the operation does; never leaves the driver."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation


class Operation:
    """One operation that goes on. Safe in any thread.

    Args:
        kind: What it is.
        duration_s: How long it takes.
        clock: Measures that.
        conclude: Called at its end, before the command that waits for it is answered; True if it went well.
    """

    __slots__ = (
        "_answer",
        "_began_s",
        "_clock",
        "_command",
        "_conclude",
        "_duration_s",
        "_lock",
        "_over",
        "_refusal",
        "kind",
    )

    def __init__(self, kind: Kind, duration_s: float, clock: Clock, conclude: Callable[[], bool]) -> None:
        self.kind = kind
        self._duration_s, self._clock, self._conclude = duration_s, clock, conclude
        self._lock = threading.Lock()
        self._command: Command | None = None
        self._answer: Answer | None = None
        self._over = False
        self._refusal: CheckCondition | None = None
        self._began_s = clock.monotonic()
        clock.call_later(duration_s, self._end)

    def refusal(self) -> CheckCondition:
        """Return why a command is refused meanwhile, with the progress in 65,536ths."""
        done = (self._clock.monotonic() - self._began_s) / self._duration_s
        progress = min(int(done * _WHOLE), _WHOLE - 1)
        return CheckCondition(SenseKey.NOT_READY, 0x04, self.kind.ascq, progress=progress)

    def wait(self, command: Command, answer: Answer) -> None:
        """Have `answer` called at the end of the operation, at once if it is over."""
        with self._lock:
            over = self._over
            if not over:
                self._command, self._answer = command, answer
        if over:
            answer(self._refusal, _DID_OK)

    def forget(self, command: Command) -> None:
        """Do not answer a command that was aborted; the operation goes on."""
        with self._lock:
            if self._command is command:
                self._command = self._answer = None

    def reset(self) -> None:
        """End the command that waits, because of a reset."""
        answer = self._take_answer(over=False)
        if answer is not None:
            answer(None, _DID_RESET)

    def stop(self, host_byte: HostByte) -> None:
        """End the operation before its time, and the command that waits with `host_byte`."""
        answer = self._take_answer(over=True)
        if answer is not None:
            answer(None, host_byte)

    def _end(self) -> None:
        if self._over:
            return
        if not self._conclude():
            self._refusal = CheckCondition(*self.kind.failure)
        answer = self._take_answer(over=True)
        if answer is not None:
            answer(self._refusal, _DID_OK)

    def _take_answer(self, *, over: bool) -> Answer | None:
        with self._lock:
            self._over = self._over or over
            answer, self._answer, self._command = self._answer, None, None
        return answer


def carry_out(
    unit: VirtualUnit, kind: Kind, work: Callable[[], None], duration_s: float, *, immediate: bool
) -> None:
    """Do the work of an operation; where it takes time, the unit is busy with it from then on.

    Raises:
        CheckCondition: It has failed, and does not take time; or another operation was quicker.
        Deferred: The command has to wait for the end.
    """
    failed = False
    try:
        work()
        unit.medium.flush()
    except OSError:
        if not unit.plugged:
            raise
        failed = True
    if duration_s:
        operation = unit.begin(kind, duration_s, failed=failed)
        if not immediate:
            raise Deferred(operation)
        return
    unit.conclude(kind, failed=failed)
    if failed:
        raise CheckCondition(*kind.failure)
