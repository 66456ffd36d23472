"""The snapshot: /sys, /dev and /proc/scsi as ordinary files, kept current while the subsystem changes.

The library redirects paths into it, so that directories, links and attributes need no code of their own.
A device node is a file that says ``major:minor``; a proc file is empty, as its text is made at each open.
"""

from __future__ import annotations

import heapq
import os
import shutil
import threading
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from midlayer.frontends.nodes import attributes
from midlayer.mid.events import UpperDriver
from midlayer.upper.sg.proc import ProcTree

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.subsystem import Subsystem

SG_MAJOR = 21
_USUAL_BSG_MAJOR = 248
_MODE_OF_A_NODE = 0o644
_DEVICES = "sys/devices/midlayer"
_DIRECTORIES = (
    "dev/bsg", "proc/scsi", _DEVICES, "sys/bus/scsi/devices", "sys/bus/scsi/drivers", "sys/class/bsg",
    "sys/class/scsi_device", "sys/class/scsi_generic", "sys/class/scsi_host", "sys/dev/char",
)  # fmt: skip


class Tree(UpperDriver):
    """Writes the snapshot. As an upper-level driver it hears of every change.

    Args:
        root: A directory to make.
        subsystem: What to show.
        proc: The files below ``/proc/scsi``.
    """

    def __init__(self, root: Path, subsystem: Subsystem, proc: ProcTree) -> None:
        self._root = root
        self._subsystem = subsystem
        self._proc = proc
        self._lock = threading.Lock()
        self._stopped = False
        self._bsg_major, self._proc_devices = _majors(Path("/proc/devices"))
        self._bsg_minors: dict[LogicalUnit, int] = {}
        self._free_minors: list[int] = []  # a heap: given back, all below the number of minors ever given
        self._nodes: dict[LogicalUnit, str] = {}

    def fill(self) -> None:
        """Make what is always there; hosts and devices come by the calls of the subsystem."""
        for name in _DIRECTORIES:
            (self._root / name).mkdir(parents=True)
        (self._root / "proc/devices").write_text(self._proc_devices)
        self._show_proc()

    def add_node(self, name: str, number: tuple[int, int]) -> None:
        """Show a node that is always there."""
        with self._lock:
            self._write("dev", {name: f"{number[0]}:{number[1]}\n"})

    def stop(self) -> None:
        """Write nothing more."""
        with self._lock:
            self._stopped = True

    def bsg_number(self, device: LogicalUnit) -> tuple[int, int]:
        """Return major and minor of a device's bsg node."""
        return self._bsg_major, self._bsg_minors.get(device, 0)

    def real(self, path: str) -> str:
        """Return a path of the snapshot with its links followed."""
        found = os.path.realpath(f"{self._root}{path}")
        return found.removeprefix(os.path.realpath(self._root))

    # What the subsystem tells

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        with self._lock:
            if self._stopped:
                return
            name = f"host{host.host_no}"
            place = f"{_DEVICES}/{name}"
            self._write(place, {"uevent": "DEVTYPE=scsi_host\n"})
            self._link(f"{place}/subsystem", "sys/bus/scsi")
            self._write(f"{place}/scsi_host/{name}", attributes.of_host(host))
            self._link(f"{place}/scsi_host/{name}/device", place)
            self._link(f"{place}/scsi_host/{name}/subsystem", "sys/class/scsi_host")
            self._link(f"sys/class/scsi_host/{name}", f"{place}/scsi_host/{name}")
            self._link(f"sys/bus/scsi/devices/{name}", place)
            self._show_proc()

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        with self._lock:
            if self._stopped:
                return
            name = f"host{host.host_no}"
            self._unlink(f"sys/class/scsi_host/{name}", f"sys/bus/scsi/devices/{name}")
            shutil.rmtree(self._root / _DEVICES / name, ignore_errors=True)
            self._show_proc()

    def match(self, device: LogicalUnit) -> bool:
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._lock:
            if not self._stopped:
                self._show_device(device)
                self._show_node(device)

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._lock:
            if self._stopped:
                return
            address = str(device.address)
            self._hide_node(device)
            if device in self._bsg_minors:
                heapq.heappush(self._free_minors, self._bsg_minors.pop(device))
            self._unlink(
                f"dev/bsg/{address}",
                *(
                    f"sys/{place}/{address}"
                    for place in ("class/bsg", "class/scsi_device", "bus/scsi/devices")
                ),
            )
            shutil.rmtree(self._root / _place(device), ignore_errors=True)
            target = self._root / _target_place(device)
            with os.scandir(target) as entries:  # as far as the first one that is left, of perhaps thousands
                last = not any(":" in entry.name for entry in entries)
            if last:
                self._unlink(f"sys/bus/scsi/devices/{target.name}")
                shutil.rmtree(target, ignore_errors=True)

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        with self._lock:
            if self._stopped:
                return
            self._write(_place(device), attributes.of_device(device))
            if "sg" in changes:
                self._hide_node(device)
                self._show_node(device)

    # Writing. The caller holds the lock.

    def _show_device(self, device: LogicalUnit) -> None:
        place, target, address = _place(device), _target_place(device), str(device.address)
        minor = heapq.heappop(self._free_minors) if self._free_minors else len(self._bsg_minors)
        self._bsg_minors[device] = minor
        self._write(target, {"uevent": "DEVTYPE=scsi_target\n"})
        self._link(f"{target}/subsystem", "sys/bus/scsi")
        self._link(f"sys/bus/scsi/devices/{Path(target).name}", target)
        self._write(place, attributes.of_device(device))
        self._link(f"{place}/subsystem", "sys/bus/scsi")
        self._show_part(device, "scsi_device", address, {"uevent": ""})
        number = f"{self._bsg_major}:{minor}"
        uevent = f"MAJOR={self._bsg_major}\nMINOR={minor}\nDEVNAME=bsg/{address}\n"
        self._show_part(device, "bsg", address, {"dev": f"{number}\n", "uevent": uevent})
        self._write("dev/bsg", {address: f"{number}\n"})
        self._link(f"sys/bus/scsi/devices/{address}", place)

    def _show_node(self, device: LogicalUnit) -> None:
        name = device.names.get("sg", "")
        if not name.startswith("sg"):
            return
        self._nodes[device] = name
        minor = name.removeprefix("sg")
        number = f"{SG_MAJOR}:{minor}"
        uevent = f"MAJOR={SG_MAJOR}\nMINOR={minor}\nDEVNAME={name}\n"
        self._show_part(device, "scsi_generic", name, {"dev": f"{number}\n", "uevent": uevent})
        place = f"{_place(device)}/scsi_generic/{name}"
        self._link(f"{_place(device)}/generic", place)
        self._link(f"sys/dev/char/{number}", place)
        self._write("dev", {name: f"{number}\n"})

    def _hide_node(self, device: LogicalUnit) -> None:
        name = self._nodes.pop(device, None)
        if name is None:
            return
        number = f"{SG_MAJOR}:{name.removeprefix('sg')}"
        self._unlink(
            f"dev/{name}",
            f"sys/class/scsi_generic/{name}",
            f"sys/dev/char/{number}",
            f"{_place(device)}/generic",
        )
        shutil.rmtree(self._root / _place(device) / "scsi_generic", ignore_errors=True)

    def _show_part(self, device: LogicalUnit, kind: str, name: str, files: Mapping[str, str]) -> None:
        place = f"{_place(device)}/{kind}/{name}"
        self._write(place, files)
        self._link(f"{place}/device", _place(device))
        self._link(f"{place}/subsystem", f"sys/class/{kind}")
        self._link(f"sys/class/{kind}/{name}", place)

    def _show_proc(self) -> None:
        wanted = set(self._proc.names())
        top = self._root / "proc"
        for name in wanted:
            file = top / name
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(self._proc.mode(name) & 0o777)
        for file in [found for found in (top / "scsi").rglob("*") if found.is_file()]:
            if str(file.relative_to(top)) not in wanted:
                file.unlink()
        for directory in [found for found in (top / "scsi").iterdir() if found.is_dir()]:
            if not any(directory.iterdir()):
                directory.rmdir()

    def _write(self, place: str, files: Mapping[str, attributes.Text]) -> None:
        """Write files, each at once: a reader sees the old text or the new one.

        A directory that is not there yet is filled elsewhere, and renamed once for all its files. As a device
        has about fifty files and links, paths are plain text here.
        """
        directory, fresh, in_sys = f"{self._root}/{place}", f"{self._root}/fresh", place.startswith("sys")
        is_new = not os.path.isdir(directory)
        if is_new:
            os.mkdir(fresh)
        for name, text in files.items():
            data = text if isinstance(text, bytes) else text.encode("latin-1", errors="replace")
            mode = _mode(name) if in_sys else _MODE_OF_A_NODE
            if is_new:
                _store(f"{fresh}/{name}", data, mode)
            else:
                _store(fresh, data, mode)
                os.rename(fresh, f"{directory}/{name}")
        if is_new:
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            os.rename(fresh, directory)

    def _link(self, place: str, to: str) -> None:
        link = f"{self._root}/{place}"
        try:
            os.symlink(_relative(place, to), link)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(_relative(place, to), link)
        except FileExistsError:
            pass  # it leads there already

    def _unlink(self, *places: str) -> None:
        for place in places:
            (self._root / place).unlink(missing_ok=True)


