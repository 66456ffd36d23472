"""What sysfs says of the kernel's SCSI hosts and devices.

Anything may vanish between two reads: a file that is not there, or not there any more, reads as None.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from midlayer.address import Address
from midlayer.errors import AddressError
from midlayer.lower.linux.uevent import block_driver, is_tape

VPD_PAGES = (0x00, 0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2, 0xB7)
"""VPD pages that some version of the kernel keeps a file for."""

_VANISHED = frozenset(
    {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO, errno.EINVAL, errno.ENOTDIR, errno.EACCES}
)
_HOST = re.compile(r"host(\d{1,9})", re.ASCII)
_STANDARD_INQUIRY_BYTES = 36


@dataclass(frozen=True, kw_only=True, slots=True)
class SysfsHost:
    """One host as sysfs shows it.

    Attributes:
        host_no: Its number.
        session: Boot id and inode; another host under the same number has another one.
        proc_name: Name of its driver, such as ``scsi_debug``.
        unique_id, can_queue, cmd_per_lun, sg_tablesize: As the driver set them; 0 if unknown.
        state: ``running``, ``recovery`` …
        active_mode: ``Initiator``, ``Target`` …
    """

    host_no: int
    session: str = ""
    proc_name: str = ""
    unique_id: int = 0
    can_queue: int = 0
    cmd_per_lun: int = 0
    sg_tablesize: int = 0
    state: str = ""
    active_mode: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SysfsDevice:
    """One logical unit as sysfs shows it.

    Attributes:
        address: Where it is.
        session: Boot id and inode; another device at the same address has another one.
        inquiry: Standard INQUIRY data, made up from vendor, model, … where the kernel has no such file;
            empty if the device was gone before it could be read.
        vpd_pages: Raw VPD pages by page code.
        state: ``running``, ``offline``, ``blocked`` …
        queue_depth: Of the kernel's queue; 0 if unknown.
        wwid: Such as ``naa.33333330000007d0``.
        names: Nodes by upper-level driver: ``sg``, ``sd`` or ``sr`` or ``st``, ``bsg``.
    """

    address: Address
    session: str = ""
    inquiry: bytes = b""
    vpd_pages: dict[int, bytes] = field(default_factory=dict)
    state: str = ""
    queue_depth: int = 0
    wwid: str = ""
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The sessions of all hosts and devices, read as close to one moment as sysfs allows."""

    hosts: dict[int, str]
    devices: dict[Address, str]


