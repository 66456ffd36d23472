"""Events recorded durably, against bare SQLite inserts of the same rows with the same settings."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.commands import make_disk
from bench.measure import Ratio, line, seconds_of
from midlayer.mid.clock import SystemClock
from midlayer.upper.scsimon import EventLog, ScsimonDriver
from midlayer.upper.scsimon.records import describe_device

COST_GOAL = 2.0  # half the rate
ROUNDS = 5
BATCH = 256


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    with tempfile.TemporaryDirectory() as directory:
        yield from _report(Path(directory))


def _report(directory: Path) -> Iterator[str]:
    device = make_disk()
    row = json.dumps({"device": describe_device(device)})
    database = _bare_database(directory / "bare.sqlite")
    scsimon = ScsimonDriver(EventLog(directory / "state"), SystemClock())
    insert = "INSERT INTO events VALUES (NULL, 'attach', 0, '0:0:0:0', 1.0, 1.0, 0, ?)"

    def bare_one() -> None:
        database.execute(insert, (row,))

    def bare_batch() -> None:
        database.execute("BEGIN")
        database.executemany(insert, [(row,)] * BATCH)
        database.execute("COMMIT")

    def ours_one() -> None:
        scsimon.attach(device)

    def ours_batch() -> None:
        scsimon.scan_begins(device.host)
        for _ in range(BATCH):
            scsimon.attach(device)
        scsimon.scan_ends(device.host)

    one = _alternate("attach recorded, one by one / bare insert", ours_one, bare_one, 400, 1)
    yield line(one, f"goal at most {COST_GOAL:g}", met=one.cost <= COST_GOAL)
    many = _alternate(
        "attach recorded in a scan / bare inserts, 256 at once", ours_batch, bare_batch, 8, BATCH
    )
    against_one = Ratio("attach recorded in a scan / bare insert", many.ours_s, one.base_s)
    yield line(against_one, f"goal at most {COST_GOAL:g}", met=against_one.cost <= COST_GOAL)
    yield line(many, "no goal: SQLite alone, without describing the device", met=True)
    scsimon.close()
    database.close()


def _alternate(
    name: str, ours: Callable[[], None], base: Callable[[], None], calls: int, events: int
) -> Ratio:
    """Time both in turns; `events` is how many each call records."""
    ours_s = base_s = float("inf")
    for _ in range(ROUNDS):
        base_s = min(base_s, seconds_of(base, calls) / events)
        ours_s = min(ours_s, seconds_of(ours, calls) / events)
    return Ratio(name, ours_s, base_s)


def _bare_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(
        "CREATE TABLE events (event_count INTEGER PRIMARY KEY, kind TEXT, host_no INTEGER, address TEXT,"
        " wall_s REAL, boot_s REAL, by_resync INTEGER, data TEXT)"
    )
    return database
