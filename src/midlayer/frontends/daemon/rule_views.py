"""Devices of events as rules see them: those that are there, and those that are gone by the time one asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from midlayer.address import Address
from midlayer.frontends.own_devices import OwnEnvironment, node_views, unit_view
from midlayer.lower.linux import LinuxDriver
from midlayer.mid.clock import Clock
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.rules import DeviceView, Environment, PlainView, SystemEnvironment, fields
from midlayer.rules.path_id import OWN_BUS
from midlayer.rules.sysfs_view import Asked, SysfsView

_SUBSYSTEMS = {"sg": "scsi_generic", "sd": "block", "sr": "block", "st": "scsi_tape", "ch": "scsi_changer"}


def views_of(
    device: LogicalUnit, counts: Mapping[str, int], names: Mapping[str, str] | None = None
) -> list[DeviceView]:
    """Return a unit and its nodes, in the order in which the kernel tells of them.

    Args:
        device: One of ours, or the kernel's.
        counts: Event counts, see `unit_view`.
        names: Names of nodes in place of those that a device of ours has now.
    """
    if isinstance(device.host.template, LinuxDriver):
        return list(kernel_views(device))
    return [unit_view(device, counts), *node_views(device, counts, names)]


def environment_of(view: DeviceView, *, programs: bool, clock: Clock | None) -> Environment:
    """Return the world in which rules see a device."""
    if isinstance(view, SysfsView):
        return SystemEnvironment(clock=clock) if programs else _NoPrograms(clock=clock)
    return OwnEnvironment(view, programs=programs, clock=clock)


def kernel_views(device: LogicalUnit) -> list[SysfsView]:
    """Return a kernel device and its nodes, as sysfs has them now; who it is, as it was asked last."""
    asked = Asked(str(device.address), bytes(device.inquiry_data), dict(device.vpd_pages))
    place = f"/sys/bus/scsi/devices/{device.address}"
    names = (
        f"{kind}/{name.rpartition('/')[2]}"
        for key, name in device.names.items()
        for kind in _DIRECTORIES.get(key, ())
    )
    found = (SysfsView.find(path, asked=asked) for path in (place, *(f"{place}/{name}" for name in names)))
    return [view for view in found if view is not None]


_DIRECTORIES = {"sg": ("scsi_generic",), "sd": ("block",), "sr": ("block",), "st": ("scsi_tape",)}


def frozen(view: DeviceView, properties: Mapping[str, str]) -> PlainView:
    """Return a device as it can be seen when it is gone: with the properties that rules gave it.

    A device of ours keeps its attributes; of the kernel's, sysfs has nothing any more.
    """
    kept = {key: value for key, value in properties.items() if key not in _OF_AN_EVENT}
    if isinstance(view, PlainView):
        return replace(view, own_properties={**view.own_properties, **kept})
    parent = None if view.parent is None else frozen(view.parent, view.parent.properties)
    return PlainView(
        devpath=view.devpath,
        subsystem=view.subsystem,
        driver=view.driver,
        devnode=view.devnode,
        devnum=view.devnum,
        own_properties={**view.properties, **kept},
        parent=parent,
    )


def views_of_facts(address: Address, facts: Mapping[str, Any], counts: Mapping[str, int]) -> list[PlainView]:
    """Return a unit and its nodes from what the event log has of them."""
    host, channel, target, _ = address
    devpath = f"/devices/{OWN_BUS}/host{host}/target{host}:{channel}:{target}/{address}"
    counted = {name: str(count) for name, count in counts.items()}
    shared = {f"MIDLAYER_{name.upper()}": count for name, count in counted.items()}
    unit = PlainView(
        devpath=devpath,
        subsystem="scsi",
        own_properties={"DEVTYPE": "scsi_device", **shared},
        attributes=_attributes(facts) | counted,
    )
    ours = {name: text for name, text in unit.attributes.items() if fields.is_ours(name) or name in counts}
    places = [("scsi_device", str(address), "")]
    places += [
        (_SUBSYSTEMS[key], name, f"/dev/{name}")
        for key, name in facts.get("names", {}).items()
        if key in _SUBSYSTEMS
    ]
    nodes = [
        PlainView(
            devpath=f"{devpath}/{subsystem}/{name}",
            subsystem=subsystem,
            devnode=node,
            own_properties=shared,
            attributes=ours,
            parent=unit,
        )
        for subsystem, name, node in places
    ]
    return [unit, *nodes]


def _attributes(facts: Mapping[str, Any]) -> dict[str, str]:
    found = {"vendor": "vendor", "model": "model", "rev": "revision", "type": "type", "device_type": "type"}
    shown = {name: str(facts[key]) for name, key in found.items() if key in facts}
    if "qualifier" in facts:
        shown["peripheral_qualifier"] = str(int(facts["qualifier"].removesuffix("b"), 2))
    for name, key in (("vpd/serial", "serial"), ("vpd/wwid", "wwid")):
        if facts.get(key):
            shown[name] = facts[key]
    return shown


def known_links(found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return links of several nodes, each once, in order."""
    return tuple(dict.fromkeys(link for links in found for link in links))


_OF_AN_EVENT = frozenset({"ACTION", "SEQNUM"})


class _NoPrograms(SystemEnvironment):
    """This machine, for when nobody may wait for a program."""

    def run_program(self, *_: object, **__: object) -> Any:
        return Environment().run_program(*_, **__)  # type: ignore[arg-type]

    def builtin(self, *_: object, **__: object) -> Any:
        return Environment.builtin(self, *_, **__)  # type: ignore[arg-type]
