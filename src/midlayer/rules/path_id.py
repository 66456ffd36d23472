"""path_id: the name of the way to a device, for ``/dev/disk/by-path``, from the chain of its parents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.address import Address
from midlayer.errors import AddressError

if TYPE_CHECKING:
    from midlayer.rules.environment import Environment
    from midlayer.rules.view import DeviceView

OWN_BUS = "midlayer"
"""The subsystem above our own hosts; kernel devices have pci, platform, virtio … there."""

_NAMED = {"pci": "pci", "platform": "platform", "acpi": "acpi", "xen": "xen", OWN_BUS: OWN_BUS}
_IS_TRANSPORT = frozenset({"platform", "virtio", OWN_BUS})
_NOT_IN_A_TAG = re.compile(r"[^0-9A-Za-z-]+")
_HOST = re.compile(r"host(\d+)", re.ASCII)


class _Path:
    """What has been found on the way up."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.compatible: list[str] = []
        self.has_parent = False
        self.has_transport = False

    def add(self, part: str) -> None:
        self.parts.insert(0, part)
        if self.compatible:
            self.compatible.insert(0, part)


def path_id(view: DeviceView, environment: Environment) -> dict[str, str] | None:
    """Return ID_PATH and ID_PATH_TAG, with ID_PATH_ATA_COMPAT for ATA; None if the way has no lasting name.

    Args:
        view: The device.
        environment: Knows the devices of transport classes (``fc_transport``, ``sas_device`` …).
    """
    found = _Path()
    step: DeviceView | None = view
    while step is not None:
        above = _one_step(found, step, environment)
        step = above.parent if above is not None else None
    if not found.parts or not found.has_parent or (view.subsystem == "block" and not found.has_transport):
        return None
    path = "-".join(found.parts)
    properties = {"ID_PATH": path, "ID_PATH_TAG": _NOT_IN_A_TAG.sub("_", path).strip("_")}
    if found.compatible:
        properties["ID_PATH_ATA_COMPAT"] = "-".join(found.compatible)
    return properties


