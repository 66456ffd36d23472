"""Kernel uevents as values. No I/O: bytes in, a `Uevent` out.

A datagram of the kernel is one header and its variables, each ended by a zero byte::

    add@/devices/pseudo_0/adapter0/host0/target0:0:0/0:0:0:0
    ACTION=add
    DEVPATH=/devices/pseudo_0/adapter0/host0/target0:0:0/0:0:0:0
    SUBSYSTEM=scsi
    DEVTYPE=scsi_device
    SEQNUM=1072
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from midlayer.address import Address
from midlayer.errors import AddressError, MidlayerError

_HOST = re.compile(r"/host(\d{1,9})(?=/|$)", re.ASCII)
_PLAIN_TAPE = re.compile(r"st\d+", re.ASCII)
_MAX_SEQNUM_DIGITS = 20


class UeventError(MidlayerError, ValueError):
    """A datagram that is no uevent of the kernel.

    Args:
        kind: One word, the same for all datagrams with this fault: ``libudev``, ``truncated`` …
        message: What is wrong with this one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Kind(Enum):
    """What an event is about."""

    HOST = auto()
    """A host. The one that counts is that of the class device: only then is all of the host in sysfs."""
    DEVICE = auto()
    """A logical unit."""
    NODE = auto()
    """A device node of a logical unit: sgN, sdX, srN, stN."""
    OTHER = auto()
    """Nothing that concerns SCSI devices."""


class Uevent(NamedTuple):
    """One event of the kernel.

    Attributes:
        action: ``add``, ``remove``, ``change``, ``bind`` …
        devpath: Path of the object below the root of sysfs; starts with ``/``.
        seqnum: Number of the event; it grows by one with each event of the machine.
        properties: All variables, those above among them.
    """

    action: str
    devpath: str
    seqnum: int
    properties: dict[str, str]

    @property
    def kind(self) -> Kind:
        """What the event is about."""
        subsystem = self.properties.get("SUBSYSTEM", "")
        if subsystem == "scsi_host":
            return Kind.HOST
        if subsystem == "scsi":
            return Kind.DEVICE if self.properties.get("DEVTYPE") == "scsi_device" else Kind.OTHER
        return Kind.NODE if self.node else Kind.OTHER

    @property
    def address(self) -> Address | None:
        """Address of the logical unit that the object belongs to; None if it belongs to none."""
        for part in self.devpath.split("/"):
            if part.count(":") == 3:
                try:
                    return Address.parse(part)
                except AddressError:
                    continue
        return None

    @property
    def host_no(self) -> int | None:
        """Number of the host that the object belongs to; None if it belongs to none."""
        address = self.address
        if address is not None:
            return address.host
        numbers = _HOST.findall(self.devpath)
        return int(numbers[-1]) if numbers else None

    @property
    def node(self) -> tuple[str, str] | None:
        """Upper-level driver and name, ``("sg", "sg3")``, if this is about a node of a logical unit."""
        subsystem = self.properties.get("SUBSYSTEM", "")
        name = self.devpath.rpartition("/")[2]
        if subsystem == "scsi_generic":
            return "sg", name
        if subsystem == "block" and self.properties.get("DEVTYPE") == "disk" and self.address is not None:
            return block_driver(name), name
        if subsystem == "scsi_tape" and is_tape(name):
            return "st", name
        return None

    @property
    def changes(self) -> dict[str, str]:
        """What a ``change`` event of a logical unit says: ``unit_attention``, ``media_change``."""
        known = {"SDEV_UA": "unit_attention", "SDEV_MEDIA_CHANGE": "media_change"}
        return {ours: self.properties[theirs] for theirs, ours in known.items() if theirs in self.properties}

    @property
    def synthetic(self) -> bool:
        """True if a program wrote to a ``uevent`` file (udevadm trigger): nothing came or went."""
        return "SYNTH_UUID" in self.properties


def block_driver(name: str) -> str:
    """Return which upper-level driver gave a block device its name, ``sd`` or ``sr``."""
    return "sr" if name.startswith("sr") else "sd"


def is_tape(name: str) -> bool:
    """Return whether a name is a drive's plain one; st0 has seven more, such as nst0 and st0a."""
    return _PLAIN_TAPE.fullmatch(name) is not None


def parse(datagram: bytes) -> Uevent:
    """Read one datagram.

    Bytes that are no UTF-8 are kept as surrogate escapes, as in file names.

    Raises:
        UeventError: If it is anything but a whole event of the kernel.
    """
    if datagram.startswith(b"libudev\0"):
        raise UeventError("libudev", "a message of udevd, not of the kernel")
    if not datagram.endswith(b"\0"):
        raise UeventError("truncated", f"{len(datagram)} bytes without the zero byte that ends a uevent")
    header, *variables = datagram[:-1].decode("utf-8", "surrogateescape").split("\0")
    action, at, devpath = header.partition("@")
    if not at or not action or not devpath.startswith("/"):
        raise UeventError("header", f"a uevent begins with action@/devpath, this one with {header[:80]!r}")
    properties = {}
    for variable in variables:
        key, equals, value = variable.partition("=")
        if not key or not equals:
            raise UeventError("variable", f"{action}@{devpath[:200]}: {variable[:80]!r} is not KEY=VALUE")
        properties[key] = value
    if properties.get("ACTION") != action or properties.get("DEVPATH") != devpath:
        raise UeventError(
            "header", f"{header[:200]!r}: ACTION and DEVPATH say something else than the header"
        )
    return Uevent(action, devpath, _seqnum(header, properties), properties)


def _seqnum(header: str, properties: dict[str, str]) -> int:
    digits = properties.get("SEQNUM", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_SEQNUM_DIGITS):
        raise UeventError("seqnum", f"{header[:200]}: SEQNUM is {digits[:30]!r}, not a number")
    return int(digits)
