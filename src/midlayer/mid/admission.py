"""Admission: which devices upper-level drivers see, and what happens when the answer changes.

`Subsystem.admission` is asked once for each device, after the device is configured and before any
upper-level driver hears of it. A device that is not admitted is part of its host, takes commands and
can be removed, but no upper-level driver knows of it.

This module is a part of the subsystem that is kept in a file of its own.
"""

from __future__ import annotations

from midlayer.mid.callbacks import call
from midlayer.mid.logical_unit import DeviceState, LogicalUnit


def admit(device: LogicalUnit, *, by_resync: bool = False) -> bool:
    """Show a device that was held back to the upper-level drivers.

    Returns:
        False if it was not held back, or is on its way out.
    """
    host = device.host
    with host.scan_mutex:
        if device.admitted or _is_going(device):
            return False
        device.admitted = True
        with host.subsystem.batch(host):
            for driver in tuple(host.upper):
                host.subsystem._attach_to(driver, device, by_resync=by_resync)
        return True


def withdraw(device: LogicalUnit) -> bool:
    """Take a device from the upper-level drivers, the last one first; it stays part of its host.

    Returns:
        False if it was held back already, or is on its way out.
    """
    host = device.host
    with host.scan_mutex:
        if not device.admitted or _is_going(device):
            return False
        device.admitted = False
        with host.subsystem.batch(host):
            for driver in reversed(device.upper):
                call(driver.detach, device)
        device.upper.clear()
        return True


def rebind(device: LogicalUnit) -> None:
    """Ask each upper-level driver anew whether it wants a device whose INQUIRY data has changed."""
    host = device.host
    with host.scan_mutex:
        if not device.admitted or _is_going(device):
            return
        for driver in tuple(host.upper):
            bound, wanted = driver in device.upper, driver.match(device)
            if bound and not wanted:
                call(driver.detach, device)
                device.upper.remove(driver)
            elif wanted and not bound:
                host.subsystem._attach_to(driver, device, by_resync=False)


def _is_going(device: LogicalUnit) -> bool:
    return device.state in (DeviceState.CANCEL, DeviceState.DELETED)
