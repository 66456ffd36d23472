"""A kernel made of files: a sysfs tree that hosts and devices come to and go from, and their uevents.

Inode numbers are not given twice, as in kernfs: what is removed is moved out of the tree, not deleted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from midlayer.address import Address
from midlayer.lower.linux.netlink import LOST, Lost
from midlayer.lower.linux.uevent import Uevent, parse
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit

BOOT_ID = "a3b0c9f2-0000-4000-8000-000000000001"
INQUIRY = bytes.fromhex("00000702 5b00100a") + b"Linux   scsi_debug      0191"


class FakeSource:
    """Stands in for `UeventSocket`: gives datagrams, as bytes, in the order in which they were put."""

    def __init__(self) -> None:
        self.waiting: deque[bytes | Lost] = deque()
        self.closed = False

    def receive(self, timeout_s: float | None = None) -> Uevent | Lost | None:
        if not self.waiting:
            return None
        item = self.waiting.popleft()
        return item if isinstance(item, Lost) else parse(item)

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakeKernel:
    """Hosts and devices below ``root/sys``, with ``root/proc`` and ``root/dev`` beside it."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self.dev = root / "sys", root / "proc", root / "dev"
        self._graveyard = root / "gone"
        self.source = FakeSource()
        self.seqnum = 1000
        self.drop: Callable[[bytes], bool] = lambda datagram: False
        self._next_minor = 0
        for directory in (
            "class/scsi_host",
            "bus/scsi/devices",
            "kernel",
            "devices",
            "dev/char",
            "dev/block",
        ):
            (self.sys / directory).mkdir(parents=True)
        for directory in (self.proc / "sys/kernel/random", self.dev, self._graveyard):
            directory.mkdir(parents=True)
        (self.proc / "sys/kernel/random/boot_id").write_text(BOOT_ID + "\n")
        (self.sys / "kernel/uevent_seqnum").write_text(f"{self.seqnum}\n")

    # Uevents

    def emit(self, action: str, devpath: str, **properties: str) -> None:
        self.seqnum += 1
        (self.sys / "kernel/uevent_seqnum").write_text(f"{self.seqnum}\n")
        pairs = {"ACTION": action, "DEVPATH": devpath, **properties, "SEQNUM": str(self.seqnum)}
        text = f"{action}@{devpath}\0" + "".join(f"{key}={value}\0" for key, value in pairs.items())
        if not self.drop(text.encode()):
            self.source.waiting.append(text.encode())

    def lose(self) -> None:
        """Overflow the socket: what waits is gone."""
        self.source.waiting.clear()
        self.source.waiting.append(LOST)

    # Hosts

    def host_dir(self, host_no: int) -> Path:
        return self.sys / f"devices/pseudo_0/adapter{host_no}/host{host_no}"

    def add_host(self, host_no: int, **attributes: str) -> None:
        path = self.host_dir(host_no) / "scsi_host" / f"host{host_no}"
        path.mkdir(parents=True)
        defaults = {
            "proc_name": "scsi_debug", "unique_id": str(host_no), "can_queue": "192", "cmd_per_lun": "192",
            "sg_tablesize": "2048", "state": "running", "active_mode": "Initiator", "scan": "",
        }  # fmt: skip
        for name, value in (defaults | attributes).items():
            (path / name).write_text(value + "\n" * bool(value))
        (self.sys / f"class/scsi_host/host{host_no}").symlink_to(path)
        devpath = self._devpath(self.host_dir(host_no))
        self.emit("add", devpath, SUBSYSTEM="scsi", DEVTYPE="scsi_host")
        self.emit("add", f"{devpath}/scsi_host/host{host_no}", SUBSYSTEM="scsi_host")

    def remove_host(self, host_no: int) -> None:
        for address in self.addresses():
            if address.host == host_no:
                self.remove(address)
        path = self.host_dir(host_no)
        devpath = self._devpath(path)
        (self.sys / f"class/scsi_host/host{host_no}").unlink()
        self._bury(path)
        self.emit("remove", f"{devpath}/scsi_host/host{host_no}", SUBSYSTEM="scsi_host")
        self.emit("remove", devpath, SUBSYSTEM="scsi", DEVTYPE="scsi_host")

    # Devices

    def device_dir(self, address: Address) -> Path:
        host, channel, target, _ = address
        return self.host_dir(host) / f"target{host}:{channel}:{target}" / str(address)

    def addresses(self) -> list[Address]:
        return sorted(Address.parse(path.name) for path in (self.sys / "bus/scsi/devices").iterdir())

    def add(
        self, address: Address, *, inquiry: bytes | None = INQUIRY, nodes: bool = True, **files: str
    ) -> None:
        self.appear(address, inquiry=inquiry, **files)
        self.announce("add", address)
        if nodes:
            self.add_node(address, "scsi_generic", f"sg{self._next_minor}")
            self._next_minor += 1

    def appear(self, address: Address, *, inquiry: bytes | None = INQUIRY, **files: str) -> None:
        """What `add` does, up to the moment before the event."""
        path = self.device_dir(address)
        path.mkdir(parents=True)
        for name, value in ({"state": "running", "delete": ""} | files).items():
            (path / name).write_text(value + "\n" * bool(value))
        if inquiry is not None:
            (path / "inquiry").write_bytes(inquiry)
        (self.sys / "bus/scsi/devices" / str(address)).symlink_to(path)

    def announce(self, action: str, address: Address, **properties: str) -> None:
        devpath = self._devpath(self.device_dir(address))
        self.emit(action, devpath, SUBSYSTEM="scsi", DEVTYPE="scsi_device", **properties)

    def remove(self, address: Address) -> None:
        path = self.device_dir(address)
        (path / "state").write_text("cancel\n")
        for name in os.listdir(path / "scsi_generic") if (path / "scsi_generic").exists() else ():
            self.remove_node(address, "scsi_generic", name)
        self.vanish(address)
        self.announce("remove", address)

    def vanish(self, address: Address) -> None:
        """What `remove` does, up to the moment before the event."""
        (self.sys / "bus/scsi/devices" / str(address)).unlink()
        self._bury(self.device_dir(address))

    def add_node(self, address: Address, subsystem: str, name: str, numbers: str = "1:3") -> None:
        """Add a node. /dev/null stands in for the sg node, hence the numbers: anybody may open it."""
        path = self.device_dir(address) / subsystem / name
        path.mkdir(parents=True)
        (path / "dev").write_text(numbers + "\n")
        (path / "device").symlink_to(self.device_dir(address))
        if subsystem == "scsi_generic":
            (self.dev / name).symlink_to("/dev/null")
        self._node_event("add", address, subsystem, name)

    def remove_node(self, address: Address, subsystem: str, name: str) -> None:
        self._bury(self.device_dir(address) / subsystem / name)
        (self.dev / name).unlink(missing_ok=True)
        self._node_event("remove", address, subsystem, name)

    def _node_event(self, action: str, address: Address, subsystem: str, name: str) -> None:
        devtype = {"DEVTYPE": "disk"} if subsystem == "block" else {}
        devpath = f"{self._devpath(self.device_dir(address))}/{subsystem}/{name}"
        self.emit(action, devpath, SUBSYSTEM=subsystem, DEVNAME=name, **devtype)

    def _devpath(self, path: Path) -> str:
        return f"/{path.relative_to(self.sys)}"

    def _bury(self, path: Path) -> None:
        path.rename(self._graveyard / str(len(list(self._graveyard.iterdir()))))


