"""What agents did, beside the events that they ran for: in the same file, and durable like them.

Two tables. `agent_runs` has one row for each agent that ended, and goes with its event. `agent_position`
has one count: all events up to it are done with. After a crash whoever runs the agents goes on behind that
count, leaves out the runs that are in the table, and so starts each agent at least once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from midlayer.upper.scsimon.log import EventLog

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS agent_runs (
        event_count INTEGER NOT NULL,
        step        INTEGER NOT NULL,
        agent       TEXT    NOT NULL,
        outcome     TEXT    NOT NULL,
        status      INTEGER,
        wall_s      REAL    NOT NULL,
        duration_s  REAL    NOT NULL,
        output      BLOB    NOT NULL,
        output_size INTEGER NOT NULL,
        PRIMARY KEY (event_count, step, agent)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_position (
        only        INTEGER PRIMARY KEY CHECK (only = 0),
        event_count INTEGER NOT NULL
    )
    """,
    """
    CREATE TRIGGER IF NOT EXISTS agent_runs_go AFTER DELETE ON events
    BEGIN DELETE FROM agent_runs WHERE event_count = old.event_count; END
    """,
)
_INSERT = "INSERT OR REPLACE INTO agent_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT * FROM agent_runs WHERE event_count BETWEEN ? AND ? ORDER BY event_count, step, rowid"


class AgentRun(NamedTuple):
    """One run of one agent.

    Attributes:
        event_count: Of the event that it ran for.
        step: Which of the things to do for that event; a replacement has a removal and an addition.
        agent: Name of the agent.
        outcome: ``exited``, ``killed`` (by a signal), ``timed-out``, ``not-started``.
        status: Exit status, number of the signal, or the errno of the attempt to start it.
        wall_s: When it began, in seconds since 1970-01-01 UTC.
        duration_s: How long it took.
        output: The first bytes that it wrote to standard output and standard error.
        output_size: How many bytes it wrote.
    """

    event_count: int
    step: int
    agent: str
    outcome: str
    status: int | None
    wall_s: float
    duration_s: float
    output: bytes
    output_size: int

    @property
    def ok(self) -> bool:
        """True if it ended by itself, with status 0."""
        return self.outcome == "exited" and self.status == 0

    def to_json(self) -> dict[str, Any]:
        """Return the run as documented for ``midlayer events --json``; bytes beyond UTF-8 as ``\\xff``."""
        return {
            "agent": self.agent,
            "outcome": self.outcome,
            "status": self.status,
            "duration_s": round(self.duration_s, 6),
            "output": self.output.decode(errors="backslashreplace"),
            "output_size": self.output_size,
        }


class AgentRuns:
    """The two tables of one event log.

    Args:
        log: The log.

    Raises:
        EventLogError: If the tables can not be made.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        with log.transaction() as database:
            for statement in _SCHEMA:
                database.execute(statement)

    def position(self) -> int | None:
        """Return the count of the last event that is done with, None if nobody has ever begun."""
        rows = self._log.select("SELECT event_count FROM agent_position")
        return int(rows[0][0]) if rows else None

    def record(self, runs: Iterable[AgentRun], position: int | None) -> None:
        """Make runs and the position durable, together; None leaves the position as it is.

        Raises:
            EventLogBehind: If the disk refuses it.
        """
        with self._log.transaction() as database:
            database.executemany(_INSERT, runs)
            if position is not None:
                database.execute("INSERT OR REPLACE INTO agent_position VALUES (0, ?)", (position,))
        if position is not None:
            self._log.hold_after = position

    def forget_position(self) -> None:
        """Let old events go, because nobody runs agents now. Who does later begins with what is new then."""
        with self._log.transaction() as database:
            database.execute("DELETE FROM agent_position")
        self._log.hold_after = None

    def hold(self, position: int) -> None:
        """Keep the events after a count until their agents have run."""
        self._log.hold_after = position

    def of(self, first: int, last: int) -> dict[int, list[AgentRun]]:
        """Return the runs for the events from `first` to `last`, by event count, in order."""
        found: dict[int, list[AgentRun]] = {}
        for row in self._log.select(_SELECT, first, last):
            run = AgentRun(*row)
            found.setdefault(run.event_count, []).append(run)
        return found
