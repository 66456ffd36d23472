"""The event log on disk: SQLite in WAL mode, one row an event.

A commit returns when the events are safe from a crash of this program *and* of the machine
(``synchronous=FULL``). Counts come from the log itself and are never used twice.

Every so often the lists are written whole (a checkpoint) and the oldest events are dropped. A restart
reads the newest checkpoint and the events after it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from midlayer.errors import EventLogBehind, EventLogError, EventLogLocked
from midlayer.upper.scsimon.records import DEFAULT_DETACHED, DeviceRecord, Event, HostRecord, Kind, Lists

FILE_NAME = "events.sqlite"
LOCK_NAME = "lock"
DEFAULT_KEEP = 100_000
"""Events kept for `since`, at least."""

_APPLICATION_ID = 0x6D69646C  # "midl"
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE events (
    event_count INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    host_no     INTEGER NOT NULL,
    address     TEXT    NOT NULL,
    wall_s      REAL    NOT NULL,
    boot_s      REAL    NOT NULL,
    by_resync   INTEGER NOT NULL,
    data        TEXT    NOT NULL
);
CREATE TABLE checkpoint (
    only        INTEGER PRIMARY KEY CHECK (only = 0),
    event_count INTEGER NOT NULL,
    lists       TEXT    NOT NULL
);
"""
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ELSEWHERE = "use another state directory (--state)"
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class EventLog:
    """The log of one state directory, which belongs to one process at a time.

    Args:
        directory: The state directory; made, with mode 0700, if it is not there. None for a log in
            memory, which is gone with the process.
        keep_events: Events that stay readable, at least.
        keep_detached: Devices in the list of detached ones.

    Attributes:
        hold_after: Events after this count are kept, however many they are; None to hold none.

    Raises:
        EventLogLocked: If another process has the directory.
        EventLogError: If the directory or the file can not be used.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        keep_events: int = DEFAULT_KEEP,
        keep_detached: int = DEFAULT_DETACHED,
    ) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME if directory else None
        self._keep_events = keep_events
        self._lock = threading.Lock()
        self._lock_file = _lock_directory(directory) if directory else -1
        try:
            self._db = self._open()
            try:
                self.lists = self._load(keep_detached)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._unlock()
            raise
        self.oldest_count = self._first_count()
        self._checkpoint_count = self.lists.event_count
        self.hold_after: int | None = None

    def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none. Their counts follow the last one in the lists.

        Raises:
            EventLogBehind: If the disk refuses them; nothing of them is in the log then.
            EventLogError: If the log is damaged.
        """
        rows = [(*event[:7], _dumps(event.data)) for event in events]
        try:
            with self.transaction() as database:
                database.executemany(_INSERT, rows)
        except EventLogBehind as error:
            raise EventLogBehind(f"{error}; events wait in memory until it can be written") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Let others keep something beside the events, in a transaction of their own.

        Raises:
            EventLogBehind: If the disk refuses it; nothing of it is in the log then.
            EventLogError: If the log is damaged.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise EventLogBehind(f"{self.path}: {error}") from error
            except sqlite3.DatabaseError as error:
                raise EventLogError(f"{self.path}: {error}; the event log can not be written") from error

    def applied(self) -> None:
        """Tell the log that its lists have taken in what was appended; it tidies up when it is time."""
        if self.lists.event_count - self._checkpoint_count >= max(self._keep_events // 10, 1000):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the lists whole, and drop events beyond those to be kept. A full disk only delays it."""
        with self._lock:
            last = self.lists.event_count
            oldest = last - self._keep_events + 1
            if self.hold_after is not None:
                oldest = min(oldest, self.hold_after + 1)
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.execute(
                        "INSERT OR REPLACE INTO checkpoint VALUES (0, ?, ?)", (last, _dump_lists(self.lists))
                    )
                    self._db.execute("DELETE FROM events WHERE event_count < ?", (oldest,))
            except sqlite3.DatabaseError:
                return
            self._checkpoint_count = last
            self.oldest_count = self._first_count()

    def read(self, since: int, limit: int = -1) -> list[Event]:
        """Return the events with a count above `since`, in order, at most `limit` of them."""
        query = (
            "SELECT event_count, kind, host_no, address, wall_s, boot_s, by_resync, data FROM events "
            "WHERE event_count > ? ORDER BY event_count LIMIT ?"
        )
        try:
            return [_event(row) for row in self.select(query, since, limit)]
        except ValueError as error:
            raise EventLogError(f"{self.path}: {error}; the event log can not be read") from error

    def select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds.

        Raises:
            EventLogError: If the log can not be read.
        """
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise EventLogError(f"{self.path}: {error}; the event log can not be read") from error

    def close(self) -> None:
        """Write a checkpoint and let go of the directory."""
        if self.lists.event_count != self._checkpoint_count:
            self.checkpoint()
        with self._lock:
            self._db.close()
            self._unlock()

    def _open(self) -> sqlite3.Connection:
        try:
            if self.path and not self.path.exists():  # SQLite gives its other files the mode of this one
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise self._unusable(error) from error
        try:
            database = sqlite3.connect(
                self.path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0
            )
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        try:
            self._prepare(database)
        except sqlite3.DatabaseError as error:
            database.close()
            raise self._unusable(error) from error
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables in a new file; refuse a file that is not ours to write."""
        if self.path and not os.access(self.path, os.W_OK):  # SQLite would find it out at the first event
            raise sqlite3.OperationalError("the file may only be read")
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and not version:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id={_APPLICATION_ID};"
                f"PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;"
            )
        elif application != _APPLICATION_ID:
            raise EventLogError(f"{self.path}: the file of another program, not an event log; {_ELSEWHERE}")
        elif version != _SCHEMA_VERSION:
            raise EventLogError(
                f"{self.path}: an event log of version {version}, and this midlayer reads version "
                f"{_SCHEMA_VERSION}; run the midlayer that wrote it, or {_ELSEWHERE}"
            )
        database.execute("PRAGMA synchronous=FULL")

    def _unusable(self, error: Exception) -> EventLogError:
        if isinstance(error, sqlite3.OperationalError):  # the disk, or a right: the file may be sound
            return EventLogError(
                f"{self.path}: {error}; make room or get the right to write, or {_ELSEWHERE}"
            )
        return EventLogError(f"{self.path}: {error}; the file is damaged: move it away, or {_ELSEWHERE}")

    def _load(self, keep_detached: int) -> Lists:
        try:
            row = self._db.execute("SELECT lists FROM checkpoint").fetchone()
            lists = _load_lists(row[0]) if row else Lists()
            lists.keep_detached = keep_detached
            while len(lists.detached) > keep_detached:
                lists.detached.popleft()
            return lists.replay(self.read(lists.event_count))
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
            raise self._unusable(error) from error

    def _first_count(self) -> int:
        first = self._db.execute("SELECT min(event_count) FROM events").fetchone()[0]
        return int(first) if first is not None else self.lists.event_count + 1

    def _unlock(self) -> None:
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1


