"""Events and devices as udev sees them: objects with an action, a path below /sys and a subsystem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SUBSYSTEMS = {"sg": "scsi_generic", "sd": "block", "sr": "block", "st": "scsi_tape", "ch": "scsi_changer"}


class DeviceObject(NamedTuple):
    """One object of an event.

    Attributes:
        action: ``add``, ``remove`` or ``change``.
        devpath: Path below the root of sysfs.
        subsystem: The kernel's name for its kind.
        properties: What else is known, by the names that agents and uevents use.
    """

    action: str
    devpath: str
    subsystem: str
    properties: dict[str, str]


def devpath_of(address: str, *, sysfs: Path = Path("/sys")) -> str:
    """Return the path of a device: the kernel's if it has the device, else that of `midlayer exec`."""
    kernel = sysfs / "bus/scsi/devices" / address
    if kernel.exists():
        return os.path.realpath(kernel).removeprefix(str(sysfs))
    host, channel, target, _ = address.split(":")
    return f"/devices/midlayer/host{host}/target{host}:{channel}:{target}/{address}"


def objects_of_event(event: dict[str, Any]) -> Iterator[DeviceObject]:
    """Yield the objects that an event of the log is about; nothing for events that are about none."""
    yield from _READERS.get(event["event"], _nothing)(event)


def device_objects(
    action: str, address: str, facts: dict[str, Any], more: dict[str, str]
) -> Iterator[DeviceObject]:
    """Yield a device, and its nodes."""
    path, about = devpath_of(address), _properties(address, facts) | more
    lun = DeviceObject(action, path, "scsi", {"DEVTYPE": "scsi_device", **about})
    nodes = [
        DeviceObject(action, f"{path}/{SUBSYSTEMS[key]}/{name}", SUBSYSTEMS[key], {"DEVNAME": name, **about})
        for key, name in facts.get("names", {}).items()
        if key in SUBSYSTEMS
    ]
    yield from [*reversed(nodes), lun] if action == "remove" else [lun, *nodes]


def _properties(address: str, facts: dict[str, Any]) -> dict[str, str]:
    host, channel, target, lun = address.split(":")
    shown = {"SCSI_HOST": host, "SCSI_BUS": channel, "SCSI_TARGET": target, "SCSI_LUN": lun}
    for name, key in (
        ("SCSI_VENDOR", "vendor"),
        ("SCSI_MODEL", "model"),
        ("SCSI_REV", "revision"),
        ("SCSI_TYPE", "type"),
        ("MIDLAYER_QUALIFIER", "qualifier"),
        ("MIDLAYER_SERIAL", "serial"),
        ("MIDLAYER_WWID", "wwid"),
    ):
        if key in facts:
            shown[name] = str(facts[key])
    return shown


def _attach(event: dict[str, Any]) -> Iterator[DeviceObject]:
    count = {"SCSI_EVENT_ATTACHED": str(event["event_count"])}
    return device_objects("add", event["address"], event["device"], count)


def _detach(event: dict[str, Any]) -> Iterator[DeviceObject]:
    counts = {
        "SCSI_EVENT_ATTACHED": str(event["attach_count"]),
        "SCSI_EVENT_DETACHED": str(event["event_count"]),
    }
    return device_objects("remove", event["address"], event, counts)


def _replaced(event: dict[str, Any]) -> Iterator[DeviceObject]:
    yield from _detach({**event["before"], **{key: event[key] for key in ("address", "attach_count")}}
                       | {"event_count": event["event_count"]})  # fmt: skip
    yield from _attach(event)


def _change(event: dict[str, Any]) -> Iterator[DeviceObject]:
    path, about = devpath_of(event["address"]), _properties(event["address"], {})
    others = {}
    for key, value in event["changes"].items():
        subsystem = SUBSYSTEMS.get(key)
        if subsystem is None:
            others[f"MIDLAYER_{key.upper()}"] = value
        elif value:
            yield DeviceObject("add", f"{path}/{subsystem}/{value}", subsystem, {"DEVNAME": value, **about})
        else:
            yield DeviceObject("remove", f"{path}/{subsystem}", subsystem, about)
    if others:
        yield DeviceObject("change", path, "scsi", {"DEVTYPE": "scsi_device", **about, **others})


def _trigger(event: dict[str, Any]) -> Iterator[DeviceObject]:
    count = {"SCSI_EVENT_ATTACHED": str(event["attach_count"])}
    for found in device_objects(event["action"], event["address"], event["device"], count):
        if found.subsystem in event["objects"]:
            yield found


def _host(event: dict[str, Any]) -> Iterator[DeviceObject]:
    action = "add" if event["event"] == "host-added" else "remove"
    name = f"host{event['host']}"
    path = Path("/sys/class/scsi_host", name)
    devpath = f"/devices/midlayer/{name}/scsi_host/{name}"
    if path.exists():
        devpath = os.path.realpath(path).removeprefix("/sys")
    yield DeviceObject(action, devpath, "scsi_host", {"SCSI_HOST": str(event["host"])})


def _nothing(event: dict[str, Any]) -> Iterator[DeviceObject]:
    return iter(())


_READERS = {
    "attach": _attach,
    "detach": _detach,
    "replaced": _replaced,
    "change": _change,
    "trigger": _trigger,
    "host-added": _host,
    "host-removed": _host,
}
