"""Attributes of the SCSI part of sysfs: what they say, and what a write to one does."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from functools import partial

from midlayer.address import Address
from midlayer.errors import MidlayerError
from midlayer.mid.callbacks import demand
from midlayer.mid.host import Host, HostState
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.queue_depth import ask_for_queue_depth
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.user_scan import scan_by_text
from midlayer.standards.designators import wwid
from midlayer.upper.sg.proc.inquiry_text import identity

Text = str | bytes

_HOST = re.compile(r"/sys/devices/midlayer/host(\d+)/scsi_host/host\d+/(\w+)", re.ASCII)
_DEVICE = re.compile(r"/sys/devices/midlayer/host\d+/target[\d:]+/([\d:]+)/(\w+)", re.ASCII)

WRITE_ONLY = frozenset({"scan", "delete", "rescan"})
WRITABLE = WRITE_ONLY | {"state", "queue_depth", "eh_deadline", "eh_timeout"}

_MOST_EH_S = (1 << 32) // 1000  # as in a kernel with 1000 ticks a second
_IN_RECOVERY = frozenset({HostState.RECOVERY, HostState.CANCEL_RECOVERY, HostState.DEL_RECOVERY})


def of_host(host: Host) -> dict[str, Text]:
    """Return the attributes of ``/sys/class/scsi_host/hostN``."""
    return {
        "active_mode": "Initiator\n",
        "can_queue": f"{host.can_queue}\n",
        "cmd_per_lun": f"{host.cmd_per_lun}\n",
        "eh_deadline": f"{host.eh_deadline:g}\n" if host.eh_deadline >= 0 else "off\n",
        "host_busy": f"{host.busy}\n",
        "nr_hw_queues": "1\n",
        "proc_name": f"{host.proc_name}\n",
        "prot_capabilities": "0\n",
        "prot_guard_type": "0\n",
        "scan": "",
        "sg_prot_tablesize": "0\n",
        "sg_tablesize": f"{host.sg_tablesize}\n",
        "state": f"{host.state.value}\n",
        "supported_mode": "Initiator\n",
        "unique_id": f"{host.unique_id}\n",
        "use_blk_mq": "1\n",
    }


def of_device(device: LogicalUnit) -> dict[str, Text]:
    """Return the attributes of ``/sys/bus/scsi/devices/H:C:T:L``."""
    vendor, model, revision = identity(device)
    found: dict[str, Text] = {
        "delete": "",
        "device_blocked": "0\n",
        "device_busy": f"{device.busy}\n",
        "eh_timeout": f"{device.eh_timeout_s:g}\n",
        "evt_media_change": "0\n",
        "inquiry": device.inquiry_data,
        "iocounterbits": "32\n",
        "modalias": modalias(device),
        "model": f"{model}\n",
        "queue_depth": f"{device.queue_depth}\n",
        "queue_type": "simple\n",
        "rescan": "",
        "rev": f"{revision}\n",
        "scsi_level": f"{device.scsi_level}\n",
        "state": f"{device.state.value}\n",
        "timeout": "30\n",
        "type": f"{device.type}\n",
        "uevent": f"DEVTYPE=scsi_device\nMODALIAS={modalias(device)}",
        "vendor": f"{vendor}\n",
    }
    found |= {f"vpd_pg{code:x}": page for code, page in device.vpd_pages.items()}
    name = wwid(device.vpd_pages.get(0x83))
    return found | ({"wwid": f"{name}\n"} if name else {})


def modalias(device: LogicalUnit) -> str:
    """Return ``scsi:t-0x00``."""
    return f"scsi:t-{device.type:#04x}\n"


def writer(subsystem: Subsystem, path: str) -> Callable[[bytes], int]:
    """Return what obeys a write to an attribute.

    Args:
        subsystem: Whose attribute.
        path: Its path below ``/sys/devices``, no link in it.

    Raises:
        OSError: EACCES if it takes none.
    """
    try:
        if (match := _HOST.fullmatch(path)) and match[2] in _OF_HOST:
            return partial(_OF_HOST[match[2]], subsystem, subsystem.host(int(match[1])))
        if (match := _DEVICE.fullmatch(path)) and match[2] in _OF_DEVICE:
            device = subsystem.device(Address.parse(match[1]))
            return partial(_OF_DEVICE[match[2]], subsystem, device)
    except MidlayerError:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)


def _scan(subsystem: Subsystem, host: Host, data: bytes) -> int:
    """``channel target lun``, each a number or ``-``."""
    try:
        scan_by_text(subsystem, host, data.decode("latin-1"))
    except MidlayerError:
        raise _invalid() from None
    return len(data)


def _set_eh_deadline(subsystem: Subsystem, host: Host, data: bytes) -> int:
    """``off``, or seconds; not while the host recovers, whose deadline runs already."""
    text = data.decode("latin-1").strip()
    if text != "off" and not (text.isascii() and text.isdigit() and int(text) <= _MOST_EH_S):
        raise _invalid()
    if host.state in _IN_RECOVERY:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    host.eh_deadline = -1 if text == "off" else int(text)
    return len(data)


def _delete(subsystem: Subsystem, device: LogicalUnit, data: bytes) -> int:
    # As in the kernel: the unit stays plugged, and a scan finds it again.
    template = device.host.template
    if not (template.scans_itself and demand(device.host, template.user_remove, device)):
        subsystem.remove_device(device)
    return len(data)


def _rescan(subsystem: Subsystem, device: LogicalUnit, data: bytes) -> int:
    return len(data)


def _set_state(subsystem: Subsystem, device: LogicalUnit, data: bytes) -> int:
    text = data.decode("latin-1").strip()
    if text not in (DeviceState.RUNNING.value, DeviceState.OFFLINE.value):
        raise _invalid()
    try:
        subsystem.set_device_state(device, DeviceState(text))
    except MidlayerError:
        raise _invalid() from None
    return len(data)


def _set_queue_depth(subsystem: Subsystem, device: LogicalUnit, data: bytes) -> int:
    text = data.decode("latin-1").strip()
    try:
        ask_for_queue_depth(device, int(text))
    except (ValueError, MidlayerError):
        raise _invalid() from None
    subsystem.report_change(device, {"queue_depth": text})
    return len(data)


def _set_eh_timeout(subsystem: Subsystem, device: LogicalUnit, data: bytes) -> int:
    text = data.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST_EH_S):
        raise _invalid()
    device.eh_timeout_s = float(text)
    return len(data)


def _invalid() -> OSError:
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


_OF_HOST: dict[str, Callable[[Subsystem, Host, bytes], int]] = {
    "eh_deadline": _set_eh_deadline,
    "scan": _scan,
}
_OF_DEVICE: dict[str, Callable[[Subsystem, LogicalUnit, bytes], int]] = {
    "delete": _delete,
    "eh_timeout": _set_eh_timeout,
    "queue_depth": _set_queue_depth,
    "rescan": _rescan,
    "state": _set_state,
}
