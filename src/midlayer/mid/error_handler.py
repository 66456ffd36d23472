"""The place of error handling: what becomes of a command that timed out or that disposition calls FAILED.

Today a timed-out command ends with DID_TIME_OUT and a failed one ends as it came. Abort, resets and
taking a device offline will be decided here, and only here.
"""

from __future__ import annotations

from midlayer.mid.command import Command, HostByte


def times_out(command: Command) -> None:
    """Give its result to a command that the driver did not complete in time."""
    command.host_byte = HostByte.DID_TIME_OUT
    command.residual = command.requested_bytes


def fails(command: Command) -> None:
    """Give its result to a command whose answer the mid level can not accept."""
    if command.host_byte == HostByte.DID_OK and not command.status:
        command.host_byte = HostByte.DID_ERROR
