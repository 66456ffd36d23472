"""What the log keeps: events, and the three lists that follow from them.

The lists are a fold of the events and of nothing else: `Lists.apply` is the only function that changes
them, in a running daemon, at a restart, and in whoever replays the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.designators import persistent_name, wwid
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.standards.vpd import UnitSerialNumber

DEFAULT_DETACHED = 1000
"""How many detached devices are kept by default."""


WRITEABLE_TYPES = frozenset(
    {
        Type.DIRECT_ACCESS, Type.SEQUENTIAL_ACCESS, Type.PRINTER, Type.PROCESSOR, Type.SCANNER,
        Type.OPTICAL_MEMORY, Type.MEDIUM_CHANGER, Type.COMMUNICATIONS, Type.ENCLOSURE_SERVICES,
    }
)  # fmt: skip
"""Types that count as writeable, as scsimon's kernels had it: by type, whatever the medium says."""


class Kind(StrEnum):
    """What an event tells."""

    ATTACH = "attach"
    DETACH = "detach"
    CHANGE = "change"
    HOST_ADDED = "host-added"
    HOST_REMOVED = "host-removed"
    REPLACED = "replaced"
    QUARANTINED = "quarantined"
    RELEASED = "released"
    TRIGGER = "trigger"
    AGENTS = "agents"
    RECOVERY = "recovery"


class Event(NamedTuple):
    """One entry of the log.

    Attributes:
        event_count: Unique and increasing, never used twice; 0 before the log has given it.
        kind: What happened.
        host_no: Of which host.
        address: Of which device, as text; empty for events of hosts.
        wall_s: When, in seconds since 1970-01-01 UTC.
        boot_s: When, in seconds since the machine booted.
        by_resync: True if it was found by comparing, so that the moment itself may be earlier.
        data: Attach: the device. Detach: ``attach_count`` and who it was. Change: what changed.
            Replaced: ``attach_count`` of who was there, what differs, and the device that is there now.
            Host events: the host. The others: see docs/json.md.
    """

    event_count: int
    kind: Kind
    host_no: int
    address: str
    wall_s: float
    boot_s: float
    by_resync: bool
    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event as documented for ``midlayer events --json``."""
        shown: dict[str, Any] = {
            "event_count": self.event_count,
            "event": str(self.kind),
            "host": self.host_no,
            "time": format_time(self.wall_s),
            "since_boot_s": round(self.boot_s, 6),
            "by_resync": self.by_resync,
        }
        if self.address:
            shown["address"] = self.address
        return shown | self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device as it is, or was. `facts` has its INQUIRY and host data, see `describe_device`."""

    address: str
    attach_count: int
    attached_wall_s: float
    attached_boot_s: float
    facts: dict[str, Any]
    detach_count: int | None = None
    detached_wall_s: float | None = None
    detached_boot_s: float | None = None
    detach_by_resync: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the element as documented for ``midlayer attached --json`` and ``detached --json``."""
        shown: dict[str, Any] = {
            "address": self.address,
            "attach_count": self.attach_count,
            "attached_at": format_time(self.attached_wall_s),
            "attached_since_boot_s": round(self.attached_boot_s, 6),
        }
        if self.detach_count is not None:
            shown["detach_count"] = self.detach_count
            shown["detached_at"] = format_time(self.detached_wall_s or 0.0)
            shown["detached_since_boot_s"] = round(self.detached_boot_s or 0.0, 6)
            shown["detach_by_resync"] = self.detach_by_resync
        return shown | _without_session(self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A host that is there; `facts` has its name and info string, see `describe_host`."""

    host_no: int
    added_count: int
    added_wall_s: float
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the element as documented for ``midlayer hosts --json``."""
        shown = {
            "host": self.host_no,
            "added_count": self.added_count,
            "added_at": format_time(self.added_wall_s),
        }
        return shown | _without_session(self.facts)


@dataclass(slots=True)
class Lists:
    """The three lists at one event count.

    Attributes:
        event_count: The count of the last event that is in the lists.
        attached: Devices by address, oldest attach first.
        detached: The most recent `keep_detached` devices that went, latest last.
        hosts: Hosts by number.
    """

    keep_detached: int = DEFAULT_DETACHED
    event_count: int = 0
    attached: dict[str, DeviceRecord] = field(default_factory=dict)
    detached: deque[DeviceRecord] = field(default_factory=deque)
    hosts: dict[int, HostRecord] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take one more event into the lists."""
        self.event_count = event.event_count
        _APPLY[event.kind](self, event)

    def replay(self, events: Iterable[Event]) -> Lists:
        """Take many events into the lists and return them."""
        for event in events:
            self.apply(event)
        return self

    def _attach(self, event: Event) -> None:
        self.attached[event.address] = DeviceRecord(
            address=event.address,
            attach_count=event.event_count,
            attached_wall_s=event.wall_s,
            attached_boot_s=event.boot_s,
            facts=event.data["device"],
        )

    def _replaced(self, event: Event) -> None:
        self._detach(event)
        self._attach(event)

    def _nothing(self, event: Event) -> None:
        """Worth a line in the log, and of no effect on the lists."""

    def _detach(self, event: Event) -> None:
        record = self.attached.pop(event.address, None)
        if record is None:
            return
        self.detached.append(
            replace(
                record,
                detach_count=event.event_count,
                detached_wall_s=event.wall_s,
                detached_boot_s=event.boot_s,
                detach_by_resync=event.by_resync,
            )
        )
        while len(self.detached) > self.keep_detached:
            self.detached.popleft()

    def _change(self, event: Event) -> None:
        record = self.attached.get(event.address)
        if record is not None:
            self.attached[event.address] = replace(
                record, facts=_changed(record.facts, event.data["changes"])
            )

    def _host_added(self, event: Event) -> None:
        self.hosts[event.host_no] = HostRecord(
            host_no=event.host_no,
            added_count=event.event_count,
            added_wall_s=event.wall_s,
            facts=event.data["host_data"],
        )

    def _host_removed(self, event: Event) -> None:
        self.hosts.pop(event.host_no, None)


