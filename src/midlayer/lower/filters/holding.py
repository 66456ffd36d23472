"""Commands that a filter keeps: those that are late, and those that are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.mid.command import Command, HostByte, Phase

if TYPE_CHECKING:
    from midlayer.lower.filters.filter import Done
    from midlayer.mid.clock import Clock, Timer

_SWEEP_FROM = 64


class _Held:
    """One try of a command. A retry is another try: it starts at another time."""

    __slots__ = ("command", "done", "started_s", "timer")

    def __init__(self, command: Command, done: Done) -> None:
        self.command = command
        self.done = done
        self.started_s = command.started_s
        self.timer: Timer | None = None

    @property
    def waited_for(self) -> bool:
        """False once the mid level has taken the command back, because its time was up."""
        return self.command.phase is Phase.ISSUED and self.command.started_s == self.started_s


class Holding:
    """Where commands wait for their time, or for nothing.

    An abort or a reset takes them out: the driver behind has completed them, or never had them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[Command, _Held] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)

    def late(self, command: Command, delay_s: float, then: Callable[[Command], None], done: Done) -> None:
        """Call `then` after some time, unless the command was aborted or its time ended before.

        Args:
            command: Nobody else may complete it meanwhile.
            delay_s: Seconds from now.
            then: Completes the command, or sends it on.
            done: Completes the command if a reset ends it first.
        """
        held = self._keep(command, done)

        def call() -> None:
            if self._take(held) and held.waited_for:
                then(command)

        held.timer = self._clock.call_later(delay_s, call)

    def lose(self, command: Command, done: Done) -> None:
        """Never complete a command: only its time-out, an abort or a reset ends it."""
        self._keep(command, done)

    def abort(self, command: Command) -> bool:
        """Forget one command; True if it was here, so that no driver has it."""
        with self._lock:
            held = self._held.pop(command, None)
        if held is None:
            return False
        _cancel(held)
        return True

    def reset(self, covers: Callable[[Command], bool]) -> int:
        """End all commands that a reset ends, with DID_RESET where somebody waits; return how many."""
        with self._lock:
            ended = [held for held in self._held.values() if covers(held.command)]
            for held in ended:
                del self._held[held.command]
        for held in ended:
            _cancel(held)
            if held.waited_for:
                held.command.clear_answer()
                held.command.host_byte = HostByte.DID_RESET
                held.command.residual = held.command.requested_bytes
                held.done(held.command)
        return len(ended)

    def _keep(self, command: Command, done: Done) -> _Held:
        held = _Held(command, done)
        with self._lock:
            if len(self._held) >= self._sweep_at:  # of those whose time ended without an abort
                self._held = {key: value for key, value in self._held.items() if value.waited_for}
                self._sweep_at = max(_SWEEP_FROM, 2 * len(self._held))
            self._held[command] = held
        return held

    def _take(self, held: _Held) -> bool:
        with self._lock:
            if self._held.get(held.command) is not held:
                return False
            del self._held[held.command]
            return True


def _cancel(held: _Held) -> None:
    if held.timer is not None:
        held.timer.cancel()
