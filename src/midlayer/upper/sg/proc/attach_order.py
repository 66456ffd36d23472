"""The order in which devices were attached, which is that of ``/proc/scsi/scsi``.

A device that was removed and added again comes last there, while its sg number is the lowest free one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from midlayer.mid.events import UpperDriver

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.subsystem import Subsystem

_making = threading.Lock()


class AttachOrder(UpperDriver):
    """Remembers the devices of a subsystem in order of attachment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[LogicalUnit, None] = {}

    @classmethod
    def of(cls, subsystem: Subsystem) -> AttachOrder:
        """Return the one of a subsystem, and register it the first time."""
        with _making:
            for driver in subsystem.upper_drivers():
                if isinstance(driver, cls):
                    return driver
            order = cls()
            subsystem.register_upper(order)
        return order

    def devices(self) -> tuple[LogicalUnit, ...]:
        """Return the devices that are there now, the one that was attached first, first."""
        with self._lock:
            return tuple(self._devices)

    def match(self, device: LogicalUnit) -> bool:
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._lock:
            self._devices[device] = None

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._lock:
            self._devices.pop(device, None)
