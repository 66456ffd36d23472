"""What agents cost: events recorded while they run against none, and a run against a bare program."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Ratio, line
from midlayer.frontends.agents import Agent, AgentLimits, AgentRunner
from midlayer.frontends.daemon.device_rules import DeviceRules
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.clock import SystemClock
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import RuleSet
from midlayer.upper.scsimon import EventLog, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns

EVENTS = 2000
BATCH = 50
ROUNDS = 3
RUNS = 300
PROGRAM = "/bin/true"
RATE_GOAL = 4.0
"""Recording beside running agents may take so many times as long: programs take the processors as well."""
RUN_GOAL = 3.0
RULES_GOAL = 3.0
"""An event under rules may take so many times as long as one with an agent: rules see all its nodes."""
SOON_S = 60.0
_RULES = "".join(
    f'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", ATTRS{{vendor}}=="V{number}*", RUN+="/bin/x{number}"\n'
    f'SUBSYSTEM=="scsi", ATTR{{type}}=="{number}", ENV{{X{number}}}="$attr{{model}}"\n'
    for number in range(20, 40)
)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    driver = VirtualDriver(Subsystem())
    host = driver.add_host(HostSpec(units=(UnitSpec(count=BATCH),)))
    yield from _report(host.devices())
    driver.remove_host(host)


def _report(devices: list[LogicalUnit]) -> Iterator[str]:
    base_s = ours_s = float("inf")
    for _ in range(ROUNDS):
        with setting([]) as (scsimon, _):
            base_s = min(base_s, _record(scsimon, devices, EVENTS))
        with setting([Agent(command=(PROGRAM,), name="true")]) as (scsimon, runner):
            ours_s = min(ours_s, _record(scsimon, devices, EVENTS))
            left = EVENTS - runner.position
    rate = Ratio("attach recorded while agents run / without agents", ours_s, base_s)
    yield line(rate, f"goal at most {RATE_GOAL:g}; {left} still to run", met=rate.cost <= RATE_GOAL)
    bare_s = _bare()
    with setting([Agent(command=(PROGRAM,), name="true")]) as (scsimon, runner):
        begin = time.perf_counter()
        _record(scsimon, devices, RUNS)
        assert runner.wait_idle(SOON_S)
        each_s = (time.perf_counter() - begin) / RUNS
        latency_s = _latency(scsimon, runner, devices[0])
    each = Ratio("agent run to its end and recorded / bare program", each_s, bare_s)
    yield line(each, f"goal at most {RUN_GOAL:g}", met=each.cost <= RUN_GOAL)
    latency = Ratio("one event to its agent recorded / bare program", latency_s, bare_s)
    yield line(latency, "no goal: with two waits for the disk", met=True)
    yield _rules(devices, each_s)


def _rules(devices: list[LogicalUnit], agent_s: float) -> str:
    """Return the line for events whose devices meet 20 rule files, one rule of which names a program."""
    texts = {f"{number:02}.rules": _RULES for number in range(19)}
    texts["90.rules"] = f'SUBSYSTEM=="scsi_device", RUN+="{PROGRAM}"\n'
    rules = RuleSet.of_texts(texts)
    with setting([]) as (scsimon, runner):
        subsystem = devices[0].host.subsystem
        DeviceRules(subsystem, scsimon, runner, rules, SOON_S)
        begin = time.perf_counter()
        _record(scsimon, devices, RUNS)
        assert runner.wait_idle(SOON_S)
        each_s = (time.perf_counter() - begin) / RUNS
        ran = sum(map(len, runner.runs_of(1, scsimon.event_count).values()))
    assert ran == RUNS, "nothing is lost"
    each = Ratio(
        f"event under {len(texts)} rule files ({len(rules)} rules) to its RUN / to an agent", each_s, agent_s
    )
    return line(each, f"goal at most {RULES_GOAL:g}", met=each.cost <= RULES_GOAL)


@contextmanager
def setting(agents: list[Agent]) -> Iterator[tuple[ScsimonDriver, AgentRunner]]:
    """Give an event log on disk, and who runs these agents for its events, two at a time."""
    with tempfile.TemporaryDirectory() as directory:
        clock = SystemClock()
        scsimon = ScsimonDriver(EventLog(Path(directory)), clock)
        runner = AgentRunner(scsimon, AgentRuns(scsimon._log), clock, limits=AgentLimits(at_once=2))
        runner.configure(agents)
        runner.start()
        yield scsimon, runner
        runner.stop()
        scsimon.close()
        clock.close()


def _record(scsimon: ScsimonDriver, devices: list[LogicalUnit], events: int) -> float:
    """Record attaches in batches, and return the seconds of one."""
    begin = time.perf_counter()
    for _ in range(events // BATCH):
        scsimon.scan_begins(devices[0].host)
        for device in devices:
            scsimon.attach(device)
        scsimon.scan_ends(devices[0].host)
    return (time.perf_counter() - begin) / events


def _bare() -> float:
    begin = time.perf_counter()
    for _ in range(RUNS):
        subprocess.run([PROGRAM], check=True)
    return (time.perf_counter() - begin) / RUNS


def _latency(scsimon: ScsimonDriver, runner: AgentRunner, device: LogicalUnit) -> float:
    best = float("inf")
    for _ in range(50):
        begin = time.perf_counter()
        scsimon.attach(device)
        assert runner.wait_idle(SOON_S)
        best = min(best, time.perf_counter() - begin)
    return best
