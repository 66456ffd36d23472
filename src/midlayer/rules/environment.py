"""What rules ask besides the device: files, programs, users, kernel parameters. Injected, so that a test,
or a trial of rules, decides what there is and what is run."""

from __future__ import annotations

import errno
import grp
import os
import platform
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from midlayer.mid.clock import Clock, SystemClock
from midlayer.rules import scsi_id
from midlayer.rules.path_id import path_id
from midlayer.rules.running import MOST_OUTPUT, ProgramResult, run
from midlayer.rules.sysfs_view import SysfsView
from midlayer.rules.text import decode, parse_property
from midlayer.rules.view import DeviceView

PROGRAM_DIRECTORIES = ("/usr/lib/udev", "/lib/udev")
"""Where a program without a path is looked for."""

_ARCHITECTURES = {
    "x86_64": "x86-64", "aarch64": "arm64", "i386": "x86", "i486": "x86", "i586": "x86", "i686": "x86",
    "armv7l": "arm", "armv6l": "arm", "ppc64le": "ppc64-le", "riscv64": "riscv64", "s390x": "s390x",
}  # fmt: skip
_MOST_FILE = 1 << 20
_USUAL_PLACES = ("bus/{subsystem}/devices/{name}", "class/{subsystem}/{name}", "firmware/{subsystem}/{name}")
_PLACES: dict[str, tuple[str, ...]] = {
    "subsystem": ("bus/{name}", "class/{name}"),
    "module": ("module/{name}",),
    "drivers": ("bus/{bus}/drivers/{rest}",),
}
"""Where sysfs has the device of ``[subsystem/sysname]``."""


class BuiltinResult(NamedTuple):
    """What a built-in import gives.

    Attributes:
        properties: What it found; None if it failed.
        note: Why it could not be tried; else empty.
    """

    properties: Mapping[str, str] | None
    note: str = ""


