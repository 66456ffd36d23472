"""The way of commands from the mid level to a driver, and what stands in it: filters, SCSI logging.

A device has its own ``queuecommand``, which the mid level calls. It is the driver's, unless somebody covers
it; a device that nobody covers pays nothing for the covers of others::

    mid level ──> outermost cover ──> … ──> innermost cover ──> driver
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit

    QueueCommand: TypeAlias = Callable[[Command, Callable[[Command], None]], int]
    Cover: TypeAlias = Callable[[LogicalUnit, QueueCommand], QueueCommand]
    """What stands in for the second, for commands of a device; the second itself to let all of them pass."""


class Way:
    """The way to the devices of one host. Commands on their way are not touched by a change."""

    def __init__(self, host: Host, driver: QueueCommand) -> None:
        self._host = host
        self._driver = driver
        self._covers: tuple[Cover, ...] = ()  # the innermost first
        self._lock = threading.RLock()

    @property
    def driver(self) -> QueueCommand:
        """The end of the way: the driver's ``queuecommand``, or what somebody has put in its place."""
        return self._driver

    def replace_driver(self, driver: QueueCommand) -> None:
        """Have the way end somewhere else."""
        with self._lock:
            self._driver = driver
            self.renew()

    def cover(self, cover: Cover, *, innermost: bool = False) -> None:
        """Put a cover into the way of each device, also of those that come later."""
        with self._lock:
            self._covers = (cover, *self._covers) if innermost else (*self._covers, cover)
            self.renew()

    def uncover(self, cover: Cover) -> None:
        """Take a cover out of the way. A second time does nothing."""
        with self._lock:
            self._covers = tuple(other for other in self._covers if other != cover)
            self.renew()

    def to(self, device: LogicalUnit) -> QueueCommand:
        """Return what the mid level is to call for a device."""
        take = self._driver
        for cover in self._covers:
            take = cover(device, take)
        return take

    def renew(self, concerns: Callable[[LogicalUnit], bool] | None = None) -> None:
        """Ask the covers again what they want of each device, or of those that a change concerns."""
        for device in self._host.devices():
            if concerns is None or concerns(device):
                self.lead_to(device)

    def lead_to(self, device: LogicalUnit) -> None:
        """Have a device's commands take the way as it is now."""
        with self._lock:
            device.queuecommand = self.to(device)
