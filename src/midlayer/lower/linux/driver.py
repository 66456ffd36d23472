"""The lower-level driver of the kernel's own hosts: commands go down by SG_IO, everything else by sysfs."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from midlayer.address import Address
from midlayer.errors import MidlayerError, NodeError, NodePermission, NoSuchDevice, NoSuchHost
from midlayer.lower.linux.channels import FAILED, SUCCESS, Channels
from midlayer.lower.linux.in_use import who_uses
from midlayer.lower.linux.nodes import GONE, node_error, open_node, write_file
from midlayer.lower.linux.sg_io import MAX_CDB_BYTES, Ioctl, Pool
from midlayer.lower.linux.sysfs import Sysfs, SysfsDevice, SysfsHost, read_file
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import MAX_QUEUE_DEPTH, Subsystem

_log = logging.getLogger("midlayer.linux")

_KERNEL_CDB_BYTES = 32
_SG_SCSI_RESET = 0x2284
_RESET_DEVICE, _RESET_BUS, _RESET_HOST, _RESET_TARGET = 1, 2, 3, 4
_NO_ESCALATE = 0x100
_NEVER_SENT = (errno.EINVAL, errno.EMSGSIZE)


class KernelHost:
    """What the driver keeps for one host, in ``host.hostdata``.

    Attributes:
        sysfs: What sysfs said when the host was added.
        expected: Devices that are being added just now; the mid level finds no others by itself.
    """

    __slots__ = ("expected", "sysfs")

    def __init__(self, sysfs: SysfsHost) -> None:
        self.sysfs = sysfs
        self.expected: dict[Address, SysfsDevice] = {}


class KernelDevice:
    """What the driver keeps for one device, in ``device.hostdata``.

    Attributes:
        sysfs: What sysfs said when the device was added.
        pool: Descriptors of the sg node that it has now.
        channels: Others, for commands that nobody waits for.
    """

    __slots__ = ("channels", "pool", "sysfs")

    def __init__(self, sysfs: SysfsDevice, pool: Pool, channels: Channels) -> None:
        self.sysfs = sysfs
        self.pool = pool
        self.channels = channels

    def close(self) -> None:
        """Close the descriptors when the last commands have ended."""
        self.pool.close()
        self.channels.close()


class LinuxDriver(HostTemplate):
    """Lower-level driver of the kernel's hosts.

    A command that somebody waits for completes in the caller's thread, by SG_IO; one with `on_finished`
    goes by sg's write and read, and completes in a thread that reads the answers of its device.

    The kernel queues by itself, so that the mid level's queues are as good as never used here.

    Args:
        subsystem: Where the hosts are added.
        sys_root, proc_root, dev_root: Where sysfs, procfs and the nodes are.
        ioctl: Stands in for `fcntl.ioctl` in tests.

    Attributes:
        sysfs: The reader of sysfs.
        sg_flags: Of ``sg_io_hdr``, for every command (SG_FLAG_DIRECT_IO).
        closes_when_idle: True to close the descriptors of a device that gets no commands.
        watched: True while a `UeventMonitor` reports what comes and goes.
    """

    name = "linux"
    proc_name = "linux"
    can_queue = MAX_QUEUE_DEPTH
    cmd_per_lun = MAX_QUEUE_DEPTH
    max_cmd_len = MAX_CDB_BYTES
    skip_settle_delay = True  # the kernel has waited already
    recovers_itself = True
    names_its_devices = True
    scans_itself = True
    queuecommand_may_block = True
    closes_when_idle = True
    sg_flags = 0
    no_scsi2_lun_in_cdb = True  # the kernel puts the bits in where they belong

    def __init__(
        self,
        subsystem: Subsystem,
        *,
        sys_root: str | Path = "/sys",
        proc_root: str | Path = "/proc",
        dev_root: str | Path = "/dev",
        ioctl: Ioctl = fcntl.ioctl,
    ) -> None:
        self._subsystem = subsystem
        self._proc, self._dev = Path(proc_root), Path(dev_root)
        self._ioctl = ioctl
        self.sysfs = Sysfs(sys_root, proc=proc_root)
        self.watched = False

    # What the monitor, or whoever else knows of the kernel's devices, calls.

    def hosts(self) -> list[Host]:
        """Return the kernel's hosts that the subsystem has, in order of number."""
        return [host for host in self._subsystem.hosts() if host.template is self]

    def host(self, host_no: int) -> Host | None:
        """Return the kernel's host with a number, or None."""
        try:
            host = self._subsystem.host(host_no)
        except NoSuchHost:
            return None
        return host if host.template is self else None

    def device(self, address: Address) -> LogicalUnit | None:
        """Return the kernel's device at an address, or None."""
        try:
            device = self._subsystem.device(address)
        except NoSuchDevice:
            return None
        return device if device.host.template is self else None

    def add_host(self, found: SysfsHost, *, by_resync: bool = False) -> Host:
        """Add a host, without its devices.

        Raises:
            DeviceExists: If another driver's host has the number.
        """
        host = self._subsystem.host_alloc(self, host_no=found.host_no)
        host.name = host.proc_name = found.proc_name or self.name
        host.unique_id, host.session = found.unique_id, found.session
        host.sg_tablesize = found.sg_tablesize or self.sg_tablesize
        host.hostdata = KernelHost(found)
        try:
            self._subsystem.add_host(host, by_resync=by_resync)
        except MidlayerError:
            host.put()
            raise
        return host

    def remove_host(self, host: Host, *, by_resync: bool = False) -> None:
        """Remove a host and whatever devices it still has."""
        self._subsystem.remove_host(host, by_resync=by_resync)
        host.put()

    def add_device(self, host: Host, found: SysfsDevice, *, by_resync: bool = False) -> LogicalUnit | None:
        """Add a device of a host with what sysfs says of it.

        Raises:
            DeviceExists: If the address is taken.
        """
        expected: dict[Address, SysfsDevice] = host.hostdata.expected
        with host.scan_mutex:
            expected[found.address] = found
            try:
                return self._subsystem.add_reported_device(
                    host,
                    found.address,
                    inquiry=found.inquiry,
                    vpd_pages=found.vpd_pages,
                    names=found.names,
                    session=found.session,
                    by_resync=by_resync,
                )
            finally:
                del expected[found.address]

    def rename_device(
        self, device: LogicalUnit, names: Mapping[str, str], *, by_resync: bool = False
    ) -> None:
        """Set nodes of a device, by upper-level driver, and report it; an empty name takes one away."""
        with device.host.scan_mutex:
            changes = {key: name for key, name in names.items() if device.names.get(key, "") != name}
            if not changes:
                return
            for key, name in changes.items():
                if name:
                    device.names[key] = name
                else:
                    del device.names[key]
            if "sg" in changes:
                unit: KernelDevice = device.hostdata
                device.hostdata = self._unit(device, unit.sysfs)
                unit.close()
            self._subsystem.report_change(device, changes, by_resync=by_resync)

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        unit: KernelDevice = command.device.hostdata
        if command.on_finished is not None:
            try:
                return unit.channels.submit(command, done)
            except OSError as error:
                _fail(command, error)
            done(command)
            return 0
        pool = unit.pool
        try:
            try:
                slot = pool.pop()
            except IndexError:
                slot = pool.take()
            try:
                slot.execute(command)
            finally:
                pool.give_back(slot)
        except OSError as error:
            _fail(command, error)
        done(command)
        return 0

    def eh_abort_handler(self, command: Command) -> int:
        """Forget a command that is on its way: sg has no abort, so the device may still carry it out.

        Its answer is never read, and nothing more comes into its buffer.
        """
        unit: KernelDevice = command.device.hostdata
        return unit.channels.abandon(command)

    def eh_device_reset_handler(self, command: Command) -> int:
        return self._reset(command.device, _RESET_DEVICE)

    def eh_target_reset_handler(self, command: Command) -> int:
        return self._reset(command.device, _RESET_TARGET)

    def eh_bus_reset_handler(self, command: Command) -> int:
        return self._reset(command.device, _RESET_BUS)

    def eh_host_reset_handler(self, command: Command) -> int:
        return self._reset(command.device, _RESET_HOST)

    def info(self, host: Host) -> str:
        found: SysfsHost = host.hostdata.sysfs
        return f"{host.name}, unique_id {found.unique_id}, can_queue {found.can_queue}"

    def slave_alloc(self, device: LogicalUnit) -> int:
        found = device.host.hostdata.expected.get(device.address)
        if found is None:  # the kernel scans its hosts, we do not
            return errno.ENXIO
        device.hostdata = self._unit(device, found)
        return 0

    def slave_destroy(self, device: LogicalUnit) -> None:
        unit: KernelDevice = device.hostdata
        unit.close()

    def user_scan(self, host: Host, channel: int | None, target: int | None, lun: int | None) -> bool:
        place = " ".join("-" if number is None else str(number) for number in (channel, target, lun))
        write_file(self.sysfs.host_path(host.host_no) / "scan", place)
        return True

    def user_remove(self, device: LogicalUnit) -> bool:
        if self._is_there(device):  # else it is gone, or another one is there
            write_file(self.sysfs.device_path(device.address) / "delete", "1")
        return self.watched

    def user_state(self, device: LogicalUnit, state: str) -> None:
        if not self._is_there(device):
            raise node_error(errno.ENODEV, f"{device.address}: the kernel has removed this device")
        write_file(self.sysfs.device_path(device.address) / "state", state)

    def in_use(self, device: LogicalUnit) -> str:
        return who_uses(self.sysfs.device_path(device.address), self._proc) if self._is_there(device) else ""

    # Inside

    def _reset(self, device: LogicalUnit, kind: int) -> int:
        """Have the kernel reset (SG_SCSI_RESET), and nothing wider than that.

        Raises:
            NodePermission: If this process may not.
        """
        fd = self._open(device)
        try:
            os.set_blocking(fd, True)  # a host that recovers just now is waited for
            self._ioctl(fd, _SG_SCSI_RESET, (kind | _NO_ESCALATE).to_bytes(4, "little"), False)
        except OSError as error:
            code = error.errno or 0
            if code in (errno.EACCES, errno.EPERM):
                text = f"{device.address}: a reset needs CAP_SYS_ADMIN and CAP_SYS_RAWIO; run as root"
                raise node_error(code, text, kind=NodePermission) from error
            return FAILED
        finally:
            os.close(fd)
        return SUCCESS

    def _is_there(self, device: LogicalUnit) -> bool:
        return self.sysfs.session(device.address) == device.session != ""

    def _unit(self, device: LogicalUnit, found: SysfsDevice) -> KernelDevice:
        clock = self._subsystem.clock if self.closes_when_idle else None
        open_fd = partial(self._open, device)
        pool = Pool(open_fd, self._ioctl, clock=clock, flags=self.sg_flags)
        name = str(device.address)
        return KernelDevice(
            found, pool, Channels(name, open_fd, self._ioctl, clock=clock, flags=self.sg_flags)
        )

    def _open(self, device: LogicalUnit) -> int:
        """Open the sg node of a device, and make sure that it is not already another device's."""
        name = device.names.get("sg") or self.sysfs.names(device.address).get("sg")
        if not self._is_there(device):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if not name:
            raise node_error(
                errno.ENOENT, f"{device.address}: the kernel has no sg node for this device; run: modprobe sg"
            )
        fd = open_node(self._dev / name)
        try:
            self._check_is_node_of(fd, device, name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_is_node_of(self, fd: int, device: LogicalUnit, name: str) -> None:
        # The kernel gives numbers of removed devices to new ones. While we have the node open its number
        # stays, so that what sysfs says after the open holds for the descriptor.
        numbers = read_file(self.sysfs.device_path(device.address) / "scsi_generic" / name / "dev")
        if numbers is None or not self._is_there(device):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        opened = os.fstat(fd).st_rdev
        if numbers.decode().strip() != f"{os.major(opened)}:{os.minor(opened)}":
            raise node_error(
                errno.ENXIO,
                f"{self._dev / name}: this node is {os.major(opened)}:{os.minor(opened)}, but the kernel's "
                f"{name} is {numbers.decode().strip()}; make the node anew",
            )


def _never_answered(command: Command, host_byte: HostByte) -> None:
    command.host_byte = host_byte
    command.residual = command.requested_bytes


def _fail(command: Command, error: OSError) -> None:
    """Give its result to a command that has an errno instead of an answer.

    Raises:
        NodeError: If the node is at fault, and not the command or the device.
    """
    if isinstance(error, NodeError):
        raise error
    code = error.errno or 0
    if code in GONE:
        _never_answered(command, HostByte.DID_NO_CONNECT)
        return
    if code in (errno.EPERM, errno.EACCES):
        sg = command.device.names.get("sg", "")
        text = f"{command.device.address} {sg}: SG_IO is not allowed ({os.strerror(code)}); run as root"
        raise node_error(code, text, kind=NodePermission) from error
    # DID_ABORT is never retried: the command would fail again, or, after EINTR, the device may have done it.
    never_again = code in _NEVER_SENT or code == errno.EINTR
    _never_answered(command, HostByte.DID_ABORT if never_again else HostByte.DID_ERROR)
    _log.warning("%s: SG_IO failed: %s%s", command, os.strerror(code), _hint(command, code))


def _hint(command: Command, code: int) -> str:
    if code in _NEVER_SENT and len(command.cdb) > _KERNEL_CDB_BYTES:
        return f"; the kernel sends CDBs of up to {_KERNEL_CDB_BYTES} bytes, this one has {len(command.cdb)}"
    if code in (errno.EINVAL, errno.ENOMEM) and command.requested_bytes:
        return f"; move less than {command.requested_bytes} bytes at once"
    return ""
