"""The callbacks of a lower-level driver that the error handler makes; part of `HostTemplate`.

All are OPTIONAL. A driver that has none of the five ``eh_…_handler`` callbacks has no error handler: its
commands that time out end with DID_TIME_OUT, and no device of it is taken offline.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midlayer.mid.command import Command

SUCCESS = 0x2002
"""Return value of a handler: done; the driver has given up every command that it was about."""

FAILED = 0x2003
"""Return value of a handler: not done. A handler that a driver does not have counts as this."""

FAST_IO_FAIL = 0x2008
"""Return value of a handler: the transport is gone; end the commands and try nothing else."""


EH_SCOPES = ("host", "target", "device")


class TimeOut(IntEnum):
    """What `eh_timed_out` returns (the kernel's ``SCSI_EH_…``)."""

    NOT_HANDLED = 0
    """The error handler is to take over."""
    RESET_TIMER = 1
    """The command gets its whole time once more."""
    DONE = 2
    """The driver completes the command itself, before this returns or soon after."""


class RecoveryCallbacks:
    """What the error handler asks of a driver, from the gentlest to the harshest.

    The handlers get the command that failed, or one of those that did; for a reset that a person asked
    for, a command that the driver has never seen. They return SUCCESS, FAILED or FAST_IO_FAIL. What a
    handler raises, and any other value, is logged and counts as FAILED.
    """

    track_queue_depth: bool = False
    """OPTIONAL. True to have queue depths follow TASK SET FULL (rules QD-2 to QD-4)."""

    no_async_abort: bool = False
    """OPTIONAL. True to keep `eh_abort_handler` from being called while other commands run."""

    eh_deadline: int = -1
    """OPTIONAL. Seconds after which recovery goes straight to `eh_host_reset_handler`; -1 for no limit."""

    eh_scope: str = "host"
    """OPTIONAL. What is held while recovery runs: ``host`` as in the kernel, or only the ``target`` or the
    ``device``, until a step of the ladder reaches further."""

    recovers_itself: bool = False
    """OPTIONAL. True if somebody else has done what recovery can do by the time the driver gives a command
    back, as the kernel has for its own devices. The handlers are then for resets that a person wants."""

    skip_settle_delay: bool = False
    """OPTIONAL. True if nothing needs ten seconds of rest after a bus or host reset."""

    max_host_blocked: int = 1
    """OPTIONAL. How many times 3 ms an idle host is left alone after HOST_BUSY (the kernel's default: 7)."""

    def eh_timed_out(self, command: Command) -> TimeOut:
        """Hear that a command was not completed in time, before anything is done about it.

        Status: OPTIONAL. Context: the clock's timer thread. May block: no. Locks held: none.
        Returns: a `TimeOut`; the default leaves it to the error handler.
        """
        return TimeOut.NOT_HANDLED

    def eh_abort_handler(self, command: Command) -> int:
        """Abort one command, while others run.

        Status: OPTIONAL. Context: a thread of the error handler, 10 ms after the time-out. May block: yes.
        Locks held: none.
        Returns: SUCCESS if the driver no longer has the command; it need not call `done`, and whatever it
            calls is ignored. Otherwise FAILED.
        """
        return FAILED

    def eh_device_reset_handler(self, command: Command) -> int:
        """Reset the logical unit of a command.

        Status: OPTIONAL. Context: a thread of the error handler, or of a person's wish; no new commands
            are sent meanwhile. May block: yes. Locks held: none.
        Returns: SUCCESS if the driver has no command for the unit any more; else FAILED, FAST_IO_FAIL.
        """
        return FAILED

    def eh_target_reset_handler(self, command: Command) -> int:
        """Reset the target of a command.

        Status: OPTIONAL. Context, locks and what it returns: as `eh_device_reset_handler`, for all logical
            units of the target. May block: yes.
        """
        return FAILED

    def eh_bus_reset_handler(self, command: Command) -> int:
        """Reset the channel of a command.

        Status: OPTIONAL. Context, locks and what it returns: as `eh_device_reset_handler`, for all that is
            on the channel, which then gets ten seconds to settle. May block: yes.
        """
        return FAILED

    def eh_host_reset_handler(self, command: Command) -> int:
        """Reset the host adapter itself: the last resort before devices are taken offline.

        Status: OPTIONAL. Context, locks and what it returns: as `eh_device_reset_handler`, for the whole
            host, which then gets ten seconds to settle. May block: yes.
        """
        return FAILED

    def eh_should_retry_cmd(self, command: Command) -> bool:
        """Say whether a command that recovery got back is worth another try.

        Status: OPTIONAL. Context: a thread of the error handler. May block: no. Locks held: none.
        Returns: False to have it end; the default is True.
        """
        return True


HANDLERS = (
    "eh_abort_handler",
    "eh_device_reset_handler",
    "eh_target_reset_handler",
    "eh_bus_reset_handler",
    "eh_host_reset_handler",
)
"""The callbacks that make an error handler."""


def provides(template: RecoveryCallbacks, name: str) -> bool:
    """Return whether a driver has a callback of its own, in its class or put on the instance."""
    if name in getattr(template, "__dict__", {}):
        return True
    for each in type(template).__mro__:
        if name in vars(each):
            return not each.__module__.startswith("midlayer.mid.")
    return False


def recovers(template: RecoveryCallbacks) -> bool:
    """Return whether the error handler is to act for a driver: it has any of the `HANDLERS`."""
    return not template.recovers_itself and any(provides(template, name) for name in HANDLERS)
