"""A kernel device as rules see it: a directory of sysfs, with a few attributes of ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

from midlayer.rules import fields
from midlayer.rules.text import decode
from midlayer.rules.view import name_of, number_of

_LINKS = frozenset({"driver", "subsystem", "module"})
_LEFT_OUT = frozenset({"uevent", "dev"})
_MOST_ATTRIBUTE = 1 << 16
_IDENTITY: dict[str, Callable[[bytes], bytes]] = {
    "inquiry": bytes,
    "type": lambda inquiry: b"%d\n" % (inquiry[0] & 0x1F),
    "vendor": lambda inquiry: inquiry[8:16] + b"\n",
    "model": lambda inquiry: inquiry[16:32] + b"\n",
    "rev": lambda inquiry: inquiry[32:36] + b"\n",
}
"""Attributes of a logical unit that are parts of its INQUIRY data."""


class Asked(NamedTuple):
    """What a logical unit has said of itself since the kernel asked it, who never asks again.

    Attributes:
        address: Which unit: the name of its directory.
        inquiry: Standard INQUIRY data.
        pages: VPD pages.
    """

    address: str
    inquiry: bytes
    pages: Mapping[int, bytes]


class SysfsView:
    """One device of the kernel. Everything is read when it is asked for, and at most once.

    Args:
        path: Its directory, without links: ``/sys/devices/…``.
        root: Where sysfs is mounted.
        asked: Goes before what sysfs has of this unit's identity.
    """

    def __init__(self, path: str, root: str = "/sys", asked: Asked | None = None) -> None:
        self._path = path
        self._root = root
        self._asked = asked
        self._attributes: dict[str, str | None] = {}

    @classmethod
    def find(cls, path: str, root: str = "/sys", asked: Asked | None = None) -> SysfsView | None:
        """Return the device of a directory of sysfs, or of a link to it; None if it is none."""
        real = os.path.realpath(path)
        top = os.path.realpath(root)
        if not real.startswith(f"{top}/") or not os.path.isfile(f"{real}/uevent"):
            return None
        return cls(real, top, asked)

    @classmethod
    def of_node(cls, path: str, root: str = "/sys") -> SysfsView | None:
        """Return the device of a node such as ``/dev/sda``; None if the path is no node."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        kind = {stat.S_IFBLK: "block", stat.S_IFCHR: "char"}.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return None
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        return cls.find(f"{root}/dev/{kind}/{number}", root)

    @property
    def devpath(self) -> str:
        """Its path below sysfs."""
        return self._path[len(self._root) :]

    @property
    def sysname(self) -> str:
        """The kernel's name for it."""
        return name_of(self._path)

    @property
    def sysnum(self) -> str:
        """The number that the name ends with."""
        return number_of(self.sysname)

    @cached_property
    def subsystem(self) -> str:
        """What its link says, or what its place says where it has none."""
        linked = self._link("subsystem")
        if linked:
            return linked
        for place, name in (("/module/", "module"), ("/class/", "subsystem"), ("/bus/", "subsystem")):
            if self.devpath.startswith(place):
                return "drivers" if "/drivers/" in self.devpath else name
        return ""

    @cached_property
    def driver(self) -> str:
        """The driver that is bound to it."""
        return self._link("driver")

    @property
    def devnode(self) -> str:
        """Its node."""
        return self.properties.get("DEVNAME", "")

    @cached_property
    def devnum(self) -> tuple[int, int] | None:
        """Major and minor of its node."""
        try:
            return int(self.properties["MAJOR"]), int(self.properties["MINOR"])
        except (KeyError, ValueError):
            return None

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """What its ``uevent`` file says, and what udev adds."""
        found = {"DEVPATH": self.devpath}
        if self.subsystem:
            found["SUBSYSTEM"] = self.subsystem
        for line in decode(self._read("uevent") or b"").splitlines():
            key, equals, value = line.partition("=")
            if equals and key:
                found[key] = f"/dev/{value}" if key == "DEVNAME" and not value.startswith("/") else value
        return found

    @property
    def tags(self) -> tuple[str, ...]:
        """None: an event begins without tags."""
        return ()

    @cached_property
    def parent(self) -> SysfsView | None:
        """The next directory up the path that is a device."""
        path = self._path
        while True:
            path = path.rpartition("/")[0]
            if len(path) <= len(self._root) or path == f"{self._root}/devices":
                return None
            if os.path.isfile(f"{path}/uevent"):
                return SysfsView(path, self._root, self._asked)

    def attribute(self, name: str) -> str | None:
        """Return an attribute; see `midlayer.rules.fields` for those that sysfs does not have."""
        if name not in self._attributes:
            self._attributes[name] = self._attribute(name)
        return self._attributes[name]

    def _attribute(self, name: str) -> str | None:
        if name in _LINKS:
            return self._link(name) or None
        data = self.binary(name)
        if data is not None:
            return decode(data.split(b"\0", 1)[0]).rstrip("\r\n")
        if not fields.is_ours(name):
            return None
        unit = self._logical_unit
        return None if unit is None else fields.value(name, unit.binary("inquiry") or b"", unit._pages)

    def binary(self, name: str) -> bytes | None:
        """Return all bytes of an attribute."""
        if name in _IDENTITY and self._was_asked and self._asked is not None and self._asked.inquiry:
            return _IDENTITY[name](self._asked.inquiry)
        return self._read(name)

    def attribute_names(self) -> list[str]:
        """Return the names of its attributes, in order; those that can only be written are left out."""
        try:
            names = os.listdir(self._path)
        except OSError:
            return []
        found = [name for name in names if name not in _LEFT_OUT and self._is_attribute(name)]
        if os.path.exists(f"{self._path}/inquiry"):
            found += fields.names(self.binary("inquiry") or b"", self._pages)
        return sorted(found)

    def _is_attribute(self, name: str) -> bool:
        try:
            mode = os.lstat(f"{self._path}/{name}").st_mode
        except OSError:
            return False
        return name in _LINKS if stat.S_ISLNK(mode) else stat.S_ISREG(mode) and bool(mode & stat.S_IRUSR)

    @cached_property
    def _logical_unit(self) -> SysfsView | None:
        """The SCSI device that this is, or is a part of."""
        step: SysfsView | None = self
        while step is not None and not (
            step.subsystem == "scsi" and step.properties.get("DEVTYPE") == "scsi_device"
        ):
            step = step.parent
        return step

    @property
    def _was_asked(self) -> bool:
        """This is the unit that has said something since, and no part of it: some have its name."""
        return self._asked is not None and self._asked.address == self.sysname and self.subsystem == "scsi"

    @cached_property
    def _pages(self) -> dict[int, bytes]:
        if self._was_asked and self._asked is not None:
            return {code: data for code, data in self._asked.pages.items() if code in fields.VPD_PAGES}
        pages = {code: self._read(f"vpd_pg{code:x}") for code in fields.VPD_PAGES}
        return {code: data for code, data in pages.items() if data}

    def _read(self, name: str) -> bytes | None:
        path = f"{self._path}/{name}"
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return None
            with open(path, "rb", buffering=0) as file:
                return file.read(_MOST_ATTRIBUTE)
        except (OSError, ValueError):  # it may vanish, refuse, or have a name that no file has
            return None

    def _link(self, name: str) -> str:
        try:
            return os.readlink(f"{self._path}/{name}").rpartition("/")[2]
        except OSError:
            return ""
