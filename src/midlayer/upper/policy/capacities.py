"""Capacities that outlive the daemon: of devices that it leaves behind at its end, and finds again."""

from __future__ import annotations

from collections.abc import Iterable

from midlayer.upper.scsimon.log import EventLog

_SCHEMA = """
CREATE TABLE IF NOT EXISTS capacities (
    attach_count INTEGER PRIMARY KEY,
    capacity     TEXT NOT NULL
)
"""


class Capacities:
    """A table of one event log: the capacity of a stay, by the count of its attach.

    Args:
        log: The log.

    Raises:
        EventLogError: If the table can not be made.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        with log.transaction() as database:
            database.execute(_SCHEMA)

    def get(self, attach_count: int) -> str | None:
        """Return what is on record; None if nothing is."""
        rows = self._log.select("SELECT capacity FROM capacities WHERE attach_count = ?", attach_count)
        return str(rows[0][0]) if rows else None

    def put(self, attach_count: int, capacity: str) -> None:
        """Put a capacity on record.

        Raises:
            EventLogBehind: If the disk refuses it.
        """
        with self._log.transaction() as database:
            database.execute("INSERT OR REPLACE INTO capacities VALUES (?, ?)", (attach_count, capacity))

    def keep_only(self, attach_counts: Iterable[int]) -> None:
        """Forget all other stays: they are over.

        Raises:
            EventLogBehind: If the disk refuses it.
        """
        kept = set(attach_counts)
        over = [
            row for row in self._log.select("SELECT attach_count FROM capacities") if int(row[0]) not in kept
        ]
        if over:
            with self._log.transaction() as database:
                database.executemany("DELETE FROM capacities WHERE attach_count = ?", over)
