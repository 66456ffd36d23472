"""The runner: from events in the log to agents that ran, and what became of them back into the log.

The log is the queue. The runner reads events behind a durable position, as many as there is room for; what
there is no room for stays in the log, which keeps it until its agents have run. So nothing that an agent
does, and nothing that it omits, holds up an event or loses one::

    event log ──> planners ──> queue (a line for each device) ──> processes ──> outcomes ──> event log
        ^── position: every event up to it is done with

Everything happens in one thread; other threads only wake it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from midlayer.errors import EventLogError
from midlayer.frontends.agents.actions import Action, Actions
from midlayer.frontends.agents.environment import environment, steps_of
from midlayer.frontends.agents.job import Agent, AgentLimits, Job, Outcome
from midlayer.frontends.agents.processes import Launcher, Processes
from midlayer.frontends.agents.queue import JobQueue
from midlayer.mid.clock import Clock, Timer
from midlayer.upper.scsimon import Event, Kind, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRun, AgentRuns

_log = logging.getLogger("midlayer.agents")

Planner = Callable[[Event], Iterable[Job]]
"""Says what is to be run for an event; its jobs carry the event's count, and names that tell them apart."""

RECORD_S = 0.2
"""How long an outcome may wait for others, so that the disk is not asked for each alone."""

_RECORD_AT_ONCE = 128


