"""Aborts and resets, as far as the mid level offers them."""

from __future__ import annotations

from typing import Any

from midlayer.mid import error_handler
from midlayer.mid.command import Command, Phase
from midlayer.mid.logical_unit import LogicalUnit

_SUCCESS = 0x2002  # the kernel's SUCCESS, which handlers of the mid level return

_abort: Any = getattr(error_handler, "abort_command", None)
_reset: Any = getattr(error_handler, "reset", None)


def abort(command: Command) -> bool:
    """Take a command from its device; True if the device does not have it any more."""
    if command.phase is Phase.FINISHED:
        return True
    return _abort is not None and _abort(command) == _SUCCESS


def can_reset() -> bool:
    """Say whether the mid level offers resets."""
    return _reset is not None


def reset(device: LogicalUnit) -> bool:
    """Reset a logical unit; True if that was done."""
    return _reset is not None and _reset(device, "device") == _SUCCESS
