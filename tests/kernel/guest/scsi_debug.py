"""Linux's scsi_debug: pseudo hosts with RAM disks behind them, made and removed while they run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .eventually import eventually

PARAMETERS = Path("/sys/bus/pseudo/drivers/scsi_debug")
JIFFIES_PER_S = 250  # of Debian's kernels
SCSI_HOSTS = Path("/sys/class/scsi_host")
SCSI_DEVICES = Path("/sys/bus/scsi/devices")
# Through /sys/bus/scsi/devices come hosts and targets as well; only these are logical units.
LOGICAL_UNIT = re.compile(r"(?P<host>\d+):\d+:\d+:\d+")


def logical_units(hosts: Iterable[int]) -> list[Path]:
    """Return the sysfs directories of the logical units of some hosts, in address order."""
    wanted = {str(number) for number in hosts}
    found = []
    for entry in SCSI_DEVICES.iterdir():
        address = LOGICAL_UNIT.fullmatch(entry.name)
        if address and address["host"] in wanted:
            found.append(entry)
    return sorted(found, key=lambda entry: [int(part) for part in entry.name.split(":")])


class ScsiDebug:
    """The loaded module. A context manager: leaving it removes every host and unloads the module.

    Args:
        parameters: the module's own (``modinfo scsi_debug``): ``num_tgts=2``, ``max_luns=3``, ``ptype=1`` …
    """

    def __init__(self, **parameters: int | str) -> None:
        self.parameters = parameters

    def __enter__(self) -> Self:
        arguments = [f"{name}={value}" for name, value in self.parameters.items()]
        subprocess.run(["modprobe", "scsi_debug", *arguments], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unload()

    def get(self, name: str) -> str:
        """Return a parameter's present value, as text."""
        return (PARAMETERS / name).read_text().strip()

    def set(self, name: str, value: int | str) -> None:
        """Change a parameter; most act on the next command, some on the next host."""

        def write() -> bool:
            (PARAMETERS / name).write_text(f"{value}\n")
            return True

        eventually(write, reason=f"{name} to be set, which a command on its way forbids (EBUSY)")

    def slow_down(self, seconds: float) -> None:
        """Have each command take so long from now on, if the device obeys; ``ndelay`` ends below 1 s."""
        self.set("delay", round(seconds * JIFFIES_PER_S))

    def hosts(self) -> list[int]:
        """Return the numbers of this module's hosts, the oldest first."""
        found = []
        for host in SCSI_HOSTS.glob("host*"):
            try:
                if (host / "proc_name").read_text().strip() == "scsi_debug":
                    found.append(int(host.name.removeprefix("host")))
            except OSError:  # removed while we looked
                continue
        return sorted(found)

    def add_host(self) -> int:
        """Add a host and return its number once its logical units had time to be scanned."""
        before = set(self.hosts())
        self.set("add_host", 1)
        (number,) = eventually(lambda: set(self.hosts()) - before, reason="a new scsi_debug host")
        return number

    def remove_host(self) -> int:
        """Remove the newest host and return what its number was."""
        number = self.hosts()[-1]
        self.set("add_host", -1)
        eventually(lambda: number not in self.hosts(), reason=f"host{number} to go")
        return number

    def devices(self, host: int | None = None) -> list[Path]:
        """Return the sysfs directories of the logical units, of all hosts or of one, in address order."""
        return logical_units([host] if host is not None else self.hosts())

    def unload(self) -> None:
        """Remove every device and the module; waits for descriptors that are still being closed."""
        eventually(self._try_unload, interval_s=0.1, reason="scsi_debug to be unloaded")

    def _try_unload(self) -> bool:
        if not Path("/sys/module/scsi_debug").exists():
            return True
        for device in self.devices():  # ch and ses keep the module of a device that they are bound to
            with suppress(OSError):  # it is on its way out
                (device / "delete").write_text("1\n")
        return subprocess.run(["modprobe", "-r", "scsi_debug"], check=False).returncode == 0
