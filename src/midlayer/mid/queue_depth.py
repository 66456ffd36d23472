"""Queue depth: how many commands the driver gets at once for one device (rules QD-1 to QD-5).

A device that answers TASK SET FULL again and again at one depth gets fewer commands; after two minutes
without, the depth grows back one by one, up to what it was. Both are done for all devices of a target, and
only for drivers with `track_queue_depth`.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from midlayer.errors import DriverError, InvalidRequest
from midlayer.mid import unit_attention
from midlayer.mid.recovery_callbacks import provides
from midlayer.standards.opcodes import Opcode

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.logical_unit import LogicalUnit

_log = logging.getLogger("midlayer.queue_depth")

MAX_QUEUE_DEPTH = 4096
RAMP_UP_S = 120.0
"""How long a depth stays as it is before it grows, after the last step and the last TASK SET FULL."""

BUCKET_S = 0.064
"""TASK SET FULL of one such stretch of time counts once (16 ticks of a kernel with 250 in a second)."""

PATIENCE = 10
"""How many of them in a row, at one depth, change nothing."""


def change_queue_depth(device: LogicalUnit, depth: int) -> int:
    """Set the depth; 0 or less leaves it as it is. Drivers may call it, or have it as their callback.

    Returns:
        The depth that is now in force, at most the host's can_queue (rule QD-1).
    """
    if depth > 0:
        with device.host.lock:
            device.queue_depth = min(depth, device.host.can_queue, MAX_QUEUE_DEPTH)
        device.host.run_queues()
    return device.queue_depth


def ask_for_queue_depth(device: LogicalUnit, depth: int) -> int:
    """Set the depth because a person wants it, through the driver (rule QD-5).

    Returns:
        The depth that is now in force; it is also the most to which tracking lets it grow.

    Raises:
        InvalidRequest: If the driver does not let it be changed, or not to this.
        DriverError: If the driver raises.
    """
    host = device.host
    if not provides(host.template, "change_queue_depth"):
        raise InvalidRequest(f"{device.address}: {host.name} does not let the queue depth be changed")
    if not 1 <= depth <= host.can_queue:
        raise InvalidRequest(f"{device.address}: a queue depth is 1 to {host.can_queue} here, not {depth}")
    try:
        answer = int(host.template.change_queue_depth(device, depth))
    except Exception as error:
        raise DriverError(f"{device.address}: {host.name} raised in change_queue_depth: {error!r}") from error
    if answer < 0:
        raise InvalidRequest(f"{device.address}: {host.name} refused queue depth {depth} with {answer}")
    device.max_queue_depth = device.queue_depth
    return device.queue_depth


def activate_tcq(device: LogicalUnit, depth: int) -> int:
    """Turn tagged queueing on, with a depth; returns the depth in force (``scsi_activate_tcq``)."""
    device.tagged = True
    return change_queue_depth(device, depth)


def deactivate_tcq(device: LogicalUnit, depth: int) -> int:
    """Turn tagged queueing off; `depth` commands, mostly 1, may still be with the driver at once."""
    device.tagged = False
    return change_queue_depth(device, depth)


def track_queue_full(device: LogicalUnit, depth: int) -> int:
    """Note one TASK SET FULL of a device, for which `depth` commands might be few enough (rule QD-2).

    Returns:
        0 if the queue depth stays; otherwise the one that is now in force.
    """
    history = device.queue_depth_history
    now_s = device.host.monotonic()
    if history.full_s > -math.inf and now_s // BUCKET_S == history.full_s // BUCKET_S:
        return 0
    history.full_s = now_s
    if depth != history.full_depth:
        history.full_count = 1
        history.full_depth = depth
    else:
        history.full_count += 1
    if history.full_count <= PATIENCE:
        return 0
    depth = change_queue_depth(device, depth)
    _log.info("%s: the task set is full, queue depth %d", device.address, depth)
    _watch(device)
    return depth


def note_task_set_full(device: LogicalUnit) -> None:
    """A command ended with TASK SET FULL (rule QD-3)."""
    if not device.host.template.track_queue_depth:
        return
    for each in _of_target(device):
        track_queue_full(each, each.queue_depth - 1)


def note_good(command: Command) -> None:
    """A command ended in GOOD while something was to be watched."""
    device = command.device
    if command.cdb[0] == Opcode.REPORT_LUNS:
        unit_attention.luns_were_read(device.target)
    if device.queue_depth_history.watched:
        _ramp_up(device)


def forget(device: LogicalUnit) -> None:
    """A device is going away; nothing of it is to be watched any more."""
    host, history = device.host, device.queue_depth_history
    with host.lock:
        if history.watched:
            history.watched = False
            host.watch(-1)


def _ramp_up(device: LogicalUnit) -> None:
    """Let the depths of a target grow, if it is time (rule QD-4)."""
    history = device.queue_depth_history
    now_s = device.host.monotonic()
    if device.queue_depth >= device.max_queue_depth:
        _watch(device)  # somebody else has set it
        return
    if now_s - history.ramp_up_s < RAMP_UP_S or now_s - history.full_s < RAMP_UP_S:
        return
    history.ramp_up_s = now_s
    for each in _of_target(device):
        if each.queue_depth != device.max_queue_depth:
            change_queue_depth(each, each.queue_depth + 1)
            _watch(each)


def _watch(device: LogicalUnit) -> None:
    """Look at commands that end in GOOD as long as the depth may grow."""
    host, history = device.host, device.queue_depth_history
    with host.lock:
        wanted = device.queue_depth < device.max_queue_depth
        if wanted != history.watched:
            history.watched = wanted
            host.watch(1 if wanted else -1)


def _of_target(device: LogicalUnit) -> list[LogicalUnit]:
    with device.host.lock:
        return list(device.target.logical_units.values())
