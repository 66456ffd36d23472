"""The runner: each event's agents once and in order, whatever they do, and on from where it stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import EventLogBehind, InvalidRequest
from midlayer.frontends.agents import Agent, AgentLimits, AgentRunner, Job, Outcome, Processes
from midlayer.frontends.cli.wording import agent_line
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.host import Host
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.scsimon import Event, EventLog, Kind, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns

from .programs import SOON_S, python

GOOD = Outcome("exited", 0)
TELL = Agent(command=("/sbin/tell",), name="tell")


class Launcher:
    """Runs nothing: the test says what ends, and how."""

    def __init__(self) -> None:
        self.started: list[Job] = []
        self.running: deque[tuple[Job, Callable[[Job, Outcome], None]]] = deque()
        self.most_at_once = 0
        self.ends_at_once = False
        self.closed = False

    def start(self, job: Job, ended: Callable[[Job, Outcome], None]) -> None:
        self.started.append(job)
        self.running.append((job, ended))
        self.most_at_once = max(self.most_at_once, len(self.running))

    def wait(self, *, block: bool = True) -> None:
        if self.ends_at_once:
            while self.running:
                self.end()

    def end(self, outcome: Outcome = GOOD) -> Job:
        job, ended = self.running.popleft()
        ended(job, outcome)
        return job

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Run:
    """One run of a daemon: a virtual host, the log, and a runner whose turns the test takes."""

    def __init__(
        self,
        state: Path,
        agents: tuple[Agent, ...] = (TELL,),
        *,
        limits: AgentLimits | None = None,
        keep_events: int = 1000,
        real: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.scsimon = ScsimonDriver(EventLog(state, keep_events=keep_events), self.clock)
        self.runs = AgentRuns(self.scsimon._log)
        self.launcher = Launcher()
        self.runner = AgentRunner(
            self.scsimon,
            self.runs,
            self.clock,
            limits=limits,
            launcher=Processes(self.clock, output_bytes=100) if real else self.launcher,
        )
        self.runner.configure(agents, limits)
        self.subsystem.register_upper(self.scsimon)
        self.driver = VirtualDriver(self.subsystem)
        self.host: Host = self.driver.add_host(HostSpec(host_no=0))

    def plug(self, lun: int = 0, **options: Any) -> int:
        """Plug a unit in and return the count of its attach."""
        self.driver.plug(self.host, UnitSpec(lun=lun, size=1 << 20, **options))
        return self.scsimon.event_count

    def unplug(self, lun: int = 0) -> int:
        device = next(device for device in self.host.devices() if device.address.lun == lun)
        self.driver.unplug(device)
        return self.scsimon.event_count

    def turn(self) -> list[tuple[str, str]]:
        """Take one turn and return what was started in it."""
        before = len(self.launcher.started)
        self.runner.turn()
        return [_short(job) for job in self.launcher.started[before:]]

    def all(self) -> None:
        """Take turns until nothing is left."""
        while self.launcher.running or self.runner.position < self.scsimon.event_count:
            self.runner.turn()
            while self.launcher.running:
                self.launcher.end()
        self.runner.turn()

    def recorded(self) -> dict[int, list[tuple[str, str, int | None]]]:
        found = self.runner.runs_of(1, self.scsimon.event_count)
        return {
            count: [(run.agent, run.outcome, run.status) for run in runs] for count, runs in found.items()
        }

    def kinds(self) -> list[tuple[Kind, str]]:
        return [(event.kind, event.data.get("state", "")) for event in self.scsimon.events().events]

    def stop(self) -> None:
        self.runner.stop()
        self.scsimon.close()


def _short(job: Job) -> tuple[str, str]:
    variables = job.environment
    return variables[b"ACTION"].decode(), variables[b"MIDLAYER_ADDRESS"].decode()


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Run] = []

    def begin(*args: Any, **options: Any) -> Run:
        running.append(Run(tmp_path / "state", *args, **options))
        return running[-1]

    yield begin
    for run in running:
        if not run.launcher.closed:
            run.stop()


def test_an_agent_runs_for_each_attach_and_detach_and_its_outcome_is_kept(start: Start) -> None:
    run = start()
    attach = run.plug()
    assert run.turn() == [("add", "0:0:0:0")]
    assert run.launcher.started[0].argv == ("/sbin/tell", "scsi")
    run.launcher.end(Outcome("exited", 3, b"no room", 7))
    detach = run.unplug()
    assert run.turn() == [("remove", "0:0:0:0")]
    run.launcher.end()
    run.turn()
    assert run.recorded() == {attach: [("tell", "exited", 3)], detach: [("tell", "exited", 0)]}
    (first,) = run.runner.runs_of(attach, attach)[attach]
    assert first.to_json() == {
        "agent": "tell",
        "outcome": "exited",
        "status": 3,
        "duration_s": 0.0,
        "output": "no room",
        "output_size": 7,
    }
    assert not first.ok


def test_output_that_is_no_text_is_kept_and_shown(start: Start) -> None:
    run = start()
    attach = run.plug()
    run.turn()
    output = b"\xff\x00\x1b[2J two\nlines"
    run.launcher.end(Outcome("exited", 1, output, len(output)))
    run.turn()
    (kept,) = run.runner.runs_of(attach, attach)[attach]
    assert kept.output == output
    assert kept.to_json()["output"] == "\\xff\x00\x1b[2J two\nlines"
    assert agent_line(kept.to_json()).isprintable(), "a program can not command the terminal either"


def test_only_attach_and_only_detach(start: Start) -> None:
    run = start(
        (
            Agent(command=("a",), name="a", only="attach"),
            Agent(command=("d",), name="d", only="detach"),
            Agent(command=("b",), name="b"),
        )
    )
    attach, detach = run.plug(), run.unplug()
    run.all()
    assert run.recorded() == {
        attach: [("a", "exited", 0), ("b", "exited", 0)],
        detach: [("d", "exited", 0), ("b", "exited", 0)],
    }
    assert [job.name for job in run.launcher.started] == ["a", "b", "d", "b"], "in the order of the file"


def test_one_at_a_time_for_a_device_and_several_for_several(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=2))
    run.plug(0)
    run.plug(1)
    run.plug(2)
    run.unplug(0)
    assert run.turn() == [("add", "0:0:0:0"), ("add", "0:0:0:1")]
    assert run.turn() == []
    run.launcher.end()
    assert run.turn() == [("add", "0:0:0:2")], "devices in turn"
    run.launcher.end()
    assert run.turn() == [("remove", "0:0:0:0")]


def test_a_queue_that_is_full_leaves_events_in_the_log_and_says_so_once(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=1, queue=3))
    run.runner.turn()  # it begins with what is there
    for lun in range(10):
        run.plug(lun)
    run.turn()
    assert run.runner.status()["waiting"] <= 3
    for _ in range(3):
        run.turn()
    assert run.kinds().count((Kind.AGENTS, "behind")) == 1
    note = next(event for event in run.scsimon.events().events if event.kind is Kind.AGENTS)
    assert note.data == {"state": "behind", "first_waiting": note.data["first_waiting"], "queue": 3}
    run.all()
    assert [_short(job)[1] for job in run.launcher.started] == [f"0:0:0:{lun}" for lun in range(10)]
    assert run.kinds().count((Kind.AGENTS, "caught-up")) == 1


def test_the_log_keeps_events_until_their_agents_have_run(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=1, queue=2), keep_events=10)
    run.runner.turn()
    first = run.plug(0)
    for lun in range(1, 1500):
        run.plug(lun)
    run.scsimon._log.checkpoint()
    assert run.scsimon.oldest_count <= first, "keep_events is 10, and 1,500 wait"
    run.all()
    assert len(run.launcher.started) == 1500
    assert (Kind.AGENTS, "missed") not in run.kinds()
    run.scsimon._log.checkpoint()
    assert run.scsimon.oldest_count > first
    assert min(run.recorded()) >= run.scsimon.oldest_count, "outcomes go with their events"


def test_events_that_are_no_longer_there_are_said_to_be_missed(start: Start) -> None:
    run = start()
    run.all()
    run.plug(0)
    run.stop()
    again = start((), keep_events=0)  # a daemon that knows no agents lets old events go
    again.runner.turn()
    again.runs.record([], 1)
    again.runs._log.hold_after = None
    again.scsimon._log.checkpoint()
    again.stop()
    last = start()
    last.turn()
    missed = [event.data for event in last.scsimon.events().events if event.kind is Kind.AGENTS]
    assert [data["state"] for data in missed] == ["missed"]
    assert missed[0]["first_missing"] == 2


def test_after_a_restart_it_goes_on_where_it_stopped(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=2))
    first, second, third = run.plug(0), run.plug(1), run.plug(2)
    run.turn()
    run.launcher.running.rotate(1)
    run.launcher.end()  # the second one is done, the first one runs, the third one waits
    run.stop()
    assert run.launcher.closed
    again = start()
    again.turn()
    begun = [int(job.environment[b"MIDLAYER_EVENT"]) for job in again.launcher.started]
    assert begun[0] == first, "it was running when the daemon ended"
    again.all()
    begun = [int(job.environment[b"MIDLAYER_EVENT"]) for job in again.launcher.started]
    assert second not in begun
    assert third in begun
    assert len(set(begun)) == len(begun)


def test_who_asks_for_agents_for_the_first_time_gets_what_comes_from_then_on(start: Start) -> None:
    run = start(())
    run.plug(0)
    run.runner.configure([TELL])
    run.plug(1)
    assert run.turn() == [("add", "0:0:0:1")]


def test_without_agents_the_log_holds_nothing(start: Start) -> None:
    run = start()
    run.plug(0)
    run.all()
    assert run.scsimon._log.hold_after is not None
    run.runner.configure([])
    run.runner.turn()
    assert run.scsimon._log.hold_after is None
    assert run.runs.position() is None


def test_jobs_that_wait_run_as_they_were_planned(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=1))
    run.plug(0)
    run.plug(1)
    run.turn()
    run.runner.configure([Agent(command=("new",), name="new")])
    run.plug(2)
    run.all()
    assert [job.name for job in run.launcher.started] == ["tell", "tell", "new"]


def test_a_disk_that_refuses_outcomes_keeps_them_waiting(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    attach = run.plug()
    run.turn()

    def refuse(*_: object) -> None:
        raise EventLogBehind("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(run.runs, "record", refuse)
        run.launcher.end()
        run.turn()
    assert run.recorded() == {}
    run.clock.advance(1.0)
    run.turn()
    assert run.recorded() == {attach: [("tell", "exited", 0)]}


def test_outcomes_are_written_together_while_much_is_going_on(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=1))
    attach = run.plug(0)
    run.plug(1)
    run.turn()
    run.launcher.end()
    run.turn()
    assert run.recorded() == {}, "the second one runs"
    run.clock.advance(0.2)
    run.turn()
    assert list(run.recorded()) == [attach]


def test_a_planner_of_somebody_else(start: Start) -> None:
    run = start(())

    def plan(event: Event) -> Iterator[Job]:
        if event.kind is Kind.HOST_ADDED:
            yield Job(name="rule", key="host", action="note", arguments=("x",), event_count=event.event_count)
        if event.kind is Kind.DETACH:
            raise ValueError("a planner that fails")

    done: list[tuple[str, ...]] = []
    run.runner.add_planner(plan)
    run.runner.add_action("note", done.append)
    run.plug(0)
    run.unplug(0)
    run.driver.add_host(HostSpec(host_no=5))
    count = run.scsimon.event_count
    for _ in range(3):  # two hosts were added, and their jobs have one key
        run.runner.turn()
        run.runner._actions.close()
    assert done == [("x",), ("x",)]
    assert run.recorded()[count] == [("rule", "exited", 0)]


def test_actions_that_fail(start: Start) -> None:
    run = start()

    def refuse(arguments: tuple[str, ...]) -> None:
        raise InvalidRequest("no such thing")

    def break_down(arguments: tuple[str, ...]) -> None:
        raise KeyError("a mistake")

    run.runner.add_action("refuse", refuse)
    run.runner.add_action("break", break_down)
    for name in ("refuse", "break", "unknown"):
        job = Job(name=name, key=name, action=name, event_count=1)
        assert run.runner.submit(job)
    run.turn()
    run.runner._actions.close()
    run.turn()
    found = {run.agent: (run.outcome, run.output) for run in run.runner.runs_of(1, 1)[1]}
    assert found == {
        "refuse": ("exited", b"no such thing"),
        "break": ("exited", b""),
        "unknown": ("not-started", b""),
    }


def test_a_job_that_is_submitted_runs_behind_those_of_its_key(start: Start) -> None:
    run = start(limits=AgentLimits(at_once=4, queue=2))
    run.plug(0)
    run.turn()
    assert run.runner.submit(Job(name="extra", key="0:0:0:0", argv=("x",)))
    run.turn()
    assert len(run.launcher.started) == 1
    run.launcher.end()
    run.runner.turn()
    assert run.launcher.started[-1].name == "extra"
    assert [run.runner.submit(Job(name="n", key="k", argv=("x",))) for _ in range(3)] == [True, True, False]


def test_agents_that_can_not_be_started_do_not_stop_the_queue(start: Start) -> None:
    missing = Agent(command=("/nowhere/agent",), name="missing")
    run = start((missing,), real=True, limits=AgentLimits(queue=3))
    counts = [run.plug(lun) for lun in range(20)]
    run.runner.start()
    assert run.runner.wait_idle(SOON_S)
    assert {count for count, runs in run.recorded().items() if runs} == set(counts)


def test_a_submitted_job_needs_no_agents_and_holds_no_events(start: Start) -> None:
    run = start((), real=True)
    run.runner.start()
    assert run.runner._thread is None, "nothing to run yet"
    attach = run.plug()
    done: list[tuple[str, ...]] = []
    run.runner.add_action("note", done.append)
    assert run.runner.submit(Job(name="note", key="x", action="note", arguments=("1",), event_count=attach))
    while attach not in run.recorded():
        run.runner.wait_idle(0.01)
    assert done == [("1",)]
    assert run.runs.position() is None
    assert run.scsimon._log.hold_after is None


def test_a_thread_of_its_own_and_real_programs(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys\n"
        f"out = os.open({str(out)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "words = [os.environ['ACTION'], os.environ['SCSI_LUN'], sys.argv[1]]\n"
        "os.write(out, ' '.join(words).encode() + b'\\n')"
    )
    good = Agent(command=python(code), name="good")
    missing = Agent(command=("/nowhere/agent",), name="missing")
    run = start((good, missing), real=True)
    run.runner.start()
    attach = [run.plug(lun) for lun in range(3)]
    detach = [run.unplug(lun) for lun in range(3)]
    assert run.runner.wait_idle(SOON_S)
    lines = out.read_text().splitlines()
    assert sorted(lines) == sorted(f"{action} {lun} scsi" for action in ("add", "remove") for lun in range(3))
    for lun in range(3):
        assert lines.index(f"add {lun} scsi") < lines.index(f"remove {lun} scsi")
    recorded = run.recorded()
    for count in (*attach, *detach):
        assert recorded[count] == [("good", "exited", 0), ("missing", "not-started", 2)]
    run.stop()
    run.launcher.closed = True
