"""Nodes of the kernel's devices, from when udev is done with them, and udev kept from using them.

A device is in sysfs before its node is in ``/dev``, and a disk's node is there before it can be opened. udev
looks at what has come or says that it changed: it reads from disks, and takes unit attentions and one-shot
faults that were meant for the test; it opens tapes and CD drives, of which there is one descriptor only.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import midlayer

from .eventually import eventually

SETTLE_S = 240  # udev gives up on an event after 180 s
TRY_S = 5
RECORDS = Path("/run/udev/data")
DAEMON = "/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"
TEST_UNIT_READY = bytes(6)
_DISK, _CD = 0, 5


def node(device: Path, kind: str, pattern: str = "*") -> str:
    """Wait until a driver has made its node of a device, and udev is done with it.

    Args:
        device: In sysfs.
        kind: The driver's class.
        pattern: Of the node's name, where there are several.
    """
    reason = f"{device.name} in the class {kind}"
    entry = eventually(lambda: sorted((device / kind).glob(pattern)), reason=reason)[0]
    path = Path("/dev") / entry.name
    number = eventually(path.stat, reason=str(path)).st_rdev
    record = RECORDS / f"{'b' if kind == 'block' else 'c'}{os.major(number)}:{os.minor(number)}"

    def noted() -> bool:
        there = record.exists()
        settle()  # a record may be left from a device that has gone, or its event not be over
        return there and record.exists()

    eventually(noted, timeout_s=2 * SETTLE_S, reason=f"udev to take note of {path}")
    return str(path)


def generic_node(device: Path) -> str:
    """Wait for the sg node of a device."""
    return node(device, "scsi_generic")


def block_node(device: Path) -> str:
    """Wait for the block node of a disk or a CD drive: udev is told of it when it can be opened."""
    return node(device, "block")


def ready_node(device: Path) -> str:
    """Wait for the sg node of a device whose driver is done with it, and have unit attentions told."""
    path = generic_node(device)
    if int((device / "type").read_text()) in (_DISK, _CD):
        block_node(device)
    tell_unit_attentions(path)
    return path


def tell_unit_attentions(path: str) -> None:
    """Have a device tell what it has to tell, until it is ready."""
    with midlayer.open_device(path) as opened:
        eventually(lambda: opened.execute(TEST_UNIT_READY).ok, reason=f"{path} to be ready")


def settle() -> None:
    """Wait until udev has looked at everything, but for what it does not get over in its own time limit.

    Each try begins with a ping, which has udev look at its queue again. In one try of any length settle was
    seen to wait for minutes beside a udev that had nothing to do.
    """
    end_s = time.monotonic() + SETTLE_S
    while not _udevadm("settle", f"--timeout={TRY_S}") and time.monotonic() < end_s:
        pass


@contextmanager
def udev_waits() -> Iterator[None]:
    """Let udev finish, and keep it from looking at anything until the end."""
    settle()
    _control("--stop-exec-queue")
    try:
        yield
    finally:
        _control("--start-exec-queue")


@contextmanager
def udev_away() -> Iterator[None]:
    """Have no udev: it would be minutes behind a storm of events, and nobody else be served meanwhile."""
    settle()
    _control("--exit")
    try:
        yield
    finally:
        for record in RECORDS.glob("[bc]*"):  # of what has gone meanwhile
            if not Path("/sys/dev", {"b": "block", "c": "char"}[record.name[0]], record.name[1:]).exists():
                record.unlink()
        daemon = next(path for path in DAEMON if Path(path).exists())
        subprocess.run([daemon, "--daemon"], check=True)


def _control(option: str) -> None:
    eventually(lambda: _udevadm("control", option), reason=f"udevadm control {option}")


def _udevadm(*arguments: str) -> bool:
    return subprocess.run(["udevadm", *arguments], check=False).returncode == 0
