"""The trace filter: one line for each command, when it comes up.

::

    12 0:0:0:1 READ(10) lba=0 blocks=8: GOOD, 4096 bytes, 12 µs

SCSI logging (`midlayer.mid.command_trace`) says more of the ways of one command; this filter stands at one
place among others, and so tells what goes through there, faults above or below it included.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.lower.filters.filter import EVERYTHING, Done, Filter, QueueCommand, Scope
from midlayer.mid.command import Result

if TYPE_CHECKING:
    from midlayer.mid.command import Command

_log = logging.getLogger("midlayer.filters.trace")


class TraceFilter(Filter):
    """Says a line for each command that ends.

    Args:
        say: Takes the lines, from any thread; without it they go to the logger ``midlayer.filters.trace``.
        scope: For which logical units.
    """

    def __init__(self, say: Callable[[str], object] | None = None, scope: Scope = EVERYTHING) -> None:
        super().__init__(scope)
        self._say = say or _log.info
        self._numbers = itertools.count(1)

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        begin_s = self.clock.monotonic()

        def coming_up(command: Command) -> None:
            try:
                self._say(self._line(command, self.clock.monotonic() - begin_s))
            except Exception:  # a listener's mistake must not become the end of a command
                _log.exception("a line could not be said: %s", command)
            done(command)

        busy = behind(command, coming_up)
        if busy:
            self._say(f"{next(self._numbers)} {command}: refused with {busy:#x}")
        return busy

    def _line(self, command: Command, elapsed_s: float) -> str:
        moved = command.requested_bytes - command.residual
        data = f", {moved} bytes" if command.requested_bytes else ""
        return f"{next(self._numbers)} {command}: {outcome(command)}{data}, {elapsed_s * 1e6:.0f} µs"


def outcome(command: Command) -> str:
    """Return what became of a command that comes up, in words."""
    result = Result(
        command.status, command.host_byte, 0, command.sense_data, command.residual, 0.0, None,
        command.device.address, command.cdb,
    )  # fmt: skip
    return result.outcome