class Recorder(UpperDriver):
    """An upper-level driver that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.details: list[tuple[str, Address, str, bool]] = []
        self.batches: list[str] = []

    def match(self, device: LogicalUnit) -> bool:
        return True

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        self.heard.append(("host_added", host.host_no))

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        self.heard.append(("host_removed", host.host_no))

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(("attach", str(device.address)))
        self.details.append(("attach", device.address, device.session, by_resync))

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(("detach", str(device.address)))
        self.details.append(("detach", device.address, device.session, by_resync))

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        self.heard.append(("changed", str(device.address), changes))

    def scan_begins(self, host: Host) -> None:
        self.batches.append(f"begin {host.host_no}")

    def scan_ends(self, host: Host) -> None:
        self.batches.append(f"end {host.host_no}")

    def take(self) -> list[tuple[object, ...]]:
        """Return what was heard since the last call."""
        heard, self.heard = self.heard, []
        return heard


_request = struct.Struct("=iiBBHIQQQII")


@dataclass
class SgAnswer:
    """What `FakeIoctl` answers."""

    data: bytes = b""
    sense: bytes = b""
    status: int = 0
    host_status: int = 0
    driver_status: int = 0
    residual: int | None = None
    error: int = 0


@dataclass
class FakeIoctl:
    """Stands in for `fcntl.ioctl`: reads the memory that the header points to, as the kernel does."""

    answer: SgAnswer = field(default_factory=SgAnswer)
    seen: list[dict[str, object]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    scsi_id: Address | None = None
    max_bytes: int = 524288
    resets: list[int] = field(default_factory=list)
    reserved: list[tuple[int, int]] = field(default_factory=list)  # descriptor and bytes
    reserve_error: int = 0
    reset_error: int = 0
    flags: int = 0

    def __call__(self, fd: int, request: int, header: bytearray, mutate: bool) -> int:
        if request == 0x2276:
            return self._get_scsi_id(header)
        if request == 0x2284:
            self.resets.append(int.from_bytes(header, "little"))
            if self.reset_error:
                raise OSError(self.reset_error, os.strerror(self.reset_error))
            return 0
        if request == 0x2275:
            self.reserved.append((fd, int.from_bytes(header, "little")))
            if self.reserve_error:
                raise OSError(self.reserve_error, os.strerror(self.reserve_error))
            return 0
        if request == 0x1267:
            header[:] = self.max_bytes.to_bytes(4, "little")
            return 0
        assert (request, len(header), mutate) == (0x2285, 88, True)
        kind, direction, cdb_length, sense_room, _, count, data, cdb, sense, timeout_ms, flags = (
            _request.unpack_from(header)
        )
        assert (kind, flags) == (ord("S"), self.flags)
        out = ctypes.string_at(data, count) if direction == -2 else b""
        self.seen.append(
            {"cdb": ctypes.string_at(cdb, cdb_length), "direction": direction, "count": count,
             "out": out, "timeout_ms": timeout_ms, "fd": fd}
        )  # fmt: skip
        self.before()
        answer = self.answer
        if answer.error:
            raise OSError(answer.error, os.strerror(answer.error))
        if direction == -3:
            ctypes.memmove(data, answer.data, min(count, len(answer.data)))
        ctypes.memmove(sense, answer.sense, min(sense_room, len(answer.sense)))
        moved = len(answer.data) if direction == -3 else len(out)
        residual = answer.residual if answer.residual is not None else count - min(count, moved)
        fields = answer.status, len(answer.sense), answer.host_status, answer.driver_status, residual
        struct.pack_into("=BxxBHHi", header, 64, *fields)
        return 0

    def _get_scsi_id(self, answer: bytearray) -> int:
        if self.scsi_id is None:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        host, channel, target, lun = self.scsi_id
        struct.pack_into("=iiiiihhii", answer, 0, host, channel, target, lun, 0, 1, 1, 0, 0)
        return 0


def pairs(heard: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Keep the attaches and detaches."""
    return [item for item in heard if item[0] in ("attach", "detach")]
