"""The subsystem's own devices as rules see them: named as programs see them in ``/sys``."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence

from midlayer.frontends.nodes import attributes
from midlayer.mid.clock import Clock
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.rules import (
    DeviceView,
    Environment,
    PlainView,
    ProgramResult,
    SystemEnvironment,
    fields,
    scsi_id,
)
from midlayer.rules.environment import BuiltinResult
from midlayer.rules.path_id import OWN_BUS
from midlayer.rules.view import chain

SG_MAJOR = 21
_SYS = "/sys"
_BLOCK_MAJORS = {"sd": 8, "sr": 11}
_ROOT = PlainView(devpath=f"/devices/{OWN_BUS}", subsystem=OWN_BUS)


def host_view(host: Host) -> PlainView:
    """Return a host: ``/devices/midlayer/host0``."""
    return PlainView(
        devpath=f"{_ROOT.devpath}/host{host.host_no}",
        subsystem="scsi",
        own_properties={"DEVTYPE": "scsi_host"},
        attributes=attributes.of_host(host),
        parent=_ROOT,
    )


def unit_view(device: LogicalUnit, counts: Mapping[str, int] | None = None) -> PlainView:
    """Return a logical unit: ``…/host0/target0:0:1/0:0:1:0``.

    Args:
        device: The unit.
        counts: Event counts, such as ``{"attach_count": 7}``; they become properties
            ``MIDLAYER_ATTACH_COUNT`` and attributes ``attach_count``.
    """
    host = host_view(device.host)
    address = device.address
    target = PlainView(
        devpath=f"{host.devpath}/target{address.host}:{address.channel}:{address.target}",
        subsystem="scsi",
        own_properties={"DEVTYPE": "scsi_target"},
        parent=host,
    )
    inquiry, pages = bytes(device.inquiry_data), device.vpd_pages
    ours = {name: fields.value(name, inquiry, pages) or "" for name in fields.names(inquiry, pages)}
    counted = {name: str(count) for name, count in (counts or {}).items()}
    return PlainView(
        devpath=f"{target.devpath}/{address}",
        subsystem="scsi",
        driver=next((key for key in ("sd", "sr", "st", "ch") if key in device.names), ""),
        own_properties={"DEVTYPE": "scsi_device", "MODALIAS": attributes.modalias(device).strip()}
        | {f"MIDLAYER_{name.upper()}": count for name, count in counted.items()},
        attributes={**_readable(attributes.of_device(device)), **ours, **counted},
        parent=target,
    )


def node_views(
    device: LogicalUnit, counts: Mapping[str, int] | None = None, names: Mapping[str, str] | None = None
) -> list[PlainView]:
    """Return what is below a logical unit: scsi_device, scsi_generic and block, as far as it has them.

    Args:
        device: The unit.
        counts: As for `unit_view`.
        names: Names by driver (``sg``, ``sd``, ``sr``), in place of those that the unit has.
    """
    unit = unit_view(device, counts)
    shared = {key: value for key, value in unit.own_properties.items() if key.startswith("MIDLAYER_")}
    # A rule on the node may ask what the unit says: ATTR{peripheral_qualifier} as well as ATTRS.
    ours = {
        name: value
        for name, value in unit.attributes.items()
        if fields.is_ours(name) or name in (counts or {})
    }
    found = [
        PlainView(
            devpath=f"{unit.devpath}/scsi_device/{device.address}",
            subsystem="scsi_device",
            own_properties=shared,
            attributes=ours,
            parent=unit,
        )
    ]
    for key, name in (device.names if names is None else names).items():
        node = _node(key, name)
        if node is not None:
            subsystem, number = node
            block = {"DEVTYPE": "disk"} if subsystem == "block" else {}
            size = {"removable": f"{int(device.removable)}\n"} if subsystem == "block" else {}
            found.append(
                PlainView(
                    devpath=f"{unit.devpath}/{subsystem}/{name}",
                    subsystem=subsystem,
                    devnode=f"/dev/{name}",
                    devnum=number,
                    own_properties=block | shared,
                    attributes={**ours, **size},
                    parent=unit,
                )
            )
    return found


def view_of(device: LogicalUnit, name: str = "", counts: Mapping[str, int] | None = None) -> PlainView:
    """Return the node of a device with this name, such as ``sg3``; without one, its logical unit."""
    wanted = name.removeprefix("/dev/")
    return next(
        (view for view in node_views(device, counts) if view.devnode and view.sysname == wanted),
        unit_view(device, counts),
    )


def first_of_its_kind(device: LogicalUnit) -> PlainView:
    """Return the block node, or else the sg node, that a unit would have as the only one of its kind."""
    key, name = {0x00: ("sd", "sda"), 0x05: ("sr", "sr0")}.get(device.type, ("sg", "sg0"))
    return node_views(device, names={key: name})[-1]


def _readable(found: Mapping[str, str | bytes]) -> dict[str, str | bytes]:
    return {
        name: value for name, value in found.items() if name not in attributes.WRITE_ONLY and name != "uevent"
    }


def _node(key: str, name: str) -> tuple[str, tuple[int, int]] | None:
    """Return the subsystem and the number of a node by its name."""
    if key == "sg" and name[2:].isdigit():
        return "scsi_generic", (SG_MAJOR, int(name[2:]))
    if key == "sr" and name[2:].isdigit():
        return "block", (_BLOCK_MAJORS["sr"], int(name[2:]))
    if key == "sd" and name[2:].isalpha():
        letters = name[2:]
        index = 0
        for letter in letters:
            index = index * 26 + ord(letter) - ord("a") + 1
        return "block", (_BLOCK_MAJORS["sd"], (index - 1) * 16)
    return None


class OwnEnvironment(SystemEnvironment):
    """This machine, for rules on our own devices: what a program would ask a node, we answer or refuse.

    Our devices have no node in ``/dev``; a program that opens ``/dev/sg0`` would reach another device.

    Args:
        view: The device that an event is about.
        programs: False to run none.
        clock: What limits the time of programs.
        given: Properties that earlier events gave the device.
    """

    def __init__(
        self,
        view: DeviceView,
        *,
        programs: bool = True,
        clock: Clock | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(clock=clock, given=given)
        self._programs = programs
        self._by_path = {f"{_SYS}{step.devpath}": step for step in chain(view)}
        self._nodes = {step.devnode for step in chain(view) if step.devnode}
        self._nodes |= {f"/dev/bsg/{step.sysname}" for step in chain(view)}

    def run_program(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> ProgramResult:
        if words[0].rpartition("/")[2] == "scsi_id":
            return scsi_id.as_program(view)
        if not self._programs:
            return ProgramResult(None, "", "programs are not run now")
        if any(node in word for node in self._nodes for word in words):
            return ProgramResult(None, "", "it asks a node, and a device of ours has none in /dev")
        return super().run_program(view, words, properties, timeout_s)

    def builtin(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> BuiltinResult:
        return Environment.builtin(self, view, words, properties, timeout_s)

    def database(self, view: DeviceView) -> Mapping[str, str]:
        return self.given  # udev's database has the kernel's device of that number

    def device(self, subsystem: str, sysname: str) -> DeviceView | None:
        for step in self._by_path.values():
            if (step.subsystem, step.sysname) == (subsystem, sysname):
                return step
        return super().device(subsystem, sysname)

    def mode(self, path: str) -> int | None:
        if path in self._by_path:
            return stat.S_IFDIR | 0o755
        above, _, name = path.rpartition("/")
        step = self._by_path.get(above)
        if step is not None and step.binary(name) is not None:
            return stat.S_IFREG | 0o444
        return super().mode(path)

    def entries(self, path: str) -> list[str]:
        if path == f"{_SYS}{_ROOT.devpath}":
            return ["host0"]  # for path_id: each host of ours is an adapter, and its number is its own
        step = self._by_path.get(path)
        return super().entries(path) if step is None else step.attribute_names()

    def read_file(self, path: str) -> bytes | None:
        above, _, name = path.rpartition("/")
        step = self._by_path.get(above)
        return super().read_file(path) if step is None else step.binary(name)
