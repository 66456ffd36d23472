"""Which devices ``midlayer trigger`` means: the match options of ``udevadm trigger``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from midlayer.upper.scsimon import DeviceRecord

SUBSYSTEMS = {"sg": "scsi_generic", "sd": "block", "sr": "block", "st": "scsi_tape", "ch": "scsi_changer"}
"""The kernel's subsystem of a device node, by upper-level driver."""

_WITHOUT_NODE = ("scsi", "scsi_device")

Pairs = Sequence[tuple[str, str | None]]
"""Name and pattern; None stands for any value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerMatch:
    """What a device, or an object of it, has to be.

    Attributes:
        subsystems: An object has to fit one of these patterns, if there are any.
        not_subsystems: It must fit none of these.
        sysnames: Its name has to fit one of these, if there are any: ``0:0:1:0``, ``sg3``.
        nodes: A node has to be one of these, or have one of them as a link, if there are any:
            ``/dev/sg3``, ``sg3``, ``/dev/disk/by-id/…``.
        attributes: All of them have to fit the device.
        not_attributes: None of them may.
        properties: One of those that rules gave the device has to fit one of these, if there are any.
        tags: Rules have to have given all of them to the device or its nodes.
        parents: It has to be below one of these, or be it, if there are any: ``host2``, ``target2:0:1``,
            ``2:0:1:0``, or a path below ``/sys`` that ends so.
    """

    subsystems: Sequence[str] = ()
    not_subsystems: Sequence[str] = ()
    sysnames: Sequence[str] = ()
    nodes: Sequence[str] = ()
    attributes: Pairs = ()
    not_attributes: Pairs = ()
    properties: Pairs = ()
    tags: Sequence[str] = ()
    parents: Sequence[str] = ()

    def objects(self, record: DeviceRecord, links: Collection[str]) -> list[str]:
        """Return the subsystems of those objects of a device that fit; `links` are those of its nodes."""
        wanted = {name.removeprefix("/dev/") for name in self.nodes}
        linked = not wanted.isdisjoint(links)
        return [
            subsystem
            for subsystem, sysname in _objects(record).items()
            if _fits(subsystem, self.subsystems)
            and _fits(sysname, self.sysnames)
            and not any(fnmatchcase(subsystem, pattern) for pattern in self.not_subsystems)
            and (not wanted or (subsystem not in _WITHOUT_NODE and (linked or sysname in wanted)))
        ]

    def fits(self, record: DeviceRecord, properties: Mapping[str, str], tags: AbstractSet[str]) -> bool:
        """Say whether a device fits; `properties` and `tags` are those that rules gave it."""
        shown = {"rev": record.facts["revision"], **record.facts}
        return (
            all(_has(shown, *pair) for pair in self.attributes)
            and not any(_has(shown, *pair) for pair in self.not_attributes)
            and (not self.properties or any(_has(properties, *pair) for pair in self.properties))
            and tags >= set(self.tags)
            and (not self.parents or any(_below(record.address, parent) for parent in self.parents))
        )


def _below(address: str, parent: str) -> bool:
    """Return whether a device is below an object of sysfs, or is it."""
    host, channel, target, _ = address.split(":")
    above = (f"host{host}", f"target{host}:{channel}:{target}", address)
    return parent.rstrip("/").rpartition("/")[2] in above


def _objects(record: DeviceRecord) -> dict[str, str]:
    """Return the kernel's subsystems in which a device has an object, with its name there."""
    names = record.facts["names"].items()
    nodes = {SUBSYSTEMS[key]: name for key, name in names if key in SUBSYSTEMS}
    return {"scsi": record.address, "scsi_device": record.address, **nodes}


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _has(shown: Mapping[str, Any], name: str, pattern: str | None) -> bool:
    value = shown.get(name)
    if value is None or isinstance(value, dict):
        return False
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return pattern is None or fnmatchcase(text, pattern)
