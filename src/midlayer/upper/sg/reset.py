"""Resets: device, target, bus, host, by the error handlers of a lower-level driver."""

from __future__ import annotations

import errno

from midlayer.errors import NodeError, UsageError
from midlayer.mid import task_management
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_callbacks import SUCCESS, provides

LADDER: dict[str, str] = {
    "device": "eh_device_reset_handler",
    "target": "eh_target_reset_handler",
    "bus": "eh_bus_reset_handler",
    "host": "eh_host_reset_handler",
}
"""Levels of a reset, each wider than the one before, and the driver's callback for it."""


def reset(device: LogicalUnit, level: str, *, escalate: bool = True) -> str | None:
    """Reset a device, or what it hangs on.

    Args:
        device: The device.
        level: A key of `LADDER`, where to begin.
        escalate: True to try the wider ones, one after the other, if it fails.

    Returns:
        The level that succeeded; None if none did.

    Raises:
        NodeError: If the driver could not use the device's node.
    """
    levels = list(LADDER)
    first = levels.index(level)
    for step in levels[first:] if escalate else [level]:
        if task_management.reset(device, step) == SUCCESS:
            return step
    return None


def reset_or_fail(device: LogicalUnit, level: str, *, escalate: bool = True) -> str:
    """Reset, and say at which level that succeeded; see `reset`.

    Raises:
        UsageError: If there is no such level.
        NodeError: EIO if no reset succeeded; the text says which were tried.
    """
    if level not in LADDER:
        raise UsageError(f"reset level {level!r}: write {', '.join(LADDER)}")
    done = reset(device, level, escalate=escalate)
    if done is None:
        levels = list(LADDER)
        tried = levels[levels.index(level) :] if escalate else [level]
        template = device.host.template
        missing = [one for one in tried if not provides(template, LADDER[one])]
        why = f"; driver {template.name} has none for {', '.join(missing)}" if missing else ""
        error = NodeError(f"{device.address}: no reset succeeded ({', '.join(tried)}){why}")
        error.errno = errno.EIO
        raise error
    return done
