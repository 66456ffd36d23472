"""Aborts and resets that somebody asks for: sg's SG_SCSI_RESET, a target's task management, a person."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from midlayer.errors import InvalidRequest
from midlayer.mid.callbacks import demand
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.completion import finish, refuse, release_lost
from midlayer.mid.dispatch import run_queues
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.mid.recovery import LADDER, SETTLE_S
from midlayer.mid.recovery_callbacks import FAILED, SUCCESS
from midlayer.mid.recovery_step import Action
from midlayer.mid.target import Target

if TYPE_CHECKING:
    from midlayer.mid.host import Host

RESET_LEVELS = tuple(rung.reach for rung in LADDER)
"""What can be reset: ``device``, ``target``, ``bus``, ``host``."""

HOST_RESETS = ("adapter", "firmware")


def abort_command(command: Command) -> int:
    """Abort a command; it ends with DID_ABORT, unless it ends by itself meanwhile.

    Returns:
        SUCCESS if the driver does not have it any more; FAILED if it can not be aborted, or if the error
        handler sees to it already.
    """
    host = command.device.host
    with host.lock:
        queued = command.phase is Phase.QUEUED and host.withdraw(command)
        if queued:
            command.phase = Phase.RETURNED
        phase = command.phase
    if queued:
        refuse(command, HostByte.DID_ABORT)
        return SUCCESS
    if phase is not Phase.ISSUED:
        return FAILED if phase is Phase.LOST else SUCCESS
    if host.error_handler.ask("eh_abort_handler", Action.ABORT, "device", command) != SUCCESS:
        return FAILED
    with host.lock:
        mine = command.phase is Phase.ISSUED  # else the driver has called `done`
        if mine:
            command.phase = Phase.LOST
            timer, command.timer = command.timer, None
    if mine:
        if timer is not None:
            timer.cancel()
        release_lost(command, host)
        command.clear_answer()
        command.host_byte = HostByte.DID_ABORT
        command.residual = command.requested_bytes
        command.duration_s = host.monotonic() - command.started_s
        finish(command)
        host.error_handler.wake()
        run_queues(host)
    return SUCCESS


def reset(
    what: LogicalUnit | Target | Host, level: str, *, escalate: bool = False, nexus: Nexus = LOCAL
) -> int:
    """Reset a device, or what it hangs on, as the error handler would; new commands wait meanwhile.

    Args:
        what: A device, target or host.
        level: ``device``, ``target``, ``bus`` (the channel) or ``host``.
        escalate: True to go on to the next level, and the next, while one does not succeed.
        nexus: Who asked for it.

    Returns:
        SUCCESS, FAILED or FAST_IO_FAIL, of the last handler that was asked; FAILED if the driver has none.

    Raises:
        InvalidRequest: If there is no such level, or `what` is more than it can reset.
        NodeError: If the last handler could not use the device's node, for want of a right, say.
    """
    device = _representative(what, level)
    host = device.host
    first = RESET_LEVELS.index(level)
    rungs = LADDER[first:] if escalate else LADDER[first : first + 1]
    with host.lock:
        host.hold_back(host)
    settle_s = 0.0
    try:
        for rung in rungs:
            command = Command(device, bytes(6), passthrough=True)
            command.nexus = nexus
            outcome = host.error_handler.ask(rung.handler, rung.action, rung.reach, command)
            if outcome == SUCCESS:
                host.error_handler.note_reset(rung.reach, device)
                if rung.settles and not host.template.skip_settle_delay:
                    settle_s = SETTLE_S
                return outcome
        if command.error is not None:
            raise command.error
        return outcome
    finally:
        if settle_s:
            host.clock.call_later(settle_s, partial(_let_go, host))
        else:
            _let_go(host)


def host_reset(host: Host, kind: str) -> int:
    """Have the driver reset its adapter or firmware (sysfs ``host_reset``).

    Returns:
        0 or a negative errno, from the driver.

    Raises:
        InvalidRequest: If `kind` is neither.
    """
    if kind not in HOST_RESETS:
        raise InvalidRequest(
            f"host {host.host_no}: host_reset takes {' or '.join(HOST_RESETS)}, not {kind!r}"
        )
    return demand(host, host.template.host_reset, host, kind)


def report_bus_reset(host: Host, channel: int) -> None:
    """A driver has seen a reset of a channel: expect unit attentions (``scsi_report_bus_reset``)."""
    for device in host.devices():
        if device.address.channel == channel:
            device.was_reset = device.expecting_cc_ua = True


def report_device_reset(host: Host, channel: int, target: int) -> None:
    """A driver has seen a reset of a target (``scsi_report_device_reset``)."""
    for device in host.devices():
        if (device.address.channel, device.address.target) == (channel, target):
            device.was_reset = device.expecting_cc_ua = True


def block_requests(host: Host) -> None:
    """Send the driver no new commands until `unblock_requests` (``scsi_block_requests``)."""
    with host.lock:
        if not host.self_blocked:
            host.self_blocked = True
            host.hold_back(host)


def unblock_requests(host: Host) -> None:
    """Let commands through again (``scsi_unblock_requests``)."""
    with host.lock:
        if host.self_blocked:
            host.self_blocked = False
            host.hold_back(host, -1)
    run_queues(host)


def _let_go(host: Host) -> None:
    with host.lock:
        host.hold_back(host, -1)
    run_queues(host)


def _representative(what: LogicalUnit | Target | Host, level: str) -> LogicalUnit:
    """Return a device that stands for what is to be reset."""
    if level not in RESET_LEVELS:
        raise InvalidRequest(f"reset level {level!r}: there are {', '.join(RESET_LEVELS)}")
    if isinstance(what, LogicalUnit):
        return what
    if isinstance(what, Target):
        if level == "device":
            raise InvalidRequest(f"{what!r}: a target has no level below target")
        with what.host.lock:
            devices = list(what.logical_units.values())
        return devices[0] if devices else LogicalUnit(what, 0)
    if level != "host":
        raise InvalidRequest(f"host {what.host_no}: a host has no level below host")
    devices = what.devices()
    return devices[0] if devices else LogicalUnit(Target(what, 0, 0), 0)


__all__ = [
    "FAILED",
    "RESET_LEVELS",
    "SUCCESS",
    "abort_command",
    "block_requests",
    "host_reset",
    "report_bus_reset",
    "report_device_reset",
    "reset",
    "unblock_requests",
]