def _one_step(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    """Take a device into the path; return the last one that this accounts for, or None to stop."""
    subsystem = step.subsystem
    if subsystem == "scsi_tape":
        _tape(found, step)
    elif subsystem == "scsi":
        found.has_transport = True
        return _scsi(found, step, environment)
    elif subsystem in _NAMED:
        found.add(f"{_NAMED[subsystem]}-{step.sysname}" if subsystem != OWN_BUS else OWN_BUS)
        found.has_parent = True
        found.has_transport |= subsystem in _IS_TRANSPORT
        return _skip(step, subsystem)
    elif subsystem == "virtio":
        found.has_transport = True
        return _skip(step, subsystem)
    elif subsystem == "usb":
        found.has_transport = True
        return _usb(found, step)
    return step


def _skip(step: DeviceView, subsystem: str) -> DeviceView:
    """Return the last device in a row of one subsystem."""
    while step.parent is not None and step.parent.subsystem == subsystem:
        step = step.parent
    return step


def _tape(found: _Path, step: DeviceView) -> None:
    name = step.sysname
    if name.startswith("nst") and name[3:4] in ("l", "m", "a"):
        found.add(f"nst{name[3]}")
    elif name.startswith("st") and name[2:3] in ("l", "m", "a"):
        found.add(f"st{name[2]}")


def _usb(found: _Path, step: DeviceView) -> DeviceView:
    if step.properties.get("DEVTYPE") not in ("usb_interface", "usb_device"):
        return step
    _, dash, port = step.sysname.partition("-")
    if not dash:
        return step
    found.add(f"usb-0:{port}")
    return _skip(step, "usb")


def _scsi(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    if step.properties.get("DEVTYPE") != "scsi_device":
        return step
    for mark, handle, names_parent in _TRANSPORTS:
        if mark in step.devpath:
            found.has_parent |= names_parent
            return handle(found, step, environment)
    return _plain(found, step, environment)


def _lun(step: DeviceView) -> str:
    lun = int(step.sysnum or 0)
    return f"lun-{lun}" if lun < 256 else f"lun-0x{lun & 0xFFFF:04x}{lun >> 16 & 0xFFFF:04x}00000000"


def _above(step: DeviceView, devtype: str) -> DeviceView | None:
    parent = step.parent
    while parent is not None and parent.properties.get("DEVTYPE") != devtype:
        parent = parent.parent
    return parent


def _attribute(environment: Environment, subsystem: str, name: str, attribute: str) -> str | None:
    device = environment.device(subsystem, name)
    return None if device is None else device.attribute(attribute)


def _fibre_channel(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    target = _above(step, "scsi_target")
    port = _attribute(environment, "fc_transport", target.sysname, "port_name") if target else None
    if port is None:
        return None
    found.add(f"fc-{port}-{_lun(step)}")
    return step


def _sas(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    target = _above(step, "scsi_target")
    end = target.parent if target else None
    port = end.parent if end else None
    if end is None or port is None:
        return None
    phys = _attribute(environment, "sas_port", port.sysname, "num_phys")
    if phys is None:
        return None
    if phys != "1":
        address = _attribute(environment, "sas_device", end.sysname, "sas_address")
        if address is None:
            return None
        found.add(f"sas-{address}-{_lun(step)}")
        return step
    phy = _attribute(environment, "sas_device", end.sysname, "phy_identifier")
    above = port.parent
    if phy is None or above is None:
        return None
    expander = _attribute(environment, "sas_device", above.sysname, "sas_address")
    via = f"exp{expander}-" if expander else ""
    found.add(f"sas-{via}phy{phy}-{_lun(step)}")
    return step


def _iscsi(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    session = step.parent
    while session is not None and not session.sysname.startswith("session"):
        session = session.parent
    if session is None:
        return None
    target = _attribute(environment, "iscsi_session", session.sysname, "targetname")
    connection = f"connection{session.sysnum}:0"
    address = _attribute(environment, "iscsi_connection", connection, "persistent_address")
    port = _attribute(environment, "iscsi_connection", connection, "persistent_port")
    if target is None or address is None or port is None:
        return None
    found.add(f"ip-{address}:{port}-iscsi-{target}-{_lun(step)}")
    return step


def _ata(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    host = _above(step, "scsi_host")
    port_device = host.parent if host else None
    address = _address(step)
    if port_device is None or address is None:
        return None
    port = _attribute(environment, "ata_port", port_device.sysname, "port_no")
    if port is None:
        return None
    compatible = [f"ata-{port}", *found.compatible]
    # Behind a port multiplier the channel tells devices apart, else the target is master or slave.
    found.compatible = []
    found.add(f"ata-{port}.{address.channel}.0" if address.channel else f"ata-{port}.{address.target}")
    found.compatible = compatible
    return step


def _plain(found: _Path, step: DeviceView, environment: Environment) -> DeviceView | None:
    host, address = _above(step, "scsi_host"), _address(step)
    if host is None or address is None:
        return None
    place = host.devpath.rpartition("/")[0]
    numbers = [
        int(match[1]) for name in environment.entries(f"/sys{place}") if (match := _HOST.fullmatch(name))
    ]
    if not numbers:
        return host
    # Counted from the lowest host of the same adapter, which is all that stays the same.
    found.add(f"scsi-{address.host - min(numbers)}:{address.channel}:{address.target}:{address.lun}")
    return host


def _address(step: DeviceView) -> Address | None:
    try:
        return Address.parse(step.sysname)
    except AddressError:
        return None


_Handler = Callable[[_Path, "DeviceView", "Environment"], "DeviceView | None"]
_TRANSPORTS: tuple[tuple[str, _Handler, bool], ...] = (
    ("/rport-", _fibre_channel, True),
    ("/end_device-", _sas, True),
    ("/session", _iscsi, True),
    ("/ata", _ata, False),
)
"""What in a path tells the transport, and whether it names the parent well enough by itself."""
