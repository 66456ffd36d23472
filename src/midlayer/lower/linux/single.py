"""One device of the kernel's, for a program that needs no daemon."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from midlayer.address import Address
from midlayer.errors import AddressError, NodeError
from midlayer.lower.linux.driver import LinuxDriver
from midlayer.lower.linux.nodes import GONE, forbidden, node_error
from midlayer.lower.linux.nodes import open_node as open_descriptor
from midlayer.lower.linux.sg_io import SG_FLAG_DIRECT_IO, Ioctl
from midlayer.lower.linux.sysfs import Sysfs, SysfsDevice, SysfsHost
from midlayer.mid.dispatch import execute
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import Inquiry

_SG_GET_SCSI_ID = 0x2276
_BLKSECTGET = 0x1267  # which sg answers in bytes
_scsi_id = struct.Struct("=iiiiihhii")
_NO_SUCH_IOCTL = (errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_INQUIRY_BYTES = 96
_INQUIRY_TIMEOUT_S = 20.5


def open_node(
    path: str | Path,
    *,
    sys_root: str | Path = "/sys",
    proc_root: str | Path = "/proc",
    dev_root: str | Path = "/dev",
    ioctl: Ioctl = fcntl.ioctl,
    direct_io: bool = False,
) -> LogicalUnit:
    """Make a device out of a node, in a subsystem of its own.

    Args:
        path: ``/dev/sg3``, ``sg3``, ``/dev/sda``, ``/dev/st0``, ``/dev/disk/by-id/…``. Commands go through
            the device's sg node, whichever of its nodes is given.
        sys_root, proc_root, dev_root: Where sysfs, procfs and the nodes are.
        ioctl: Stands in for `fcntl.ioctl` in tests.
        direct_io: True to ask for transfers without a copy in the kernel.

    Returns:
        A device that is ready for commands. Give it back with `close_node`.

    Raises:
        NodePermission: If this process may not use the node; the text says what is missing.
        NodeError: If there is no such node, or it is not a SCSI device's.
    """
    node = Path(dev_root) / path  # an absolute path stays as it is
    sysfs = Sysfs(sys_root, proc=proc_root)
    status = _stat(node)
    subsystem = Subsystem()
    driver = SingleNodeDriver(
        subsystem, node, sys_root=sys_root, proc_root=proc_root, dev_root=dev_root, ioctl=ioctl
    )
    driver.sg_flags = SG_FLAG_DIRECT_IO if direct_io else 0
    address = driver.use_sysfs(status) if (sysfs.root / "dev").exists() else driver.ask_node()
    host = driver.add_host(sysfs.host(address.host) or SysfsHost(host_no=address.host))
    device = driver.add_device(host, sysfs.device(address) or SysfsDevice(address=address))
    assert device is not None  # the driver refuses only what it does not expect
    try:
        _make_ready(device, node)
    except BaseException:
        close_node(device)
        raise
    return device


def close_node(device: LogicalUnit) -> None:
    """Close what `open_node` opened."""
    host = device.host
    host.subsystem.remove_host(host)
    host.put()


class SingleNodeDriver(LinuxDriver):
    """A driver for one device, whose commands go through one node, wherever that node is.

    Args:
        subsystem: A subsystem of its own.
        node: The node that was asked for; `use_sysfs` may find that another one is needed.
        sys_root, proc_root, dev_root, ioctl: As for `LinuxDriver`.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        node: Path,
        *,
        sys_root: str | Path,
        proc_root: str | Path,
        dev_root: str | Path,
        ioctl: Ioctl,
    ) -> None:
        self.closes_when_idle = False  # who opened the node closes it
        super().__init__(subsystem, sys_root=sys_root, proc_root=proc_root, dev_root=dev_root, ioctl=ioctl)
        self._node = node

    def use_sysfs(self, status: os.stat_result) -> Address:
        """Find the device of the node in sysfs, and its sg node if this is another one.

        Raises:
            NodeError: If it is no device of the SCSI subsystem, or has no sg node.
        """
        kind = "block" if stat.S_ISBLK(status.st_mode) else "char"
        numbers = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        entry = self.sysfs.root / "dev" / kind / numbers
        if not entry.exists():
            raise node_error(errno.ENXIO, f"{self._node}: no driver serves this {kind} device, {numbers}")
        served_by = (entry / "subsystem").resolve().name
        if (entry / "partition").exists():
            disk = entry.resolve().parent.name
            raise node_error(errno.EINVAL, f"{self._node}: a partition; commands go to its disk, {disk}")
        try:
            address = Address.parse((entry / "device").resolve().name)
        except AddressError:
            text = f"{self._node}: a {served_by} {kind} device, {numbers}, not one of the SCSI subsystem"
            raise node_error(errno.ENOTTY, text) from None
        if served_by != "scsi_generic":
            self._node = self._dev / self._sg_name(address)
        return address

    def ask_node(self) -> Address:
        """Ask the node itself for its address, where there is no sysfs.

        Raises:
            NodeError: If it is no sg node.
        """
        with _told_of(self._node):
            fd = open_descriptor(self._node)
            try:
                return self._scsi_id(fd)
            finally:
                os.close(fd)

    def _open(self, device: LogicalUnit) -> int:
        if device.session and not self._is_there(device):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        fd = open_descriptor(self._node)
        try:
            if device.session:
                self._check_is_node_of(fd, device, self._sg_name(device.address))
            elif self._scsi_id(fd) != device.address:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def learn_limits(self, device: LogicalUnit) -> None:
        """Ask the kernel how much it moves in one command, and tell it by ``host.max_sectors``."""
        pool = device.hostdata.pool
        slot = pool.take()
        answer = bytearray(4)
        try:
            with suppress(OSError):  # the default stands
                self._ioctl(slot.fd, _BLKSECTGET, answer, True)
                device.host.max_sectors = int.from_bytes(answer, sys.byteorder) // 512 or 1
        finally:
            pool.give_back(slot)

    def _sg_name(self, address: Address) -> str:
        name = self.sysfs.names(address).get("sg")
        if name is None:
            text = f"{address}: the kernel has no sg node for this device; run: modprobe sg"
            raise node_error(errno.ENOENT, text)
        return name

    def _scsi_id(self, fd: int) -> Address:
        answer = bytearray(_scsi_id.size)
        try:
            self._ioctl(fd, _SG_GET_SCSI_ID, answer, True)
        except OSError as error:
            code = error.errno or 0
            if code not in _NO_SUCH_IOCTL:
                raise
            text = f"{self._node}: not a node of the sg driver ({os.strerror(code)} for SG_GET_SCSI_ID)"
            raise node_error(code, text) from error
        host, channel, target, lun, *_ = _scsi_id.unpack(answer)
        return Address(host, channel, target, lun)


