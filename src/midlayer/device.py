"""A device without a daemon: straight to a kernel's node, or to a virtual unit made for the moment."""

from __future__ import annotations

import errno
from types import TracebackType

from midlayer.address import Address
from midlayer.device_url import AddressForm, IscsiForm, NodeForm, VirtualForm, parse_device_url
from midlayer.errors import DeviceUrlError, NodeError
from midlayer.lower.linux import open_node
from midlayer.lower.linux.sysfs import Sysfs
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Buffer, Result
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg import DEFAULT_TIMEOUT_S, MAX_SENSE_BYTES, execute


class Device:
    """One logical unit in a subsystem of its own; a context manager.

    Made by `open_device`::

        with midlayer.open_device("/dev/sg3") as device:
            data = device.execute(cdb, data_in=96).raise_for_status().data
    """

    def __init__(self, logical_unit: LogicalUnit) -> None:
        self.logical_unit = logical_unit

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_sense: int = MAX_SENSE_BYTES,
    ) -> Result:
        """Send one command and wait for its end; see `midlayer.upper.sg.execute`."""
        return execute(
            self.logical_unit, cdb, data_out=data_out, data_in=data_in, timeout_s=timeout_s, max_sense=max_sense
        )

    def close(self) -> None:
        """Let go of the device; a virtual one is gone then."""
        host = self.logical_unit.host
        host.subsystem.remove_host(host)
        host.put()
        clock = host.clock
        if isinstance(clock, SystemClock):
            clock.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_device(text: str) -> Device:
    """Open a device that needs no daemon.

    Args:
        text: ``/dev/sg3``, ``sg3``, ``/dev/sda``, ``2:0:1:0`` (of the kernel), ``virtual:disk?size=1G``.

    Raises:
        DeviceUrlError: If `text` does not name such a device.
        NodeError: If the node is not there or is no SCSI device.
        NodePermission: If this process may not use it.
    """
    form = parse_device_url(text)
    if isinstance(form, VirtualForm):
        driver = VirtualDriver(Subsystem())
        spec = UnitSpec.from_mapping(form.options)
        host = driver.add_host(HostSpec(units=(spec,)))
        devices = host.devices()
        if not devices:
            raise DeviceUrlError(f"{text!r}: the scan adds no device for this qualifier and type")
        return Device(devices[0])
    if isinstance(form, NodeForm):
        return Device(open_node(form.path))
    if isinstance(form, AddressForm):
        return Device(open_node(_node_of(form.address)))
    assert isinstance(form, IscsiForm)
    raise NodeError(95, f"{text}: iSCSI devices are not supported yet")


def _node_of(address: Address) -> str:
    """Return the sg node of one of the kernel's devices."""
    device = Sysfs().device(address)
    if device is None:
        raise NodeError(errno.ENODEV, f"{address}: this kernel has no device at this address, and no daemon runs")
    name = device.names.get("sg")
    if name is None:
        raise NodeError(errno.ENXIO, f"{address}: the device has no sg node; load the driver: modprobe sg")
    return f"/dev/{name}"