class AgentRunner:
    """Runs agents for events, each at least once, in order for each device.

    Args:
        scsimon: Whose events.
        runs: Where outcomes and the position are kept.
        clock: Where time comes from.
        limits: What all agents together may use.
        launcher: Who runs programs; a test may put something else here.
        variables: More environment variables for every agent.

    Attributes:
        variables: The same; what is changed holds for agents that are planned from then on.
        agents: The configured agents; see `configure`.
    """

    def __init__(
        self,
        scsimon: ScsimonDriver,
        runs: AgentRuns,
        clock: Clock,
        *,
        limits: AgentLimits | None = None,
        launcher: Launcher | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.agents: tuple[Agent, ...] = ()
        self._scsimon = scsimon
        self._runs = runs
        self._clock = clock
        self._limits = limits or AgentLimits()
        self._launcher: Launcher = launcher or Processes(clock, output_bytes=self._limits.output_bytes)
        self.variables = variables or {}
        self._planners: list[Planner] = [self._plan]
        self._actions = Actions()
        self._queue = JobQueue()
        self._open: dict[int, int] = {}  # jobs that are left, by event count; in order of the counts
        self._begun: dict[Job, tuple[float, float]] = {}  # wall and monotonic
        self._outcomes: list[AgentRun] = []
        self._unwritten = 0  # jobs that ended since the position was written, and left no outcome
        self._submitted: deque[Job] = deque()
        self._action_ends: deque[tuple[Job, Outcome, tuple[Job, ...]]] = deque()
        self._already: set[tuple[int, int, str]] = set()  # runs that an earlier daemon recorded
        self._failing: set[str] = set()
        self._record_timer: Timer | None = None
        self._record_due = self._behind = self._news = False
        self._active = self._settled = self._wanted = self._started = False
        self._read = runs.position() or 0
        self._first_run = self._read == 0 and runs.position() is None
        self._start_count = scsimon.event_count
        if not self._first_run:
            runs.hold(self._read)
        self._idle = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._end_listening = scsimon.add_listener(self._wake)

    # What others call, from any thread

    def configure(self, agents: Sequence[Agent], limits: AgentLimits | None = None) -> None:
        """Set the agents and limits from now on. Jobs that wait already run as they were planned."""
        self.agents = tuple(agents)
        self._limits = limits or self._limits
        if isinstance(self._launcher, Processes):
            self._launcher.output_bytes = self._limits.output_bytes
        wanted = bool(self.agents) or len(self._planners) > 1
        if wanted and not self._wanted:  # what was there before anybody asked for agents is not for them
            self._start_count = self._scsimon.event_count
        self._wanted = wanted
        if self._started and wanted:
            self._begin()
        self._wake(force=True)

    def add_planner(self, planner: Planner) -> None:
        """Have somebody else say as well what is to be run for each event: from `start`, or from now on."""
        self._planners.append(planner)
        if self._started and not self._wanted:
            self._start_count = self._scsimon.event_count
        self._wanted = True
        if self._started:
            self._begin()

    def add_action(self, name: str, action: Action) -> None:
        """Give jobs one more built-in action."""
        self._actions.by_name[name] = action

    def submit(self, job: Job) -> bool:
        """Run one job, behind those of its key that wait. It is not durable; jobs of a planner are.

        Returns:
            False if the queue is full; the job is not taken then.
        """
        if len(self._submitted) + len(self._queue) >= self._limits.queue:
            return False
        self._submitted.append(job)
        if self._started:
            self._begin()
        self._wake(force=True)
        return True

    def runs_of(self, first: int, last: int) -> dict[int, list[AgentRun]]:
        """Return what ran for the events from `first` to `last`, by event count."""
        return self._runs.of(first, last) if last >= first else {}

    @property
    def position(self) -> int:
        """Every event up to this count is done with."""
        return next(iter(self._open), self._read + 1) - 1

    def status(self) -> dict[str, int]:
        """Return counters: agents, jobs that wait and run, and the position."""
        return {
            "configured": len(self.agents),
            "waiting": len(self._queue) + len(self._submitted),
            "running": len(self._begun),
            "position": self.position if self._active else self._scsimon.event_count,
        }

    def start(self) -> None:
        """Run in a thread of its own until `stop`; it begins when there is something to run."""
        self._started = True
        if self._wanted:
            self._begin()

    def _begin(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="midlayer-agents", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the agents that run, and keep the position: the next start goes on with them."""
        self._stopping = True
        self._wake(force=True)
        if self._thread is not None and self._thread.ident is not None:  # else Ctrl-C came before its start
            self._thread.join()
        self._thread = None
        self._end_listening()
        self._actions.close()
        if self._record_timer is not None:
            self._record_timer.cancel()
        with suppress(EventLogError):
            self._record(force=True)
        self._launcher.close()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until the agents of all events have run and are recorded; False if the time was over first."""
        with self._idle:
            return self._idle.wait_for(self._is_idle, timeout_s)

    # The thread

    def turn(self, *, block: bool = False) -> None:
        """Do what there is to do: read events, start agents, and take back those that ended."""
        self._launcher.wait(block=block and not self._news)
        self._settled = False
        while self._action_ends:
            self._ended(*self._action_ends.popleft())
        self._news = False
        while self._submitted:
            self._queue.put(self._submitted.popleft())
        self._take_in()
        while len(self._begun) < self._limits.at_once and (job := self._queue.take()) is not None:
            self._begun[job] = (self._clock.wall(), self._clock.monotonic())
            if job.action:
                self._actions.start(job, self._action_ended)
            else:
                self._launcher.start(job, self._ended)
        self._record()
        if self._active and len(self._queue) < self._limits.queue and self._read < self._scsimon.event_count:
            self._news = True  # there is room again: what waits in the log need not wait for a wake
        with self._idle:
            self._settled = not (self._begun or len(self._queue) or self._outcomes)
            self._idle.notify_all()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.turn(block=True)
            except Exception:
                _log.exception("agents: a turn failed; they go on")

    def _wake(self, *, force: bool = False) -> None:
        """There is something to do. Called for each event, so that a second call costs nothing."""
        if force or (self._wanted and not self._news):
            self._news = True
            self._launcher.wake()

    def _is_idle(self) -> bool:
        if not self._wanted and not self._active:
            return True
        busy = not self._settled or self._submitted or self._news
        return not busy and (not self._active or self._read >= self._scsimon.event_count)

    # From events to jobs

    def _take_in(self) -> None:
        if not self._becomes_active():
            return
        while (room := self._limits.queue - len(self._queue)) > 0 and self._read < self._scsimon.event_count:
            page = self._scsimon.events(self._read, max(1, room // max(1, len(self.agents))))
            if page.gap is not None:
                self._read = page.gap.last_missing
                data = {"state": "missed", **page.gap._asdict()}
                self._scsimon.note(Kind.AGENTS, None, data)
            for event in page.events:
                self._enqueue(event)
            self._runs.hold(self.position)
            if not page.events:
                break
        self._tell_whether_behind(full=room <= 0)

    def _becomes_active(self) -> bool:
        active = self._wanted
        if active and not self._active:
            if self._first_run:
                self._read = self._start_count
                self._first_run = False
            else:
                last = self._scsimon.event_count
                for count, runs in self._runs.of(self._read + 1, last).items():
                    self._already.update((count, run.step, run.agent) for run in runs)
        elif not active and self._active and not self._open:
            self._runs.forget_position()
            self._first_run = True
        self._active = active or bool(self._open)
        return self._active

    def _enqueue(self, event: Event) -> None:
        self._read = event.event_count
        jobs = [job for planner in self._planners for job in self._planned(planner, event)]
        for job in jobs:
            self._queue.put(job)
        if jobs:
            self._open[event.event_count] = len(jobs)

    def _planned(self, planner: Planner, event: Event) -> Iterator[Job]:
        try:
            jobs = list(planner(event))
        except Exception:
            _log.exception("event %d: what to run for it could not be found out", event.event_count)
            return
        yield from self._new(jobs)

    def _new(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield the jobs that no earlier daemon has run."""
        for job in jobs:
            key = (job.event_count, job.step, job.name)
            if key in self._already:
                self._already.discard(key)
            else:
                yield job

    def _plan(self, event: Event) -> Iterator[Job]:
        for step in steps_of(event):
            wanted = [agent for agent in self.agents if agent.wants(step.action)]
            variables = environment(event, step, self.variables) if wanted else {}
            for agent in wanted:
                yield Job(
                    name=agent.name,
                    key=event.address,
                    argv=(*agent.command, "scsi"),
                    environment=variables,
                    timeout_s=agent.timeout_s,
                    event_count=event.event_count,
                    step=step.number,
                )

    def _tell_whether_behind(self, *, full: bool) -> None:
        """Note in the log when events begin to wait there for room in the queue, and when that is over."""
        if full and not self._behind and self._read < self._scsimon.event_count:
            self._behind = True
            waiting = {"state": "behind", "first_waiting": self._read + 1, "queue": self._limits.queue}
            self._scsimon.note(Kind.AGENTS, None, waiting)
        elif self._behind and not len(self._queue) and self._read >= self._scsimon.event_count:
            self._behind = False
            self._scsimon.note(Kind.AGENTS, None, {"state": "caught-up"})

    # From jobs to outcomes

    def _action_ended(self, job: Job, outcome: Outcome, following: tuple[Job, ...]) -> None:
        self._action_ends.append((job, outcome, following))
        self._wake(force=True)

    def _ended(self, job: Job, outcome: Outcome, following: tuple[Job, ...] = ()) -> None:
        wall_s, begun_s = self._begun.pop(job)
        new = list(self._new(following))
        self._queue.put_first(job.key, new)
        self._queue.finished(job.key)
        if job.name not in self._failing and not outcome.ok:
            _log.warning("agent %s: %s for %s; more of it is in the events only", job.name, outcome, job.key)
        (self._failing.discard if outcome.ok else self._failing.add)(job.name)
        if not job.event_count:
            return
        duration_s = self._clock.monotonic() - begun_s
        if job.recorded:
            self._outcomes.append(
                AgentRun(
                    job.event_count,
                    job.step,
                    job.name,
                    outcome.kind,
                    outcome.status,
                    wall_s,
                    duration_s,
                    outcome.output,
                    outcome.output_size,
                )
            )
        else:
            self._unwritten += 1
        left = self._open.get(job.event_count, 1) - 1 + len(new)
        if left:
            self._open[job.event_count] = left
        else:
            self._open.pop(job.event_count, None)

    def _record(self, *, force: bool = False) -> None:
        """Write outcomes down, if they are many, wait for long, or nothing else is going on."""
        many = self._unwritten >= _RECORD_AT_ONCE
        if not self._outcomes and not ((force or many) and self._active):
            return
        nothing_else = not self._begun and not len(self._queue)
        if not (force or many or self._record_due or nothing_else or len(self._outcomes) >= _RECORD_AT_ONCE):
            if self._record_timer is None:
                self._record_timer = self._clock.call_later(RECORD_S, self._time_to_record)
            return
        self._record_due = False
        try:
            self._runs.record(self._outcomes, self.position if self._active else None)
        except EventLogError as error:  # the disk is full: they wait, as events do
            _log.debug("outcomes of agents wait: %s", error)
            if self._record_timer is None:
                self._record_timer = self._clock.call_later(RECORD_S, self._time_to_record)
            return
        self._outcomes = []
        self._unwritten = 0

    def _time_to_record(self) -> None:
        self._record_timer = None
        self._record_due = True
        self._wake(force=True)
