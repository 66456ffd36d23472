"""A command through sg, mid level and virtual host, against a locked call and a memory copy."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from functools import partial

from bench.measure import compare, line
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read10
from midlayer.standards.spc import TestUnitReady
from midlayer.upper.sg import execute

COST_GOAL = 8.0
COPY_GOAL = 0.8
_MIB = 1 << 20


class Locked:
    """The base: one method that takes a lock and packs a struct, as any shared object in Python does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def pack(self, lba: int, *, blocks: int) -> bytes:
        """Pack a READ(10) under the lock."""
        with self._lock:
            return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)


def make_disk() -> LogicalUnit:
    """Return a virtual disk of 64 MiB with everything that hangs above it."""
    driver = VirtualDriver(Subsystem())
    host = driver.add_host(HostSpec(units=(UnitSpec(size=64 * _MIB),)))
    return host.devices()[0]


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    disk = make_disk()
    locked = Locked()
    test_unit_ready = TestUnitReady().encode()
    read_4k = Read10(logical_block_address=8, transfer_length=8).encode()
    read_1m = Read10(logical_block_address=0, transfer_length=2048).encode()
    small, large, source = bytearray(4096), bytearray(_MIB), bytearray(_MIB)
    large_view, source_view = memoryview(large), memoryview(source)
    execute(disk, Read10(logical_block_address=0, transfer_length=2048).encode(), data_in=large)

    def base() -> bytes:
        return locked.pack(8, blocks=8)

    def copy() -> None:
        large_view[:] = source_view

    for name, cdb, buffer in (
        ("TEST UNIT READY / locked call that packs a struct", test_unit_ready, None),
        ("READ(10) 4 KiB / locked call that packs a struct", read_4k, small),
    ):
        ours = partial(execute, disk, cdb, data_in=buffer)
        ratio = compare(name, ours, base, calls=20_000)
        yield line(ratio, f"goal at most {COST_GOAL:g}", met=ratio.cost <= COST_GOAL)
    ratio = compare(
        "READ(10) 1 MiB / memory copy", lambda: execute(disk, read_1m, data_in=large), copy, calls=500
    )
    yield line(
        ratio, f"goal at most {1 / COPY_GOAL:g} (0.8 of the copy's rate)", met=ratio.cost <= 1 / COPY_GOAL
    )
