"""Devices, hosts and events as ``/dev/scsimon`` shows them."""

from __future__ import annotations

from collections.abc import Mapping

from midlayer.address import Address
from midlayer.upper.scsimon.driver import Gap
from midlayer.upper.scsimon.interface import DEVICE, EVENT, GAP, HOST, KINDS, NO_LUN, NOTHING
from midlayer.upper.scsimon.records import WRITEABLE_TYPES, DeviceRecord, Event, HostRecord, Kind

_MOST_INQUIRY = 252
_MASK = 0xFFFF_FFFF
_NOT_ONLINE = frozenset({"offline", "transport-offline", "deleted"})
_MEDIUM = ("SDEV_MEDIA_CHANGE", "media_change")
_NODES = ("sd", "sr", "st", "ch")


def device_element(record: DeviceRecord, access_count: int) -> bytes:
    """Return ``struct scsimon_device``."""
    facts, address = record.facts, Address.parse(record.address)
    host, names = facts["host_data"], facts["names"]
    inquiry = bytes.fromhex(facts["inquiry"])[:_MOST_INQUIRY]
    removable = int(facts["removable"])
    return DEVICE.pack(
        record.attach_count,
        record.detach_count or 0,
        _microseconds(record.attached_boot_s),
        _microseconds(record.detached_boot_s),
        _microseconds(record.attached_wall_s),
        _microseconds(record.detached_wall_s),
        address.lun,
        address.host,
        address.channel,
        address.target,
        access_count,
        facts["type"],
        int(facts["qualifier"][:3], 2),
        facts["scsi_level"],
        removable,
        int(bool(host["emulated"])),
        int(facts["type"] in WRITEABLE_TYPES),
        removable,
        int(any(key in facts for key in _MEDIUM)),
        int(record.detach_count is None and facts["state"] not in _NOT_ONLINE),
        int(record.detach_by_resync),
        _text(facts["vendor"], 12),
        _text(facts["model"], 20),
        _text(facts["revision"], 8),
        _text(names.get("sg", ""), 16),
        _text(next((names[key] for key in _NODES if key in names), ""), 16),
        _text(host["name"], 32),
        _text(host["driver"], 32),
        len(inquiry),
        inquiry,
    )


def host_element(record: HostRecord, devices: Mapping[int, int]) -> bytes:
    """Return ``struct scsimon_host``; `devices` has how many are attached, by host."""
    facts = record.facts
    return HOST.pack(
        record.added_count,
        _microseconds(record.added_wall_s),
        record.host_no,
        facts["unique_id"] & _MASK,
        int(bool(facts["emulated"])),
        devices.get(record.host_no, 0),
        _text(facts["name"], 32),
        _text(facts["driver"], 32),
        _text(facts["info"], 256),
    )


def event_element(event: Event) -> bytes:
    """Return ``struct scsimon_event``."""
    if event.address:
        host, channel, target, lun = Address.parse(event.address)
    else:
        host, channel, target, lun = event.host_no & _MASK, NOTHING, NOTHING, NO_LUN
    count, previous = event.data.get("attach_count", 0), 0
    if event.kind is Kind.REPLACED:
        count, previous = event.event_count, count
    elif event.kind is Kind.ATTACH:
        count = event.event_count
    return EVENT.pack(
        event.event_count,
        count,
        previous,
        _microseconds(event.boot_s),
        _microseconds(event.wall_s),
        lun,
        KINDS[event.kind],
        host,
        channel,
        target,
        int(event.by_resync),
    )


def gap_element(gap: Gap) -> bytes:
    """Return the event that stands for those that are no longer kept."""
    last, first = gap.last_missing, gap.first_missing
    return EVENT.pack(last, first, 0, 0, 0, NO_LUN, GAP, NOTHING, NOTHING, NOTHING, 0)


def _microseconds(seconds: float | None) -> int:
    return max(0, round((seconds or 0.0) * 1e6))


def _text(text: str, room: int) -> bytes:
    """Return a text that leaves room for the zero at its end."""
    raw = text.encode(errors="replace")[: room - 1]
    return bytes(byte if 0x20 <= byte < 0x7F else 0x20 for byte in raw)
