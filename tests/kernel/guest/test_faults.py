"""The same faults on Linux's scsi_debug, by its debugfs files, and here: each outcome is the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import midlayer
from midlayer.device import Device
from midlayer.lower.filters import add_fault, faults_of
from midlayer.mid.command import HostByte, Result
from midlayer.standards.sbc import Read10, Write10
from midlayer.standards.spc import Inquiry, TestUnitReady

from .eventually import eventually
from .nodes import ready_node, udev_stopped
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
DEBUGFS = Path("/sys/kernel/debug")
TIMEOUT_S = 2.0

READ = (Read10(logical_block_address=8, transfer_length=1).encode(), {"data_in": 512})
WRITE = (Write10(logical_block_address=8, transfer_length=1).encode(), {"data_out": bytes(512)})
INQUIRY = (Inquiry(allocation_length=36).encode(), {"data_in": 36})
READY = (TestUnitReady().encode(), {})
Sent = tuple[bytes, dict[str, Any]]


class Case(NamedTuple):
    """A line for the kernel's file, our rule, the commands that are sent then, and what must come of them."""

    theirs: str
    ours: dict[str, Any]
    sent: tuple[Sent, ...]
    outcomes: tuple[str, ...]


# scsi_debug sends sense data with each error of type 2, also where there is nothing to say.
EMPTY_SENSE = {"sense": "0/00/00", "execute": False, "residual": 0}

CASES = {
    "medium error": Case(
        "2 1 0x28 0 0 0x2 0x3 0x11 0x0",
        {"opcode": 0x28, "sense": "3/11/00", "residual": 0},
        (READ, WRITE, READ),
        (
            "MEDIUM ERROR, unrecovered read error (3/11/00)",
            "GOOD",
            "MEDIUM ERROR, unrecovered read error (3/11/00)",
        ),
    ),
    "twice only": Case(
        "2 -2 0x28 0 0 0x2 0x5 0x24 0x0",
        {"opcode": 0x28, "sense": "5/24/00", "residual": 0, "times": 2},
        (READ, READ, READ),
        ("ILLEGAL REQUEST, invalid field in CDB (5/24/00)",) * 2 + ("GOOD",),
    ),
    "host byte": Case(
        "2 1 0x2a 0x7 0 0 0 0 0",
        {"opcode": 0x2A, "host_byte": 7, **EMPTY_SENSE, "status": "GOOD"},
        (WRITE, READ),
        ("DID_ERROR", "GOOD"),
    ),
    "no connection": Case(
        "2 -1 0x12 0x1 0 0 0 0 0",
        {"opcode": 0x12, "host_byte": 1, **EMPTY_SENSE, "status": "GOOD", "times": 1},
        (INQUIRY,),
        ("DID_NO_CONNECT",),
    ),
    "reservation conflict": Case(
        "2 1 0x28 0 0 0x18 0 0 0",
        {"opcode": 0x28, "status": 0x18, **EMPTY_SENSE},
        (READ,),
        ("NO SENSE, no additional sense information (0/00/00)",),  # and the status beside it
    ),
    "any command": Case(
        "2 -3 0xff 0 0 0x2 0x4 0x44 0x0",
        {"sense": "4/44/00", "residual": 0, "times": 3},
        (READY, READ, INQUIRY, READY),
        ("HARDWARE ERROR, internal target failure (4/44/00)",) * 3 + ("GOOD",),
    ),
    "host busy": Case("1 -2 0x2a 0x1055", {"opcode": 0x2A, "busy": "host", "times": 2}, (WRITE,), ("GOOD",)),
    "device busy": Case(
        "1 -2 0x2a 0x1056", {"opcode": 0x2A, "busy": "device", "times": 2}, (WRITE,), ("GOOD",)
    ),
    "target busy": Case(
        "1 -2 0x2a 0x1058", {"opcode": 0x2A, "busy": "target", "times": 2}, (WRITE,), ("GOOD",)
    ),
    "task set full": Case(
        "2 -2 0x28 0 0 0x28 0 0 0", {"opcode": 0x28, "status": "QUEUE FULL", "times": 2}, (READ,), ("GOOD",)
    ),
    "lost": Case(
        "0 -1 0x2a", {"opcode": 0x2A, "lost": True, "times": 1}, (WRITE, WRITE), ("DID_TIME_OUT", "GOOD")
    ),
}


class KernelDisk:
    """One scsi_debug disk, its node and its debugfs file."""

    def __init__(self, debug: ScsiDebug) -> None:
        (self.device,) = eventually(debug.devices)
        path = ready_node(self.device)
        if not (DEBUGFS / "scsi_debug").exists():
            subprocess.run(["mount", "-t", "debugfs", "none", str(DEBUGFS)], check=True)
        self.errors = DEBUGFS / "scsi_debug" / self.device.name / "error"
        self.opened: Device = midlayer.open_device(path)

    def remove_errors(self) -> None:
        for line in self.errors.read_text().splitlines()[1:]:
            kind, _, opcode = line.split()[:3]
            self.errors.write_text(f"- {kind} {opcode}")


@pytest.fixture
def kernel_disk(scsi_debug: LoadScsiDebug) -> Iterator[KernelDisk]:
    disk = KernelDisk(scsi_debug(dev_size_mb=8, delay=0))
    with udev_stopped():  # which would read from a disk whose unit attention was told, and meet the faults
        yield disk
    disk.opened.close()


def seen(result: Result) -> tuple[str, int, int, tuple[int, ...], int]:
    sense = result.sense
    codes = (sense.response_code, sense.key, sense.asc, sense.ascq) if sense is not None else ()
    # What of the buffer was moved means something only if the device has answered.
    residual = result.residual if result.host_byte != HostByte.DID_TIME_OUT else 0
    return result.outcome, result.status, result.host_byte, codes, residual


def play(device: Device, sent: tuple[Sent, ...]) -> list[tuple[str, int, int, tuple[int, ...], int]]:
    return [seen(device.execute(cdb, timeout_s=TIMEOUT_S, **data)) for cdb, data in sent]


def test_the_same_outcome(kernel_disk: KernelDisk) -> None:
    """All cases in one test: a module is loaded once."""
    differences = {}
    with midlayer.open_device("virtual:disk?size=8M") as ours:
        for name, case in CASES.items():
            kernel_disk.errors.write_text(case.theirs)
            theirs_seen = play(kernel_disk.opened, case.sent)
            kernel_disk.remove_errors()
            rule = add_fault(ours.logical_unit, **case.ours)
            ours_seen = play(ours, case.sent)
            faults_of(ours.logical_unit.host.subsystem).clear([rule.name])
            assert tuple(outcome for outcome, *_ in ours_seen) == case.outcomes, name
            if theirs_seen != ours_seen:
                differences[name] = (theirs_seen, ours_seen)
    assert differences == {}
