"""The capture of /proc/scsi on Linux 6.1, and the subsystem that it was taken from, rebuilt."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg import SgDriver
from midlayer.upper.sg.parameters import SgParameters
from midlayer.upper.sg.request import RequestView

_FILE = Path(__file__).parent / "captures" / "proc-scsi-linux-6.1.txt"
_TYPES = ("disk", "cd", "changer", "changer", "enclosure", "scanner")


def section(title: str) -> list[str]:
    """Return the lines of one section of the capture."""
    found: list[str] = []
    here = False
    for line in _FILE.read_text().splitlines(keepends=True):
        if line.startswith("######## "):
            here = line[9:].strip() == title
        elif here:
            found.append(line)
    assert found, title
    return found


class Machine:
    """A machine like that of the capture: scsi_debug with two LUNs on each host."""

    def __init__(self) -> None:
        self.subsystem = Subsystem()
        self.subsystem.register_upper(SgDriver())
        self._driver = VirtualDriver(self.subsystem)

    def add_host(self, kind: str) -> None:
        unit = UnitSpec.from_mapping(
            {"type": kind, "vendor": "Linux", "product": "scsi_debug", "revision": "0191",
             "scsi_level": 7, "size": "8M", "count": 2}
        )  # fmt: skip
        host = self._driver.add_host(HostSpec(can_queue=192, cmd_per_lun=192, units=(unit,)), scan=False)
        host.sg_tablesize = 2048
        self.subsystem.scan_host(host)

    def add_all_hosts(self) -> None:
        for kind in _TYPES[len(self.subsystem.hosts()) :]:
            self.add_host(kind)


@dataclass
class FakeFile:
    """A descriptor of an sg device, written down rather than opened."""

    timeout_ms: int = 60000
    reserved_bytes: int = 65536
    reserved_sgat: int = 2
    cmd_q: bool = False
    force_pack_id: bool = True
    keep_orphan: bool = False
    closed: bool = False
    requests: tuple[RequestView, ...] = ()


@dataclass
class FakeDevice:
    """An sg device with such descriptors."""

    minor: int
    device: LogicalUnit
    files: tuple[FakeFile, ...] = ()
    exclusive: bool = False
    detaching: bool = False
    sg_tablesize: int = 2048
    lock: AbstractContextManager[Any] = field(default_factory=nullcontext)


class FakeRegistry:
    """All such devices."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.parameters = SgParameters()
        self.all = list(devices)

    def devices(self) -> tuple[FakeDevice, ...]:
        return tuple(self.all)


def reading(pack_id: int, **differing: Any) -> RequestView:
    """Return a READ(10) of 64 KiB that the driver has had for no time."""
    usual = RequestView(
        kind="", state="act", pack_id=pack_id, blen=65536, duration_ms=None, timeout_ms=60000,
        elapsed_ms=0, sgat=2, opcode=0x28,
    )  # fmt: skip
    return usual._replace(**differing)
