"""Commands that follow from each other's answers, written once as a generator and run in two ways.

A generator of `Steps` yields questions and is sent their results. `ask` runs it and waits; `Asking` runs
many beside each other without a thread for each: the answer of one command sends the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, NamedTuple, Self, TypeVar

from midlayer.mid.command import Command, Result
from midlayer.mid.dispatch import execute, result_of, submit
from midlayer.mid.logical_unit import LogicalUnit

T = TypeVar("T")


class Question(NamedTuple):
    """A command that reads something: for whom, what, where to, and for how long."""

    device: LogicalUnit
    cdb: bytes
    room: bytearray
    timeout_s: float


Steps = Generator[Question, Result, T]


def ask(steps: Steps[T]) -> T:
    """Run the steps one after the other and return what they return.

    Raises:
        NodeError: If the driver could not use the device's node.
    """
    try:
        question = next(steps)
        while True:
            device, cdb, room, timeout_s = question
            question = steps.send(execute(device, cdb, data_in=memoryview(room), timeout_s=timeout_s))
    except StopIteration as stop:
        value: T = stop.value
        return value


class Asking(Generic[T]):
    """Steps that run on their own once `begin` has sent the first command: an answer sends the next.

    Args:
        steps: They must not block: a driver's thread runs them.
        at_end: Called after the last step, in the same thread.

    Attributes:
        over: Set after the last step.
    """

    def __init__(self, steps: Steps[T], at_end: Callable[[], None] = lambda: None) -> None:
        self._steps = steps
        self._at_end = at_end
        self._lock = threading.Lock()  # guards the two flags of one command
        self._submitting = self._answered = False
        self._command: Command | None = None
        self.over = threading.Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def begin(self) -> Self:
        """Send the first command."""
        self._go(None)
        return self

    def wait(self) -> T:
        """Wait for the end; return what the steps return, or raise what they raise."""
        polled = None
        while not self.over.is_set():
            command = self._command
            poll = command.device.host.poll_batch if command is not None else None
            if command is None or poll is None or command is polled:  # another thread sees to it
                self.over.wait()
            else:
                poll(command)
                polled = command
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # None only if that is what T is

    def _go(self, command: Command | None) -> None:
        """Send one command after the other, until one does not end before `submit` returns."""
        while (question := self._next(command)) is not None:
            device, cdb, room, timeout_s = question
            command = Command(device, cdb, None, memoryview(room), timeout_s, on_finished=self._answer)
            self._command = command
            self._submitting, self._answered = True, False
            submit(command)
            with self._lock:
                self._submitting = False
                if not self._answered:
                    return

    def _next(self, command: Command | None) -> Question | None:
        """Return the next question; None after the last, or if the steps raise."""
        try:
            return next(self._steps) if command is None else self._steps.send(result_of(command))
        except StopIteration as stop:
            self._value = stop.value
        except BaseException as error:
            self._error = error  # for who waits, who may be in another thread
        self.over.set()
        self._at_end()
        return None

    def _answer(self, command: Command) -> None:
        with self._lock:
            if self._submitting:  # `_go` is still there, and goes on itself
                self._answered = True
                return
        self._go(command)
