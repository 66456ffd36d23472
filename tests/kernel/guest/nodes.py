"""Nodes of the kernel's devices, from when udev is done with them, and udev kept from using them.

A device is in sysfs before its node is in ``/dev``, and a disk's node is there before it can be opened. udev
looks at what has come or says that it changed: it reads from disks, and takes unit attentions and one-shot
faults that were meant for the test; it opens tapes and CD drives, of which there is one descriptor only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import midlayer

from .eventually import eventually

SETTLE_S, TRIES = 20.0, 5
NOTED_S = 60.0  # what udev does not note by then it will hardly disturb
QUEUE = Path("/run/udev/queue")
RECORDS = Path("/run/udev/data")
DAEMON = "/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"
UDEV = ("systemd-udevd", "(udev-worker)")
TEST_UNIT_READY = bytes(6)
_DISK, _CD = 0, 5


def node(device: Path, kind: str, pattern: str = "*") -> str:
    """Wait until a driver has made its node of a device, and for up to a minute until udev is done with it.

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

    end_s = time.monotonic() + NOTED_S
    while not noted() and time.monotonic() < end_s:
        time.sleep(0.05)
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
    """Wait until udev has nothing in its queue, for up to 20 s: after a storm that takes minutes.

    ``udevadm settle`` and ``udevadm control`` do nothing in a chroot, where these tests are.
    """
    end_s = time.monotonic() + SETTLE_S
    while QUEUE.exists() and time.monotonic() < end_s:
        time.sleep(0.05)


@contextmanager
def udev_stopped() -> Iterator[None]:
    """Let udev finish, and stop its processes until the end; what it is told of meanwhile waits so long."""
    stopped = _stop_udev()
    for _ in range(TRIES):
        if not QUEUE.exists():  # else it was quicker
            break
        _send(stopped, signal.SIGCONT)
        stopped = _stop_udev()
    try:
        yield
    finally:
        _send(stopped, signal.SIGCONT)


@contextmanager
def udev_away() -> Iterator[None]:
    """Have no udev: it would be minutes behind a storm of events, and nobody else be served meanwhile."""
    settle()
    _send(_processes(), signal.SIGTERM)
    eventually(lambda: not _processes(), reason="udev to end")
    try:
        yield
    finally:
        for record in RECORDS.glob("[bc]*"):  # of what has gone meanwhile
            if not Path("/sys/dev", {"b": "block", "c": "char"}[record.name[0]], record.name[1:]).exists():
                record.unlink()
        daemon = next(path for path in DAEMON if Path(path).exists())
        subprocess.run([daemon, "--daemon"], check=True)


def _stop_udev() -> list[int]:
    settle()
    processes = _processes()
    _send(processes, signal.SIGSTOP)
    return processes


def _processes() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            if path.read_text().strip() in UDEV and path.with_name("cmdline").read_bytes():  # else a zombie
                found.append(int(path.parent.name))
    return found


def _send(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # a worker that had nothing more to do
            os.kill(process, number)
