"""What a filter is: it stands between the mid level and a driver, and sees commands both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from midlayer.lower.filters.values import RuleError

if TYPE_CHECKING:
    from midlayer.lower.filters.holding import Holding
    from midlayer.mid.clock import Clock
    from midlayer.mid.command import Command
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit

Done = Callable[["Command"], None]
QueueCommand = Callable[["Command", Done], int]
EhHandler = Callable[["Command"], int]

SUCCESS, FAILED = 0x2002, 0x2003
"""What an ``eh_`` callback returns."""

EH_HANDLERS = (
    "eh_abort_handler",
    "eh_device_reset_handler",
    "eh_target_reset_handler",
    "eh_bus_reset_handler",
    "eh_host_reset_handler",
)

_PART = re.compile(r"\d{1,20}|\*", re.ASCII)


class Scope(NamedTuple):
    """Which logical units are meant, None for all: ``*``, ``2``, ``2:0:1``, ``2:0:1:0``, ``2:*:*:0``."""

    host: int | None = None
    channel: int | None = None
    target: int | None = None
    lun: int | None = None

    @classmethod
    def parse(cls, given: str, key: str = "device") -> Self:
        """Read a scope: up to four numbers or stars with colons between them.

        Raises:
            RuleError: If it is none.
        """
        parts = given.split(":") if given else []
        if len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
            raise RuleError(
                key, f"{given!r} must be an address such as 2:0:1:0, or its beginning: 2:0:1, 2 or *"
            )
        return cls(*(None if part == "*" else int(part) for part in parts))

    def covers(self, device: LogicalUnit) -> bool:
        """Return whether a device is meant."""
        return all(
            wanted is None or wanted == part for wanted, part in zip(self, device.address, strict=True)
        )

    def covers_host(self, host: Host) -> bool:
        """Return whether a device of this host may be meant."""
        return self.host is None or self.host == host.host_no

    def __str__(self) -> str:
        parts = ["*" if part is None else str(part) for part in self]
        while len(parts) > 1 and parts[-1] == "*":
            del parts[-1]
        return ":".join(parts)


EVERYTHING = Scope()


class Filter:
    """Base of all filters. A filter that overrides nothing lets everything through.

    The calls come from any thread, several at once. `behind` is the next filter, or the driver.

    Attributes:
        scope: Which logical units it is for.
        clock, holding: Set before the first call: the subsystem's time, and where a command waits.
    """

    clock: Clock
    holding: Holding

    def __init__(self, scope: Scope = EVERYTHING) -> None:
        self.scope = scope

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        """Take a command on its way down, under the contract of `HostTemplate.queuecommand`.

        Pass it on with ``behind(command, done)``, with a `done` of your own to see it coming up; or
        complete it yourself with ``done(command)`` and return 0; or return DEVICE_BUSY and the like.
        """
        return behind(command, done)

    def eh_handler(self, name: str, command: Command, behind: EhHandler) -> int:
        """Take an error handler's callback, one of `EH_HANDLERS`; return SUCCESS or FAILED."""
        return behind(command)

    def removed(self) -> None:
        """It sees no new commands from now on; those that it let down still come up through it."""

    def meets(self, device: LogicalUnit) -> bool:
        """Return whether any command of a device is to come here; asked again by `Filters.changed`."""
        return self.scope.covers(device)

    def stand_in(self, device: LogicalUnit, opcode: int, behind: QueueCommand) -> QueueCommand:
        """Return what stands in for `behind`, for the commands of one device with one operation code.

        A filter may return `behind` for what it never touches; such commands go straight on.
        """
        return partial(self.queuecommand, behind=behind)