def _lock_directory(directory: Path) -> int:
    """Take the directory for this process; the lock goes with the process, however that ends."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EventLogError(
            f"{directory}: {error.strerror}; choose another state directory with --state"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise EventLogLocked(
            f"{directory}: another midlayer uses this state directory (process {owner}); "
            "stop it, or choose another directory with --state"
        ) from None
    with suppress(OSError):  # a full disk: the lock holds without the name of its owner
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _event(row: tuple[Any, ...]) -> Event:
    count, kind, host_no, address, wall_s, boot_s, by_resync, data = row
    return Event(count, Kind(kind), host_no, address, wall_s, boot_s, bool(by_resync), json.loads(data))


def _dump_lists(lists: Lists) -> str:
    return json.dumps(
        {
            "event_count": lists.event_count,
            "attached": [asdict(record) for record in lists.attached.values()],
            "detached": [asdict(record) for record in lists.detached],
            "hosts": [asdict(record) for record in lists.hosts.values()],
        }
    )


def _load_lists(text: str) -> Lists:
    loaded = json.loads(text)
    lists = Lists(event_count=loaded["event_count"])
    for item in loaded["attached"]:
        lists.attached[item["address"]] = DeviceRecord(**item)
    lists.detached.extend(DeviceRecord(**item) for item in loaded["detached"])
    for item in loaded["hosts"]:
        lists.hosts[item["host_no"]] = HostRecord(**item)
    return lists