_APPLY = {
    Kind.ATTACH: Lists._attach,
    Kind.DETACH: Lists._detach,
    Kind.CHANGE: Lists._change,
    Kind.HOST_ADDED: Lists._host_added,
    Kind.HOST_REMOVED: Lists._host_removed,
    Kind.REPLACED: Lists._replaced,
    **dict.fromkeys(
        (Kind.QUARANTINED, Kind.RELEASED, Kind.TRIGGER, Kind.AGENTS, Kind.RECOVERY), Lists._nothing
    ),
}


def _without_session(facts: dict[str, Any]) -> dict[str, Any]:
    """Leave out what tells sessions apart: it means nothing to people."""
    return {
        key: _without_session(value) if key == "host_data" else value
        for key, value in facts.items()
        if key != "session"
    }


_NAME_KEYS = frozenset({"sg", "sd", "sr", "st", "bsg"})


def _changed(facts: dict[str, Any], changes: dict[str, str]) -> dict[str, Any]:
    names = dict(facts["names"])
    others = {}
    for key, value in changes.items():
        if key not in _NAME_KEYS:
            others[key] = value
        elif value:
            names[key] = value
        else:
            names.pop(key, None)
    return {**facts, **others, "names": names}


def describe_device(device: LogicalUnit) -> dict[str, Any]:
    """Return what the log keeps of a device: INQUIRY data, identity, names and its host."""
    pages = device.vpd_pages
    return {
        "vendor": device.vendor,
        "model": device.model,
        "revision": device.revision,
        "type": device.type,
        "type_name": type_name(device.type),
        "qualifier": f"{device.peripheral_qualifier:03b}b",
        "scsi_level": device.scsi_level,
        "removable": device.removable,
        "serial": _serial(pages.get(0x80)),
        "wwid": wwid(pages.get(0x83)) or "",
        "by_id": persistent_name(pages.get(0x83), pages.get(0x80), device.vendor, device.model) or "",
        "names": dict(device.names),
        "state": device.state.value,
        "session": device.session,
        "inquiry": device.inquiry_data.hex(),
        "host_data": describe_host(device.host),
    }


DETACH_KEYS = (
    "vendor", "model", "revision", "type", "qualifier", "removable", "serial", "wwid", "names",
)  # fmt: skip
"""What a detach tells of the device, from `describe_device`."""


def describe_detached(device: LogicalUnit) -> dict[str, Any]:
    """Return what a detach tells of a device: enough for an agent that hears of nothing else."""
    pages = device.vpd_pages
    return {
        "vendor": device.vendor,
        "model": device.model,
        "revision": device.revision,
        "type": device.type,
        "qualifier": f"{device.peripheral_qualifier:03b}b",
        "removable": device.removable,
        "serial": _serial(pages.get(0x80)),
        "wwid": wwid(pages.get(0x83)) or "",
        "names": dict(device.names),
        "emulated": device.host.emulated,
        "access_count": max(0, device.references - 1),
    }


def describe_host(host: Host) -> dict[str, Any]:
    """Return what the log keeps of a host."""
    return {
        "name": host.name,
        "driver": host.proc_name,
        "info": host.info,
        "emulated": host.emulated,
        "unique_id": host.unique_id,
        "session": host.session,
    }


def type_name(device_type: int) -> str:
    """Return the name of a peripheral device type, as ``/proc/scsi/scsi`` shows it."""
    try:
        return Type(device_type).description
    except ValueError:
        return "Unknown"


def format_time(wall_s: float) -> str:
    """Return a time in ISO 8601, UTC, with microseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _serial(page: bytes | None) -> str:
    if not page:
        return ""
    try:
        return UnitSerialNumber.decode(page).text
    except ValueError:
        return ""