def _place(device: LogicalUnit) -> str:
    return f"{_target_place(device)}/{device.address}"


def _target_place(device: LogicalUnit) -> str:
    host, channel, target, _ = device.address
    return f"{_DEVICES}/host{host}/target{host}:{channel}:{target}"


def _mode(name: str) -> int:
    if name in attributes.WRITE_ONLY:
        return 0o200
    return 0o644 if name in attributes.WRITABLE else 0o444


def _store(path: str, data: bytes, mode: int) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(number, data)
        os.fchmod(number, mode)
    finally:
        os.close(number)


def _relative(place: str, to: str) -> str:
    """Return what a link at `place` says to lead to another place of the tree."""
    here, there = place.split("/")[:-1], to.split("/")
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(here, there, strict=False)))
    return "/".join([".."] * (len(here) - shared) + there[shared:])


def _majors(file: Path) -> tuple[int, str]:
    """Return the major number of bsg, and the text of /proc/devices with sg and bsg in it."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        lines = ["Character devices:", "", "Block devices:"]
    majors = {
        words[1]: int(words[0]) for line in lines if len(words := line.split()) == 2 and words[0].isdigit()
    }
    bsg = majors.get("bsg", _USUAL_BSG_MAJOR)
    while "bsg" not in majors and bsg in majors.values():
        bsg -= 1
    for name, number in (("bsg", bsg), ("sg", SG_MAJOR)):
        if name not in majors:
            lines.insert(1, f"{number:3d} {name}")
    return bsg, "\n".join(lines) + "\n"