def _stat(node: Path) -> os.stat_result:
    try:
        status = os.stat(node)
    except FileNotFoundError:
        text = f"{node}: no such node; is the device there, and the sg driver loaded (modprobe sg)?"
        raise node_error(errno.ENOENT, text) from None
    except PermissionError as error:
        raise forbidden(node, errno.EACCES, "search access") from error
    except OSError as error:
        raise node_error(error.errno or 0, f"{node}: {error.strerror}") from error
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "a file"
        raise node_error(errno.ENOTTY, f"{node}: {what}, not a device node")
    return status


def _make_ready(device: LogicalUnit, node: Path) -> None:
    """Find out now, not at the first command, that the node can not be opened."""
    with _told_of(node):
        driver = device.host.template
        assert isinstance(driver, SingleNodeDriver)
        driver.learn_limits(device)
    if not device.inquiry_data:
        cdb = Inquiry(allocation_length=_INQUIRY_BYTES).encode()
        data = memoryview(bytearray(_INQUIRY_BYTES))
        result = execute(device, cdb, data_in=data, timeout_s=_INQUIRY_TIMEOUT_S, passthrough=True)
        if result.ok:
            device.set_inquiry(bytes(result.data))


@contextmanager
def _told_of(node: Path) -> Iterator[None]:
    """Turn what the kernel says of a removed device into an error that names the node."""
    try:
        yield
    except OSError as error:
        if error.errno in GONE and not isinstance(error, NodeError):
            raise node_error(error.errno or 0, f"{node}: the device was removed") from error
        raise
