"""What the subsystem has: hosts, devices and upper-level drivers, looked up and told of changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from midlayer.address import Address
from midlayer.errors import NoSuchDevice, NoSuchHost
from midlayer.mid.callbacks import call
from midlayer.mid.clock import Clock, SystemClock
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.quirks import QuirkTable


class Registry:
    """The part of `Subsystem` that changes no host and no device.

    Args:
        clock: Where time comes from; the machine's clock unless a test says otherwise.
        first_host_no: Lowest number for hosts whose driver does not ask for a number.

    Attributes:
        quirks: Devices that need care at scan time.
        passive_hosts: By driver, the hosts that `midlayer.mid.passive.register` made.
    """

    def __init__(self, *, clock: Clock | None = None, first_host_no: int = 0) -> None:
        self.clock: Clock = clock or SystemClock()
        self.first_host_no = first_host_no
        self.quirks = QuirkTable()
        self.passive_hosts: dict[HostTemplate, list[Host]] = {}
        self._lock = threading.Lock()
        self._hosts: dict[int, Host] = {}  # added hosts
        self._numbers: dict[int, Host] = {}  # all hosts that are not freed; of several, the last one
        self._upper: list[UpperDriver] = []

    def upper_drivers(self) -> tuple[UpperDriver, ...]:
        """Return the upper-level drivers, in the order of registration."""
        return tuple(self._upper)

    def hosts(self) -> list[Host]:
        """Return the hosts, in order of number."""
        with self._lock:
            return [self._hosts[number] for number in sorted(self._hosts)]

    def host(self, host_no: int) -> Host:
        """Return a host by its number.

        Raises:
            NoSuchHost: If there is none.
        """
        with self._lock:
            host = self._hosts.get(host_no)
        if host is None:
            raise NoSuchHost(f"host {host_no}: there is no such host")
        return host

    def devices(self) -> list[LogicalUnit]:
        """Return all devices, in order of address."""
        return [device for host in self.hosts() for device in host.devices()]

    def device(self, address: Address) -> LogicalUnit:
        """Return the device at an address.

        Raises:
            NoSuchDevice: If nothing is attached there.
        """
        host = self._hosts.get(address.host)
        target = host.targets.get((address.channel, address.target)) if host else None
        device = target.logical_units.get(address.lun) if target else None
        if device is None:
            raise NoSuchDevice(f"{address}: no device is attached at this address")
        return device

    def report_change(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        """Tell upper-level drivers what changed about a device."""
        for driver in list(device.upper):
            call(driver.changed, device, changes, by_resync=by_resync)

    @contextmanager
    def batch(self, host: Host) -> Iterator[None]:
        """Let upper-level drivers gather what happens inside."""
        drivers = tuple(host.upper)
        for driver in drivers:
            call(driver.scan_begins, host)
        try:
            yield
        finally:
            for driver in drivers:
                call(driver.scan_ends, host)
