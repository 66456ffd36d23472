"""What recovery does, step by step, as people and upper-level drivers see it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What was done."""

    TIME_OUT = "time out"
    ABORT = "abort"
    BEGIN = "begin"
    REQUEST_SENSE = "request sense"
    START_UNIT = "start unit"
    TEST_UNIT_READY = "test unit ready"
    DEVICE_RESET = "device reset"
    TARGET_RESET = "target reset"
    BUS_RESET = "bus reset"
    HOST_RESET = "host reset"
    PAST_DEADLINE = "past deadline"
    OFFLINE = "offline"
    RETRY = "retry"
    GIVE_UP = "give up"
    END = "end"


class RecoveryStep(NamedTuple):
    """One step.

    Attributes:
        wall_s: Seconds since 1970-01-01 UTC.
        host_no: Number of the host.
        action: What was done.
        subject: What it was done to: ``2:0:1:0``, target ``2:0:1``, channel ``2:0``, host ``2``.
        outcome: ``success``, ``failed``, ``fast io fail``; or a word or two about the command.
    """

    wall_s: float
    host_no: int
    action: Action
    subject: str
    outcome: str

    def __str__(self) -> str:
        return f"host {self.host_no}: {self.action} {self.subject}: {self.outcome}"
