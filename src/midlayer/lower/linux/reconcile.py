"""From what the kernel says to calls of the mid level: single events, and whole comparisons with sysfs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from midlayer.address import Address
from midlayer.errors import DeviceExists
from midlayer.lower.linux.driver import LinuxDriver
from midlayer.lower.linux.sysfs import Listing, SysfsDevice, SysfsHost
from midlayer.lower.linux.uevent import Uevent
from midlayer.mid.attention import tell_kernel_attention
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem

_log = logging.getLogger("midlayer.uevents")

NODE_DRIVERS = ("sg", "sd", "sr", "st", "bsg")


class Reconciler:
    """Makes the mid level agree with the kernel. Not thread-safe: the monitor calls it under its lock.

    Attributes:
        attaches: Devices that were added.
        detaches: Devices that were removed.
    """

    def __init__(self, subsystem: Subsystem, driver: LinuxDriver) -> None:
        self._subsystem = subsystem
        self._driver = driver
        self._sysfs = driver.sysfs
        self._refused: set[int] = set()  # hosts whose number another driver has; said once
        self.attaches = 0
        self.detaches = 0

    # Single events

    def host_event(self, event: Uevent, *, ambiguous: bool, complete: bool) -> None:
        """Handle the coming or going of a host.

        Args:
            event: An ``add`` or ``remove`` of a host.
            ambiguous: True if the last look at sysfs may have seen its outcome.
            complete: True if no event since that look is missing.
        """
        host_no = event.host_no
        if host_no is None:
            return
        known = self._driver.host(host_no)
        if event.action == "add":
            if known is not None:
                if complete or self._sysfs.host_session(host_no) == known.session:
                    return
                self._remove_host(known, by_resync=True)
            self._add_host(host_no, by_resync=False)
        else:
            self._refused.discard(host_no)
            if known is None or (ambiguous and self._sysfs.host_session(host_no) == known.session != ""):
                return
            self._remove_host(known, by_resync=False)

    def device_event(self, event: Uevent, *, ambiguous: bool, complete: bool) -> None:
        """Handle the coming or going of a device; arguments as for `host_event`."""
        address = event.address
        if address is None:
            return
        known = self._driver.device(address)
        if event.action == "add":
            if known is not None:
                # The object is in sysfs a moment before its event has a number, so that a look at sysfs
                # can find a device whose event comes later. With no event missing, that is what this is.
                if complete or self._sysfs.session(address) == known.session:
                    return
                self._detach(known, by_resync=True)
            self._attach(address, by_resync=False)
        elif known is not None and not (ambiguous and self._sysfs.session(address) == known.session != ""):
            self._detach(known, by_resync=False)

    def node_event(self, event: Uevent) -> None:
        """Handle the coming or going of a device node."""
        address, node = event.address, event.node
        device = None if address is None else self._driver.device(address)
        if device is None or node is None:
            return
        key, name = node
        if event.action == "add":
            self._driver.rename_device(device, {key: name})
        elif device.names.get(key) == name and self._sysfs.stays(device.address, device.session):
            # A device that goes away keeps its names, so that the record of its detach has them.
            self._driver.rename_device(device, {key: ""})

    def change_event(self, event: Uevent) -> None:
        """Handle what a device says of itself, such as a unit attention."""
        address, changes = event.address, event.changes
        device = None if address is None else self._driver.device(address)
        if device is not None and changes:
            with device.host.scan_mutex:
                self._subsystem.report_change(device, changes)
            tell_kernel_attention(device, changes.get("unit_attention", ""))

    def ensure_hosts(self, events: Iterable[Uevent]) -> None:
        """Add the hosts that these events of devices need, if their own event was missed."""
        for host_no in dict.fromkeys(event.host_no for event in events):
            if host_no is not None and self._driver.host(host_no) is None:
                self._add_host(host_no, by_resync=True)

    # Comparison

    def compare(self, listing: Listing, *, by_resync: bool) -> None:
        """Remove what is not listed or has another session, and add what is not known."""
        for host in self._driver.hosts():
            if listing.hosts.get(host.host_no) != host.session:
                self._remove_host(host, by_resync=by_resync)
        self._refused.intersection_update(listing.hosts)
        listed: dict[int, dict[Address, str]] = {}
        for address, session in listing.devices.items():
            listed.setdefault(address.host, {})[address] = session
        for host_no in listing.hosts:
            there = self._driver.host(host_no) or self._add_host(host_no, by_resync=by_resync)
            if there is not None:
                with there.scan_mutex, self._subsystem.batch(there):
                    self._compare_host(there, listed.get(host_no, {}), by_resync=by_resync)

    def _compare_host(self, host: Host, listed: dict[Address, str], *, by_resync: bool) -> None:
        for device in host.devices():
            if listed.get(device.address) != device.session:
                self._detach(device, by_resync=by_resync)
        for address, session in listed.items():
            device_there = self._driver.device(address)
            if device_there is None:
                self._attach(address, session=session, by_resync=by_resync)
            else:
                none = dict.fromkeys(NODE_DRIVERS, "")
                names = none | self._sysfs.names(address)
                self._driver.rename_device(device_there, names, by_resync=by_resync)

    # Calls of the mid level

    def _add_host(self, host_no: int, *, by_resync: bool) -> Host | None:
        found = self._sysfs.host(host_no) or SysfsHost(host_no=host_no)
        try:
            return self._driver.add_host(found, by_resync=by_resync)
        except DeviceExists:
            if host_no not in self._refused:
                self._refused.add(host_no)
                _log.error(
                    "host %d: the kernel's host is left out, because another driver's host has its number; "
                    "give the others higher numbers (first_host_no)",
                    host_no,
                )
            return None

    def _remove_host(self, host: Host, *, by_resync: bool) -> None:
        self.detaches += len(host.devices())
        self._driver.remove_host(host, by_resync=by_resync)

    def _attach(self, address: Address, *, session: str = "", by_resync: bool) -> None:
        host = self._driver.host(address.host)
        if host is None:
            return
        # It may be gone by now. Its coming is still told, as its going will be.
        found = self._sysfs.device(address) or SysfsDevice(address=address, session=session)
        if self._driver.add_device(host, found, by_resync=by_resync) is not None:
            self.attaches += 1

    def _detach(self, device: LogicalUnit, *, by_resync: bool) -> None:
        self._subsystem.remove_device(device, by_resync=by_resync)
        self.detaches += 1
