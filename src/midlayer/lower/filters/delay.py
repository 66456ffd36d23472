"""The delay filter: every command ends later than the driver ended it."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

from midlayer.lower.filters.delays import Delay
from midlayer.lower.filters.filter import EVERYTHING, Done, Filter, QueueCommand, Scope

if TYPE_CHECKING:
    from midlayer.mid.command import Command


class DelayFilter(Filter):
    """Holds each command that comes up for some time. Commands may overtake each other, if delays differ.

    Args:
        delay: How long; `values.delay` reads one from text.
        scope: For which logical units.
        seed: Of the distribution.
    """

    def __init__(self, delay: Delay, scope: Scope = EVERYTHING, *, seed: int = 0) -> None:
        super().__init__(scope)
        self.delay = delay
        self._choose = Random(seed)
        self._lock = threading.Lock()

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        return behind(command, lambda command: self._coming_up(command, done))

    def _coming_up(self, command: Command, done: Done) -> None:
        with self._lock:
            delay_s = self.delay.sample(self._choose)
        if delay_s > 0:
            self.holding.late(command, delay_s, done, done)
        else:
            done(command)
