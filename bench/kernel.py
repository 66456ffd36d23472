"""SG_IO in numbers, on a scsi_debug disk of a real kernel: run it in the guest, as root.

``python -m tests.kernel.shell -- .venv/bin/python -m bench.kernel`` boots one and does so. Compares
midlayer with ``sg_turs`` and, where it is installed (or named by ``PYSCSI_PYTHON``, an interpreter that
has it), with python-scsi.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import midlayer
from midlayer.lower.linux.sg_io import SG_IO
from midlayer.standards.spc import TestUnitReady

COMMANDS = 500
ROUNDS = 30
SG_TURS_GOAL = 1 / 3
PYTHON_SCSI_GOAL = 3.0

_PYTHON_SCSI = """
import sys, time
from pyscsi.pyscsi.scsi import SCSI
from pyscsi.pyscsi.scsi_device import SCSIDevice
with SCSI(SCSIDevice(sys.argv[1], True)) as scsi:
    scsi.testunitready()
    begin = time.perf_counter()
    for _ in range(int(sys.argv[2])):
        scsi.testunitready()
    print(int(sys.argv[2]) / (time.perf_counter() - begin))
"""


def main() -> int:
    """Load scsi_debug, measure in turns, and print the ratios of the best rounds."""
    subprocess.run(["modprobe", "scsi_debug", "delay=0"], check=True)
    node, block = scsi_debug_nodes()
    best = {"sg_turs": 0.0, "bare ioctl": 0.0, "midlayer": 0.0, "python-scsi": 0.0}
    for _ in range(ROUNDS):
        best["bare ioctl"] = max(best["bare ioctl"], _bare_ioctl(node))
        best["sg_turs"] = max(best["sg_turs"], _sg_turs(node))
        best["midlayer"] = max(best["midlayer"], _midlayer(node))
        best["python-scsi"] = max(best["python-scsi"], _python_scsi(block))
    for name, rate in best.items():
        print(
            f"     {name:<12} {rate:>9.0f} TEST UNIT READY a second"
            if rate
            else f"     {name}: not installed"
        )
    _judge("sg_turs", best["midlayer"] / best["sg_turs"], SG_TURS_GOAL)
    if best["python-scsi"]:
        _judge("python-scsi", best["midlayer"] / best["python-scsi"], PYTHON_SCSI_GOAL)
        ceiling = best["bare ioctl"] / best["python-scsi"]
        print(f"     bare ioctl / python-scsi: {ceiling:.2f}, which nothing written in Python can pass")
    return 0


def scsi_debug_nodes() -> tuple[str, str]:
    """Return the sg and the block node of the disk; python-scsi can not open an sg node."""
    for entry in Path("/sys/class/scsi_generic").iterdir():
        device = entry / "device"
        if (device / "model").read_text().strip() == "scsi_debug":
            while not (device / "block").exists():
                time.sleep(0.01)
            return f"/dev/{entry.name}", f"/dev/{next((device / 'block').iterdir()).name}"
    raise SystemExit("no scsi_debug disk")


def _sg_turs(node: str) -> float:
    done = subprocess.run(
        ["sg_turs", "-n", str(COMMANDS), "-t", node], check=True, capture_output=True, text=True
    )
    # "time to perform commands was 0.079614 secs; 25121.21 operations/sec"
    return float(done.stdout.split(";")[1].split()[0])


def _bare_ioctl(node: str) -> float:
    """Nothing but fcntl.ioctl in a loop, with one header that is always the same."""
    cdb, sense, header = ctypes.create_string_buffer(6), ctypes.create_string_buffer(32), bytearray(88)
    struct.pack_into(
        "=iiBBHIQQQII",
        header,
        0,
        0x53,
        -1,
        6,
        32,
        0,
        0,
        0,
        ctypes.addressof(cdb),
        ctypes.addressof(sense),
        20000,
        0,
    )
    with open(node, "rb+", buffering=0) as file:
        number = file.fileno()
        begin = time.perf_counter()
        for _ in range(COMMANDS):
            fcntl.ioctl(number, SG_IO, header, True)
        return COMMANDS / (time.perf_counter() - begin)


def _midlayer(node: str) -> float:
    cdb = TestUnitReady().encode()
    with midlayer.open_device(node) as device:
        device.execute(cdb)
        begin = time.perf_counter()
        for _ in range(COMMANDS):
            device.execute(cdb)
        return COMMANDS / (time.perf_counter() - begin)


def _python_scsi(node: str) -> float:
    interpreter = os.environ.get("PYSCSI_PYTHON", sys.executable)
    done = subprocess.run(
        [interpreter, "-c", _PYTHON_SCSI, node, str(COMMANDS)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        return 0.0
    return float(done.stdout)


def _judge(name: str, ratio: float, goal: float) -> None:
    mark = "ok  " if ratio >= goal else "MISS"
    print(f"{mark} midlayer / {name}: {ratio:.2f}, goal {goal:.2f}")


if __name__ == "__main__":
    sys.exit(main())
