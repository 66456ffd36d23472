"""10,000 virtual logical units on one host: scan, list and unplug them all."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon import EventLog, ScsimonDriver
from midlayer.upper.sg import SgDriver

UNITS = 10_000


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    with tempfile.TemporaryDirectory() as directory:
        subsystem = Subsystem()
        scsimon = ScsimonDriver(EventLog(Path(directory)), subsystem.clock)
        subsystem.register_upper(SgDriver())
        subsystem.register_upper(scsimon)
        driver = VirtualDriver(subsystem)
        spec = HostSpec(units=(UnitSpec(count=UNITS),))
        begin = time.perf_counter()
        host = driver.add_host(spec)
        yield _line("scan", begin)
        begin = time.perf_counter()
        snapshot = scsimon.snapshot()
        documents = [record.to_json() for record in snapshot.attached]
        yield _line("list", begin) + f", {len(documents)} in the list"
        begin = time.perf_counter()
        for device in host.devices():
            driver.unplug(device)
        yield _line("unplug one by one", begin)
        driver.remove_host(host)
        tracemalloc.start()
        host = driver.add_host(spec)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        yield f"     memory: {used / UNITS / 1024:.2f} KiB for each unit"
        driver.remove_host(host)
        scsimon.close()


def _line(what: str, begin: float) -> str:
    seconds = time.perf_counter() - begin
    return f"     {what}: {seconds:.2f} s for {UNITS} units, {seconds / UNITS * 1e6:.0f} µs each"
