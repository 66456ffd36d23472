"""What is to be run, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_OUTPUT_BYTES = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A program that is to hear of devices.

    Attributes:
        command: Program and arguments; ``scsi`` is added to them.
        name: What its runs are called.
        only: ``attach`` or ``detach`` to leave the other out, empty for both.
        timeout_s: Seconds until it is ended, with all that it started.
    """

    command: tuple[str, ...]
    name: str
    only: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S

    def wants(self, action: str) -> bool:
        """Return whether it is to run for an ``add``, a ``remove`` or a ``change``."""
        return self.only in ("", {"add": "attach", "remove": "detach"}.get(action))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """What all agents together may use.

    Attributes:
        at_once: Agents that run at one time, at most.
        queue: Runs that wait in memory, at most; the log keeps the rest.
        output_bytes: Bytes of the output of one run that are kept.
    """

    at_once: int = 4
    queue: int = 1024
    output_bytes: int = DEFAULT_OUTPUT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One thing to be run: a program, or a built-in action. Two jobs are never equal.

    Attributes:
        name: What the run is called in the log.
        key: Jobs of one key run one after the other, in order; the address of a device as a rule.
        argv: Program and arguments. Empty for a built-in action.
        environment: All variables of the program.
        action: Name of a built-in action (`AgentRunner.add_action`); empty for a program.
        arguments: For the action.
        timeout_s: Seconds that the program has.
        event_count: The event that it is for; 0 if there is none, and its outcome is not kept then.
        step: Which of the steps of that event.
        recorded: False for an action that only finds out what is to run: it is run again after a restart
            for as long as something of its event is left, and its outcome is nobody's concern.
    """

    name: str
    key: str
    argv: tuple[str, ...] = ()
    environment: Mapping[bytes, bytes] = field(default_factory=dict)
    action: str = ""
    arguments: tuple[str, ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    event_count: int = 0
    step: int = 0
    recorded: bool = True


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        kind: ``exited``, ``killed``, ``timed-out`` or ``not-started``.
        status: Exit status, number of the signal, or errno.
        output: The first bytes of its output.
        output_size: Bytes of its output.
    """

    kind: str
    status: int | None
    output: bytes = b""
    output_size: int = 0

    @property
    def ok(self) -> bool:
        """True if it ended by itself, with status 0."""
        return self.kind == "exited" and self.status == 0

    def __str__(self) -> str:
        if self.kind == "not-started":
            return f"could not be started: {os.strerror(self.status or 0)}"
        if self.kind == "timed-out":
            return "was ended because its time was over"
        how = "was killed by signal" if self.kind == "killed" else "exit status"
        return f"{how} {self.status}"
