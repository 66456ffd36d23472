"""The end of a command: what its submitter is told, and what the host's counters are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.mid.command import Command, HostByte, Phase

if TYPE_CHECKING:
    from midlayer.mid.host import Host

_log = logging.getLogger("midlayer.dispatch")

_FINISHED = Phase.FINISHED


def finish(command: Command) -> None:
    """End a command, with the answer that it has."""
    # The order matters: whoever waits sets `waiter` first and then looks at `phase`.
    command.phase = _FINISHED
    waiter = command.waiter
    if waiter is not None:
        waiter()
    on_finished = command.on_finished
    if on_finished is not None:
        call_on_finished(command, on_finished)


def call_on_finished(command: Command, on_finished: Callable[[Command], None]) -> None:
    """Call back; what it raises must not reach the driver, nor keep the queue from running."""
    try:
        on_finished(command)
    except Exception:
        _log.exception("%s: on_finished raised", command)


def refuse(command: Command, host_byte: HostByte) -> None:
    """End a command that does not reach the driver, or not again."""
    command.clear_answer()
    command.host_byte = host_byte
    command.residual = command.requested_bytes
    command.duration_s = 0.0
    finish(command)


def with_lun_bits(cdb: bytes, lun: int) -> bytes:
    """Return a CDB with the LUN in byte 1, for devices up to SCSI-2 (rule SC-8)."""
    return bytes((cdb[0], (cdb[1] & 0x1F) | (lun << 5 & 0xE0))) + cdb[2:]


def release_lost(command: Command, host: Host) -> None:
    """Count a command whose time was over as no longer with its driver, which has given it up."""
    device = command.device
    with host.lock:
        command.phase = Phase.RETURNED
        host.busy -= 1
        device.busy -= 1
        host.unblock(device)


def makes_sense(command: Command) -> bool:
    """Return whether an answer is one that can be: numbers of a byte, and bytes for sense data."""
    status: object = command.status
    host_byte: object = command.host_byte
    residual: object = command.residual
    sense_data: object = command.sense_data
    return (
        isinstance(status, int)
        and isinstance(host_byte, int)
        and isinstance(residual, int)
        and isinstance(sense_data, bytes)
        and 0 <= status <= 0xFF
        and 0 <= host_byte <= 0xFF
        and residual <= command.requested_bytes
    )


def fail(command: Command) -> None:
    """Give a command the answer that its driver owes."""
    command.clear_answer()
    command.host_byte = HostByte.DID_ERROR
    command.residual = command.requested_bytes


def give_up(command: Command) -> None:
    """End a command that the driver does not have, if it has not ended, with DID_ERROR."""
    if command.phase is Phase.RETURNED:
        fail(command)
        finish(command)


def falls_short(command: Command) -> bool:
    """Return whether a GOOD command moved less than its submitter can use; it has failed then."""
    if command.requested_bytes - command.residual >= command.underflow:
        return False
    command.host_byte = HostByte.DID_ERROR
    return True
