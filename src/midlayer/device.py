"""A device without a daemon: a kernel's node, a LUN of an iSCSI target, a virtual unit for the moment.

The lower-level drivers are imported when one is needed, so that a command on one device starts quickly.
"""

from __future__ import annotations

import errno

from midlayer.address import Address
from midlayer.device_url import AddressForm, IscsiForm, NodeForm, VirtualForm, parse_device_url
from midlayer.errors import DeviceUrlError, NoSuchDevice
from midlayer.mid.clock import SystemClock
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sense import SenseKey
from midlayer.upper.sg import BoundDevice

_MOST_ATTENTIONS = 16
_FLAT, _FLAT_LUNS = 0x4000, range(0x100, 0x4000)  # what libiscsi makes of such a number (SAM-5 4.7.7.3)


class Device(BoundDevice):
    """One logical unit in a subsystem of its own; a context manager.

    Made by `open_device`::

        with midlayer.open_device("/dev/sg3") as device:
            data = device.execute(cdb, data_in=96).raise_for_status().data
    """

    def close(self) -> None:
        """Let go of the device; a virtual one is gone then. A second call does nothing."""
        if self.closed:
            return
        super().close()
        host = self.logical_unit.host
        host.subsystem.remove_host(host)
        host.put()
        if isinstance(host.clock, SystemClock):
            host.clock.close()


def open_device(text: str, *, direct_io: bool = False) -> Device:
    """Open a device that needs no daemon.

    Args:
        text: ``/dev/sg3``, ``sg3``, ``/dev/sda``, ``2:0:1:0`` (of the kernel), ``virtual:disk?size=1G``,
            ``iscsi://host/iqn/lun``.
        direct_io: True to ask sg to move data without a copy of its own; it does so where
            ``/proc/scsi/sg/allow_dio`` says 1 and the buffer's alignment allows. Others never copy.

    Raises:
        DeviceUrlError: If `text` does not name such a device.
        NodeError: If the node is not there or is no SCSI device.
        NodePermission: If this process may not use it.
    """
    form = parse_device_url(text)
    if isinstance(form, VirtualForm):
        return _virtual(text, form)
    if isinstance(form, IscsiForm):
        return _remote(text, form)
    return _of_kernel(form, direct_io=direct_io)


def _virtual(text: str, form: VirtualForm) -> Device:
    from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver

    driver = VirtualDriver(Subsystem())
    spec = UnitSpec.from_mapping(form.options)
    host = driver.add_host(HostSpec(units=(spec,)))
    devices = host.devices()
    if len(devices) != 1:
        driver.remove_host(host)
        scanned = "the scan adds no device for this qualifier and type" if not devices else "count must be 1"
        raise DeviceUrlError(f"{text!r}: {scanned}")
    return Device(devices[0])


def _remote(text: str, form: IscsiForm) -> Device:
    from midlayer.lower.iscsi import IscsiDriver, SessionSpec

    given = {"portal": form.portal, "target": form.target_name, **form.options}
    subsystem = Subsystem()
    driver = IscsiDriver(subsystem)
    host = driver.add_host(SessionSpec.from_mapping(given), scan=False)
    try:
        lun = form.lun | _FLAT if form.lun in _FLAT_LUNS else form.lun
        device = Device(subsystem.add_device(host, 0, 0, lun))
        _clear_attentions(device)
        return device
    except NoSuchDevice:
        driver.remove_host(host)
        advice = "; midlayer luns asks LUN 0 which it has" if form.lun else ""
        message = f"the target has no logical unit at LUN {form.lun}{advice}"
        raise DeviceUrlError(f"{text!r}: {message}") from None
    except BaseException:
        driver.remove_host(host)
        raise


def _clear_attentions(device: Device) -> None:
    """Read the unit attentions of a new session away, as the kernel's disk driver does."""
    for _ in range(_MOST_ATTENTIONS):
        sense = device.execute(bytes(6)).sense
        if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
            return


def _of_kernel(form: NodeForm | AddressForm, *, direct_io: bool) -> Device:
    from midlayer.lower.linux import open_node

    path = form.path if isinstance(form, NodeForm) else _node_of(form.address)
    return Device(open_node(path, direct_io=direct_io))


def _node_of(address: Address) -> str:
    """Return the sg node of one of the kernel's devices."""
    from midlayer.lower.linux.nodes import node_error
    from midlayer.lower.linux.sysfs import Sysfs

    device = Sysfs().device(address)
    if device is None:
        raise node_error(
            errno.ENODEV, f"{address}: this kernel has no device at this address, and no daemon runs"
        )
    name = device.names.get("sg")
    if name is None:
        raise node_error(errno.ENXIO, f"{address}: the device has no sg node; load the driver: modprobe sg")
    return f"/dev/{name}"
