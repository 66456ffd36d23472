"""Aborts and resets by the mid level, in the words that task management needs."""

from __future__ import annotations

from midlayer.errors import NodeError
from midlayer.mid import task_management
from midlayer.mid.command import Command, Phase
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import Nexus
from midlayer.mid.recovery_callbacks import SUCCESS


def abort(command: Command) -> bool:
    """Take a command from its device; True if the device does not have it any more."""
    return command.phase is Phase.FINISHED or task_management.abort_command(command) == SUCCESS


def reset(device: LogicalUnit, nexus: Nexus) -> bool:
    """Reset a logical unit because an initiator asked for it; True if that was done."""
    try:
        return task_management.reset(device, "device", nexus=nexus) == SUCCESS
    except NodeError:
        return False
