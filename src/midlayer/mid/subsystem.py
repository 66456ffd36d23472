"""The subsystem: all hosts, and the upper-level drivers that hear of their devices.

The kernel's functions are methods here, without the ``scsi_`` prefix: `host_alloc`, `add_host`,
`scan_host`, `remove_host`, `add_device`, `remove_device`.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from midlayer.address import Address
from midlayer.errors import DeviceExists, InvalidRequest, StateError
from midlayer.mid import queue_depth, scan, unit_attention
from midlayer.mid.async_scan import AsyncScans
from midlayer.mid.callbacks import ask, call, demand
from midlayer.mid.clock import Clock
from midlayer.mid.dispatch import fail_queued, run_queues
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host, HostState
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.inquiry import read_vpd_pages
from midlayer.mid.logical_unit import DeviceState, Gate, LogicalUnit
from midlayer.mid.queue_depth import MAX_QUEUE_DEPTH
from midlayer.mid.recovery_callbacks import EH_SCOPES, provides
from midlayer.mid.registry import Registry
from midlayer.mid.target import Target

__all__ = ["MAX_QUEUE_DEPTH", "SCAN_TYPES", "Subsystem"]

_log = logging.getLogger("midlayer.subsystem")

SCAN_TYPES = ("sync", "async", "manual", "none")

_REMOVAL = {HostState.RUNNING: HostState.CANCEL, HostState.RECOVERY: HostState.CANCEL_RECOVERY}
_SCANNABLE = frozenset(_REMOVAL)
_REMOVED = {HostState.CANCEL: HostState.DEL, HostState.CANCEL_RECOVERY: HostState.DEL_RECOVERY}


class Subsystem(Registry):
    """Hosts, targets and logical units, and who is told of them.

    Args:
        clock: Where time comes from; the machine's clock unless a test says otherwise.
        first_host_no: Lowest number for hosts whose driver does not ask for a number.
        scan_type: ``sync``, ``async``, ``manual`` or ``none``, as the kernel's ``scsi_mod.scan``: what
            `scan_new_host` does, and whether a person may scan at all.

    Attributes:
        quirks: Devices that need care at scan time.
        async_scans: Scans that run beside others, and their order.
        admission: Asked of each device before upper-level drivers see it; False keeps it from them, see
            `midlayer.mid.admission`. None admits all.
        attention: Told of each unit attention, in the thread that completes the command. It must not block.

    Raises:
        InvalidRequest: If there is no such `scan_type`.
    """

    def __init__(
        self, *, clock: Clock | None = None, first_host_no: int = 0, scan_type: str = "sync"
    ) -> None:
        super().__init__(clock=clock, first_host_no=first_host_no)
        if scan_type not in SCAN_TYPES:
            raise InvalidRequest(f"scan type {scan_type!r}: there are {', '.join(SCAN_TYPES)}")
        self.scan_type = scan_type
        self.async_scans = AsyncScans(self)
        self.admission: Callable[[LogicalUnit], bool] | None = None
        self.attention: Callable[[LogicalUnit, int, int], None] | None = None

    # Upper-level drivers

    def register_upper(self, driver: UpperDriver) -> None:
        """Add an upper-level driver. It hears of the hosts and devices that are there already."""
        with self._lock:
            self._upper.append(driver)
        for host in self.hosts():
            with host.scan_mutex:
                if driver in host.upper or host.state is HostState.DEL:
                    continue  # it was added, or removed, just now
                host.upper.append(driver)
                call(driver.host_added, host)
                for device in host.devices() if not host.async_scan else ():
                    if device.admitted:
                        self._attach_to(driver, device, by_resync=False)

    # Hosts

    def host_alloc(self, template: HostTemplate, *, host_no: int | None = None) -> Host:
        """Make a host, with one reference, that nobody sees before `add_host`.

        Args:
            template: The driver.
            host_no: A number that the driver needs (the kernel's own); by default the lowest free one.

        Raises:
            DeviceExists: If the number is taken.
        """
        with self._lock:
            if host_no is None:
                host_no = self.first_host_no
                while host_no in self._numbers:
                    host_no += 1
            elif host_no in self._numbers and self._numbers[host_no].state is not HostState.DEL:
                raise DeviceExists(f"host {host_no}: the number is taken")
            # The kernel gives the number of a removed host anew, even if somebody here still refers to it.
            host = self._numbers[host_no] = Host(self, template, host_no)
        return host

    def add_host(self, host: Host, *, by_resync: bool = False) -> None:
        """Show a host to the upper-level drivers.

        Raises:
            InvalidRequest: If ``can_queue`` is not at least 1, or `eh_scope` is unknown.
            StateError: If the host was added before.
        """
        if host.state is not HostState.CREATED:
            raise StateError(f"host {host.host_no}: it was added before, and is {host.state.value} now")
        if host.can_queue < 1:
            raise InvalidRequest(
                f"host {host.host_no} ({host.name}): can_queue is {host.can_queue}, at least 1"
            )
        if host.eh_scope not in EH_SCOPES:
            scopes = ", ".join(EH_SCOPES)
            raise InvalidRequest(
                f"host {host.host_no} ({host.name}): eh_scope is {host.eh_scope!r}, not {scopes}"
            )
        host.cmd_per_lun = min(host.cmd_per_lun, host.can_queue)
        with host.scan_mutex:
            host.set_state(HostState.RUNNING)
            with self._lock:
                host.upper = list(self._upper)
                self._hosts[host.host_no] = host
            for driver in tuple(host.upper):
                call(driver.host_added, host, by_resync=by_resync)

    def scan_new_host(self, host: Host) -> None:
        """Look for the devices of a host that was just added, in the way that `scan_type` says.

        A driver with `scan_finished` finds them itself. With ``async`` this returns at once, and the
        devices come later (rule SC-29).
        """
        if self.scan_type in ("manual", "none"):
            return
        if self.scan_type == "async":
            self.async_scans.begin(host)
        elif provides(host.template, "scan_finished"):
            self.async_scans.begin(host)
            self.async_scans.wait()
        else:
            self.scan_host(host)

    def announce(self, host: Host) -> None:
        """Attach the devices that an asynchronous scan has found; called in the order of the hosts."""
        with host.scan_mutex, self.batch(host):
            host.async_scan = False
            for device in host.devices():
                for driver in tuple(host.upper if device.admitted else ()):
                    self._attach_to(driver, device, by_resync=False)

    def scan_host(
        self, host: Host, channel: int | None = None, target: int | None = None, lun: int | None = None
    ) -> None:
        """Look for devices; None stands for all. Devices that vanished are not removed (rule SC-24).

        Raises:
            InvalidRequest: If a number is beyond what the host can address (rule SC-27).
        """
        limits = ((channel, host.max_channel + 1), (target, host.max_id), (lun, host.max_lun))
        for (value, limit), what in zip(limits, ("channel", "target", "lun"), strict=True):
            if value is not None and not 0 <= value < limit:
                raise InvalidRequest(f"host {host.host_no}: {what} {value} is not below {limit}")
        channels = range(host.max_channel + 1) if channel is None else (channel,)
        ids = range(host.max_id) if target is None else (target,)
        with host.scan_mutex, self.batch(host):
            for each_channel in channels:
                for each_id in ids:
                    if host.state not in _SCANNABLE:
                        return
                    if each_id == host.this_id:  # SC-20
                        continue
                    with self.scanned_target(host, each_channel, each_id) as scanned:
                        if scanned is not None:
                            scan.scan_target(self, scanned, lun)

    def remove_host(self, host: Host, *, by_resync: bool = False) -> None:
        """Remove a host and its devices; the caller still has its reference to put."""
        with host.scan_mutex:
            if not host.advance(_REMOVAL):
                return  # not added, or somebody removes it already
            with self.batch(host):
                for device in host.devices():
                    self.remove_device(device, by_resync=by_resync)
                host.advance(_REMOVED)
                with self._lock:
                    del self._hosts[host.host_no]
                for driver in reversed(host.upper):
                    call(driver.host_removed, host, by_resync=by_resync)

    def host_freed(self, host: Host) -> None:
        """The last reference of a host is gone; called by `Host.put`."""
        with self._lock:
            if self._numbers.get(host.host_no) is host:
                del self._numbers[host.host_no]
        if not host.released:
            host.released = True
            call(host.template.release, host)
        host.hostdata = None

    # Devices

    def add_device(self, host: Host, channel: int, target: int, lun: int) -> LogicalUnit:
        """Probe one address, and add the device that answers there.

        Raises:
            NoSuchDevice: If nothing answers, or what answers is no device.
        """
        self.scan_host(host, channel, target, lun)
        return self.device(Address(host.host_no, channel, target, lun))

    def add_reported_device(
        self,
        host: Host,
        address: Address,
        *,
        inquiry: bytes,
        vpd_pages: Mapping[int, bytes],
        names: Mapping[str, str],
        session: str,
        by_resync: bool = False,
    ) -> LogicalUnit | None:
        """Add a device that the driver has probed already, with the data that its probe gave.

        Returns:
            The device, or None if the driver's `slave_alloc` or `slave_configure` refused it.

        Raises:
            DeviceExists: If the address is taken.
        """
        with (
            host.scan_mutex,
            self.scanned_target(host, address.channel, address.target) as target,
        ):
            if target is None:
                return None
            if address.lun in target.logical_units:
                raise DeviceExists(f"{address}: the address is taken")
            device = self.allocate_device(target, address.lun)
            if device is None:
                return None
            if inquiry:  # else nothing is known of it, and LogicalUnit says so
                device.set_inquiry(inquiry)
            device.vpd_pages.update(vpd_pages)
            device.names.update(names)
            device.session = session
            return device if self.install_device(device, probed=False, by_resync=by_resync) else None

    def remove_device(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        """Detach and remove a device: upper-level drivers first, then `slave_destroy`."""
        with device.host.scan_mutex:
            if device.state in (DeviceState.CANCEL, DeviceState.DELETED):
                return
            blocked = device.state in (DeviceState.BLOCKED, DeviceState.CREATED_BLOCKED)
            # The table has no way from blocked to cancel; straight to the end, or commands would be held.
            device.set_state(DeviceState.DELETED if blocked else DeviceState.CANCEL)
            fail_queued(device)
            for driver in reversed(device.upper):
                call(driver.detach, device, by_resync=by_resync)
            self._discard(device)

    def set_device_state(self, device: LogicalUnit, state: DeviceState) -> None:
        """Take a device offline, or back to running.

        Raises:
            StateError: If the state table does not have the change.
        """
        with device.host.scan_mutex:
            before = device.state
            if state in (DeviceState.RUNNING, DeviceState.OFFLINE):
                demand(device.host, device.host.template.user_state, device, state.value)
            device.set_state(state)
            if device.gate is Gate.CLOSED:
                fail_queued(device)
            else:
                run_queues(device.host)
            if device.state is not before:
                self.report_change(device, {"state": state.value})

    def adjust_queue_depth(self, device: LogicalUnit, depth: int) -> int:
        """Set how many commands the driver gets at once for a device; 0 or less leaves it as it is.

        Returns:
            The depth that is now in force, at most the host's can_queue (rule QD-1).
        """
        return queue_depth.change_queue_depth(device, depth)

    # For the scan

    def allocate_device(self, target: Target, lun: int) -> LogicalUnit | None:
        """Make a device that is not yet visible; None if the driver does not want one (rule SC-2)."""
        if target.host.state not in _SCANNABLE:
            return None  # removed by a callback of the scan itself
        device = LogicalUnit(target, lun)
        target.host.hold()
        refusal = ask(target.host.template.slave_alloc, device)
        if refusal:
            if refusal not in (errno.ENXIO, -errno.ENXIO):
                _log.warning("%s: slave_alloc refused the device with %d", device.address, refusal)
            device.set_state(DeviceState.DELETED)
            device.put()
            return None
        return device

    def install_device(self, device: LogicalUnit, *, probed: bool = True, by_resync: bool = False) -> bool:
        """Configure a device that answered and show it to the upper-level drivers.

        Returns:
            False if the driver refused it; it is gone then (rule SC-13).
        """
        if ask(device.host.template.slave_configure, device):
            self.drop_device(device)
            return False
        if probed:
            device.vpd_pages.update(read_vpd_pages(device))  # SC-14
        device.max_queue_depth = device.queue_depth
        if device.state is DeviceState.CREATED:
            device.set_state(DeviceState.RUNNING)
        with device.host.lock:
            device.target.enlist(device)
        device.host.way.lead_to(device)  # it may have changed during the scan
        device.admitted = self.admission is None or self.admission(device)
        if device.admitted and not device.host.async_scan:
            for driver in tuple(device.host.upper):
                self._attach_to(driver, device, by_resync=by_resync)
        return True

    def drop_device(self, device: LogicalUnit) -> None:
        """Forget a device that upper-level drivers never saw."""
        self._discard(device)

    # Inside

    def _discard(self, device: LogicalUnit) -> None:
        device.set_state(DeviceState.DELETED)
        queue_depth.forget(device)
        call(device.host.template.slave_destroy, device)
        target = device.target
        with device.host.lock:
            target.strike(device)
        self._reap(target)
        device.put()

    @contextmanager
    def scanned_target(self, host: Host, channel: int, target_id: int) -> Iterator[Target | None]:
        """Give the target, made if need be; None if the driver does not want it scanned."""
        target = host.targets.get((channel, target_id))
        if target is None:
            target = Target(host, channel, target_id)
            if ask(host.template.target_alloc, target):
                yield None
                return
            with host.lock:
                host.targets[channel, target_id] = target
        target.scans += 1
        try:
            yield target
        finally:
            target.scans -= 1
            self._reap(target)

    def _reap(self, target: Target) -> None:
        key = (target.channel, target.id)
        with target.host.lock:
            unused = not target.logical_units and not target.scans
            if not unused or target.host.targets.get(key) is not target:
                return
            del target.host.targets[key]
        unit_attention.luns_were_read(target)
        call(target.host.template.target_destroy, target)

    def _attach_to(self, driver: UpperDriver, device: LogicalUnit, *, by_resync: bool) -> None:
        try:
            if driver.match(device):
                device.upper.append(driver)
                driver.attach(device, by_resync=by_resync)
        except Exception:
            _log.exception("%s: upper driver %s raised in attach", device.address, type(driver).__name__)
            if driver in device.upper:  # it is not bound, and will not be told to let go
                device.upper.remove(driver)