class Environment:
    """An empty world: no file, no program, no user. The base of all others."""

    arch = ""
    virt = "none"

    def read_file(self, path: str) -> bytes | None:
        """Return what is in a file; None if it can not be read."""
        return None

    def mode(self, path: str) -> int | None:
        """Return the ``st_mode`` of a path, links followed; None if there is nothing."""
        return None

    def entries(self, path: str) -> list[str]:
        """Return the names in a directory, in order."""
        return []

    def device(self, subsystem: str, sysname: str) -> DeviceView | None:
        """Return the device of ``[subsystem/sysname]``."""
        return None

    def run_program(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> ProgramResult:
        """Run a program of PROGRAM or IMPORT, without a shell, and wait for it.

        Args:
            view: Which device it is about.
            words: Program and arguments.
            properties: Its environment variables, and nothing else.
            timeout_s: How long it may take.
        """
        return ProgramResult(None, "", "no program is run here")

    def builtin(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> BuiltinResult:
        """Carry out a built-in import; arguments as for `run_program`."""
        if words[:1] == ["path_id"]:
            return BuiltinResult(path_id(view, self))
        return BuiltinResult(None, f"built-in {words[0] if words else ''} is not available here")

    def user(self, name: str) -> int | None:
        """Return the number of a user."""
        return _number(name)

    def group(self, name: str) -> int | None:
        """Return the number of a group."""
        return _number(name)

    def sysctl(self, name: str) -> str | None:
        """Return a kernel parameter by its path: ``kernel/hostname``."""
        return None

    def command_line(self) -> str:
        """Return the kernel's command line."""
        return ""

    def database(self, view: DeviceView) -> Mapping[str, str]:
        """Return the properties that earlier events gave a device."""
        return {}


@dataclass(kw_only=True)
class PlainEnvironment(Environment):
    """A world that is made of values, for tests and for what must not touch the machine.

    Attributes:
        files: Contents by path.
        programs: Output by command, its words joined by a space; one that is missing fails.
        users, groups: Numbers by name.
        sysctls: Kernel parameters.
        kernel_command_line: As in ``/proc/cmdline``.
        devices: By subsystem and name.
        databases: Properties by device path.
        ran: The commands that were run, in order.
    """

    arch: str = "x86-64"
    virt: str = "none"
    files: Mapping[str, bytes] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    kernel_command_line: str = ""
    devices: Mapping[tuple[str, str], DeviceView] = field(default_factory=dict)
    databases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def read_file(self, path: str) -> bytes | None:
        return self.files.get(path)

    def mode(self, path: str) -> int | None:
        if path in self.files:
            return 0o100644
        return 0o040755 if self.entries(path) else None

    def entries(self, path: str) -> list[str]:
        top = path.rstrip("/") + "/"
        return sorted({name[len(top) :].split("/")[0] for name in self.files if name.startswith(top)})

    def device(self, subsystem: str, sysname: str) -> DeviceView | None:
        return self.devices.get((subsystem, sysname))

    def run_program(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> ProgramResult:
        command = " ".join(words)
        self.ran.append(command)
        output = self.programs.get(command)
        return ProgramResult(None, "", "not found") if output is None else ProgramResult(0, output)

    def user(self, name: str) -> int | None:
        return self.users.get(name, _number(name))

    def group(self, name: str) -> int | None:
        return self.groups.get(name, _number(name))

    def sysctl(self, name: str) -> str | None:
        return self.sysctls.get(name)

    def command_line(self) -> str:
        return self.kernel_command_line

    def database(self, view: DeviceView) -> Mapping[str, str]:
        return self.databases.get(view.devpath, {})


_UDEVADM = ("/usr/bin/udevadm", "/bin/udevadm", "/usr/sbin/udevadm")
_OF_UDEVADM = frozenset({"btrfs", "hwdb", "input_id", "net_driver", "net_id", "usb_id"})
"""Built-ins of udev's that only say something of a device; ``udevadm test-builtin`` does."""


class SystemEnvironment(Environment):
    """This machine.

    Args:
        sys_root: Where sysfs is mounted.
        database: Directory of udev's database, for IMPORT{db} and IMPORT{parent}.
        programs: Directories of programs that are named without a path.
        clock: What limits the time of programs.
        given: Properties of the event's device that are known besides those of the database.
    """

    def __init__(
        self,
        sys_root: str = "/sys",
        *,
        database: str = "/run/udev/data",
        programs: Sequence[str] = PROGRAM_DIRECTORIES,
        clock: Clock | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        machine = platform.machine()
        self.arch = _ARCHITECTURES.get(machine, machine)
        self.virt = _virtualization()
        self._sys_root = sys_root
        self._database = Path(database)
        self._program_directories = programs
        self.given = dict(given or {})
        self._clock = SystemClock() if clock is None else clock

    def read_file(self, path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                return file.read(_MOST_FILE)
        except (OSError, ValueError):
            return None

    def mode(self, path: str) -> int | None:
        try:
            return os.stat(path).st_mode
        except (OSError, ValueError):
            return None

    def entries(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except (OSError, ValueError):
            return []

    def device(self, subsystem: str, sysname: str) -> DeviceView | None:
        name = sysname.replace("/", "!")
        for form in _PLACES.get(subsystem, _USUAL_PLACES):
            place = form.format(
                subsystem=subsystem, name=name, bus=name.partition(":")[0], rest=name.partition(":")[2]
            )
            found = SysfsView.find(f"{self._sys_root}/{place}", self._sys_root)
            if found is not None:
                return found
        return None

    def run_program(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> ProgramResult:
        path = _program(words[0], self._program_directories)
        if path is None and words[0].rpartition("/")[2] == "scsi_id":
            return scsi_id.as_program(view)  # a container has sysfs, and no udev
        if path is None:
            return ProgramResult(None, "", os.strerror(errno.ENOENT))
        return run([path, *words[1:]], properties, timeout_s, self._clock)

    def builtin(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> BuiltinResult:
        if words and words[0] in _OF_UDEVADM:
            return self._of_udevadm(view, words, properties, timeout_s)
        if words[:1] != ["blkid"]:
            return super().builtin(view, words, properties, timeout_s)
        program = next((path for path in ("/usr/sbin/blkid", "/sbin/blkid") if os.path.exists(path)), None)
        if program is None or not view.devnode:
            return BuiltinResult(None, "built-in blkid: there is no program blkid here, or no node")
        result = run([program, "-p", "-o", "udev", view.devnode], properties, timeout_s, self._clock)
        if result.status != 0:
            return BuiltinResult(None)
        return BuiltinResult(dict(filter(None, map(parse_property, result.output.splitlines()))))

    def _of_udevadm(
        self, view: DeviceView, words: Sequence[str], properties: Mapping[str, str], timeout_s: float
    ) -> BuiltinResult:
        """Have udev's own program say what a built-in of udev's makes of one of the kernel's devices."""
        path = f"{self._sys_root}{view.devpath}"
        program = next((path for path in _UDEVADM if os.path.exists(path)), None)
        if program is None or not os.path.isfile(f"{path}/uevent"):
            return BuiltinResult(None, f"built-in {words[0]} needs udevadm, and a device of the kernel's")
        result = run([program, "test-builtin", " ".join(words), path], properties, timeout_s, self._clock)
        if result.status != 0:
            return BuiltinResult(None)
        pairs = (line.partition("=") for line in result.output.splitlines())
        return BuiltinResult({key: value for key, equals, value in pairs if equals and key})

    def user(self, name: str) -> int | None:
        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):
            return _number(name)

    def group(self, name: str) -> int | None:
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return _number(name)

    def sysctl(self, name: str) -> str | None:
        if ".." in name.split("/"):
            return None
        data = self.read_file(f"/proc/sys/{name}")
        return None if data is None else decode(data).rstrip("\n")

    def command_line(self) -> str:
        return decode(self.read_file("/proc/cmdline") or b"")

    def database(self, view: DeviceView) -> Mapping[str, str]:
        data = self.read_file(str(self._database / database_id(view)))
        found = {}
        for line in decode(data or b"").splitlines():
            key, equals, value = line.removeprefix("E:").partition("=")
            if line.startswith("E:") and equals:
                found[key] = value
        return found | self.given


def database_id(view: DeviceView) -> str:
    """Return the name under which udev keeps a device: ``b8:0``, ``c21:3``, ``+scsi:2:0:1:0``."""
    if view.devnum is not None:
        return f"{'b' if view.subsystem == 'block' else 'c'}{view.devnum[0]}:{view.devnum[1]}"
    if index := view.properties.get("IFINDEX"):
        return f"n{index}"
    return f"+{view.subsystem}:{view.sysname.replace('/', '!')}"


def program_path(name: str) -> str:
    """Return where a program of RUN is, whether or not there is a file."""
    return _program(name, PROGRAM_DIRECTORIES) or (
        name if name.startswith("/") else f"{PROGRAM_DIRECTORIES[0]}/{name}"
    )


def _program(name: str, directories: Sequence[str]) -> str | None:
    places = [name] if name.startswith("/") else [f"{top}/{name}" for top in directories]
    return next((place for place in places if "\0" not in place and os.path.isfile(place)), None)


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None


@cache
def _virtualization() -> str:
    """Return what systemd-detect-virt(1) says, as far as every process may know: the container first."""
    for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(path):
            return name
    product, processor = _text("/sys/class/dmi/id/sys_vendor"), _text("/proc/cpuinfo")
    for word, name in (("QEMU", "qemu"), ("VMware", "vmware"), ("Xen", "xen"), ("innotek", "oracle")):
        if word in product:
            return name
    return "qemu" if "QEMU" in processor else "none"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


__all__ = [
    "MOST_OUTPUT",
    "BuiltinResult",
    "Environment",
    "PlainEnvironment",
    "ProgramResult",
    "SystemEnvironment",
    "database_id",
    "program_path",
]
