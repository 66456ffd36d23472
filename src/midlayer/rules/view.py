"""How a rule sees a device: names, properties, attributes and the chain of parents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from midlayer.rules.text import decode, encode

_NUMBER_AT_END = re.compile(r"\d+\Z", re.ASCII)


class DeviceView(Protocol):
    """A device of sysfs, or one that looks like it."""

    @property
    def devpath(self) -> str:
        """Its path below ``/sys``: ``/devices/…``."""

    @property
    def sysname(self) -> str:
        """The kernel's name for it, the last part of its path: ``sda``, ``2:0:1:0``."""

    @property
    def sysnum(self) -> str:
        """The number that the name ends with; empty without one."""

    @property
    def subsystem(self) -> str:
        """``block``, ``scsi``, ``scsi_generic`` …; empty if it has none."""

    @property
    def driver(self) -> str:
        """The driver that is bound to it; empty without one."""

    @property
    def devnode(self) -> str:
        """``/dev/sda``; empty if it has no node."""

    @property
    def devnum(self) -> tuple[int, int] | None:
        """Major and minor of its node."""

    @property
    def properties(self) -> Mapping[str, str]:
        """What the kernel says in an event: DEVPATH, SUBSYSTEM, DEVTYPE …, without ACTION."""

    @property
    def tags(self) -> Iterable[str]:
        """Tags that it has from an earlier event."""

    @property
    def parent(self) -> DeviceView | None:
        """The next device up the path."""

    def attribute(self, name: str) -> str | None:
        """Return an attribute without the end of its last line; None if it has none of that name."""

    def binary(self, name: str) -> bytes | None:
        """Return all bytes of an attribute such as ``inquiry``; None if it has none of that name."""

    def attribute_names(self) -> list[str]:
        """Return the names of its attributes, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainView:
    """A device that is made of values: for the subsystem's own devices, and for tests.

    Attributes:
        devpath, subsystem, driver, devnode, devnum, tags, parent: See `DeviceView`.
        own_properties: Properties besides those that follow from the others.
        attributes: Attributes by name, as text, or as bytes where they are no text.
    """

    devpath: str
    subsystem: str = ""
    driver: str = ""
    devnode: str = ""
    devnum: tuple[int, int] | None = None
    own_properties: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str | bytes] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    parent: DeviceView | None = None

    @property
    def sysname(self) -> str:
        """The last part of the path, where ``!`` stands for a slash."""
        return name_of(self.devpath)

    @property
    def sysnum(self) -> str:
        """The number that the name ends with."""
        return number_of(self.sysname)

    @property
    def properties(self) -> dict[str, str]:
        """Properties as the kernel would send them."""
        found = {"DEVPATH": self.devpath, "SUBSYSTEM": self.subsystem, "DRIVER": self.driver}
        if self.devnum is not None:
            found |= {"DEVNAME": self.devnode, "MAJOR": str(self.devnum[0]), "MINOR": str(self.devnum[1])}
        return {key: value for key, value in found.items() if value} | dict(self.own_properties)

    def attribute(self, name: str) -> str | None:
        """Return an attribute."""
        value = self.attributes.get(name)
        if value is None and name in _LINKS:
            value = getattr(self, name) or None
        if value is None:
            return None
        text = decode(value) if isinstance(value, bytes) else value
        return text.split("\0", 1)[0].rstrip("\r\n")

    def binary(self, name: str) -> bytes | None:
        """Return all bytes of an attribute."""
        value = self.attributes.get(name)
        return encode(value) if isinstance(value, str) else value

    def attribute_names(self) -> list[str]:
        """Return the names of the attributes."""
        return sorted(self.attributes)


_LINKS = frozenset({"subsystem", "driver"})


@lru_cache(maxsize=4096)
def name_of(devpath: str) -> str:
    """Return the kernel's name of a device."""
    return devpath.rpartition("/")[2].replace("!", "/")


def number_of(sysname: str) -> str:
    """Return the number that a name ends with, as text; empty if there is none, or nothing before it."""
    match = _NUMBER_AT_END.search(sysname)
    return match[0] if match and match.start() else ""


def chain(view: DeviceView) -> Iterable[DeviceView]:
    """Yield a device, its parent, the parent's parent …"""
    step: DeviceView | None = view
    while step is not None:
        yield step
        step = step.parent