class Sysfs:
    """A reader of one sysfs tree.

    Args:
        root: Where sysfs is mounted.
        proc: Where procfs is mounted, for the boot id.
    """

    def __init__(self, root: str | Path = "/sys", *, proc: str | Path = "/proc") -> None:
        self.root = Path(root)
        boot_id = read_file(Path(proc) / "sys/kernel/random/boot_id")
        self._boot_id = _text(boot_id)

    def uevent_seqnum(self) -> int:
        """Return the number of the last uevent; 0 if it can not be read."""
        return _number(read_file(self.root / "kernel/uevent_seqnum"))

    def listing(self) -> Listing:
        """Return who is there now, in order of number and address."""
        hosts = {number: self.host_session(number) for number in self.host_numbers()}
        devices = {address: self.session(address) for address in self.addresses()}
        return Listing(
            hosts={number: session for number, session in hosts.items() if session},
            devices={address: session for address, session in devices.items() if session},
        )

    # Hosts

    def host_path(self, host_no: int) -> Path:
        """Return the directory of a host, with ``scan`` and ``proc_name`` in it."""
        return self.root / "class/scsi_host" / f"host{host_no}"

    def host_numbers(self) -> list[int]:
        """Return the numbers of all hosts, in order."""
        names = (_HOST.fullmatch(name) for name in _entries(self.root / "class/scsi_host"))
        return sorted(int(match[1]) for match in names if match)

    def host_session(self, host_no: int) -> str:
        """Return the session of a host, empty if there is none."""
        return self._session_of(self.host_path(host_no))

    def host(self, host_no: int) -> SysfsHost | None:
        """Read one host; None if there is none."""
        path = self.host_path(host_no)
        session = self._session_of(path)
        if not session:
            return None
        return SysfsHost(
            host_no=host_no,
            session=session,
            proc_name=_text(read_file(path / "proc_name")),
            unique_id=_number(read_file(path / "unique_id")),
            can_queue=_number(read_file(path / "can_queue")),
            cmd_per_lun=_number(read_file(path / "cmd_per_lun")),
            sg_tablesize=_number(read_file(path / "sg_tablesize")),
            state=_text(read_file(path / "state")),
            active_mode=_text(read_file(path / "active_mode")),
        )

    # Devices

    def device_path(self, address: Address) -> Path:
        """Return the directory of a device."""
        return self.root / "bus/scsi/devices" / str(address)

    def addresses(self) -> list[Address]:
        """Return the addresses of all devices, in order."""
        found = []
        for name in _entries(self.root / "bus/scsi/devices"):
            try:
                found.append(Address.parse(name))
            except AddressError:
                continue  # host0, target0:0:0
        return sorted(found)

    def session(self, address: Address) -> str:
        """Return the session of the device at an address, empty if there is none."""
        return self._session_of(self.device_path(address))

    def state(self, address: Address) -> str:
        """Return the state of a device, empty if there is none."""
        return _text(read_file(self.device_path(address) / "state"))

    def stays(self, address: Address, session: str) -> bool:
        """Return whether a session of a device is there, and its removal has not begun."""
        return self.session(address) == session != "" and self.state(address) not in ("cancel", "deleted", "")

    def names(self, address: Address) -> dict[str, str]:
        """Return the nodes that a device has now, by upper-level driver."""
        path = self.device_path(address)
        names = {}
        for name in _entries(path / "scsi_generic"):
            names["sg"] = name
        for name in _entries(path / "block"):
            names[block_driver(name)] = name
        for name in filter(is_tape, _entries(path / "scsi_tape")):
            names["st"] = name
        for name in _entries(path / "bsg"):
            names["bsg"] = f"bsg/{name}"
        return names

    def device(self, address: Address) -> SysfsDevice | None:
        """Read one device; None if there is none."""
        path = self.device_path(address)
        session = self._session_of(path)
        if not session:
            return None
        pages = {page: read_file(path / f"vpd_pg{page:x}") for page in VPD_PAGES}
        return SysfsDevice(
            address=address,
            session=session,
            inquiry=read_file(path / "inquiry") or _made_up_inquiry(path),
            vpd_pages={page: data for page, data in pages.items() if data},
            state=_text(read_file(path / "state")),
            queue_depth=_number(read_file(path / "queue_depth")),
            wwid=_text(read_file(path / "wwid")),
            names=self.names(address),
        )

    def _session_of(self, path: Path) -> str:
        # kernfs gives an inode number to one directory only as long as the machine is up, so that it
        # tells a device from the one that comes after it at the same address.
        try:
            return f"{self._boot_id}:{os.stat(path).st_ino}"
        except OSError as error:
            if error.errno not in _VANISHED:
                raise
            return ""


def read_file(path: Path) -> bytes | None:
    """Read a file whole; None if it is not there, or its device is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        if error.errno not in _VANISHED:
            raise
        return None


def _entries(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        if error.errno not in _VANISHED:
            raise
        return []


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "surrogateescape").strip()


def _number(data: bytes | None) -> int:
    try:
        return int(data or b"0")
    except ValueError:
        return 0


def _made_up_inquiry(path: Path) -> bytes:
    """Put INQUIRY data together from text files, for kernels before 4.0, which have no `inquiry`."""
    vendor = read_file(path / "vendor")
    if vendor is None:
        return b""
    level = _number(read_file(path / "scsi_level"))
    version, response_format = (level - 1, 2) if level > 2 else (min(level, 1), level // 2)
    data = bytearray(_STANDARD_INQUIRY_BYTES)
    data[0] = _number(read_file(path / "type")) & 0x1F
    data[2], data[3], data[4] = version & 0xFF, response_format, len(data) - 5
    texts = (vendor, read_file(path / "model"), read_file(path / "rev"))
    for text, first, end in zip(texts, (8, 16, 32), (16, 32, 36), strict=True):
        data[first:end] = (text or b"").rstrip(b"\n")[: end - first].ljust(end - first)
    return bytes(data)
