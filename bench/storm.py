"""Events under policies: how soon one is durable, and how many a second have their rules and agents done.

Each event is an attach of a virtual unit under 20 rule files (40 rules, applied to the unit and its nodes),
with a real program as its agent.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from statistics import median, quantiles

from bench.agents import PROGRAM, setting
from bench.measure import Ratio, line
from midlayer.frontends.agents import Agent
from midlayer.frontends.daemon.device_rules import DeviceRules
from midlayer.frontends.own_devices import node_views, unit_view
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import PlainEnvironment, RuleSet
from midlayer.upper.scsimon import ScsimonDriver

UNITS, EVENTS, ROUNDS = 50, 600, 3
FILES = 20
LATENCY_GOAL = 4.0
"""How many times as long an event may take to be durable while rules and agents have the processors."""
WORK_GOAL = 3.0
SOON_S = 120.0
_RULE = (
    'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", ATTRS{{vendor}}=="V{n}*", RUN+="/bin/x{n}"\n'
    'SUBSYSTEM=="scsi", ATTR{{type}}=="0", ENV{{X{n}}}="$attr{{model}}"\n'
)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    driver = VirtualDriver(Subsystem())
    host = driver.add_host(HostSpec(units=(UnitSpec(count=UNITS),)))
    devices = host.devices()
    rules = RuleSet.of_texts({f"{n:02}.rules": _RULE.format(n=n) for n in range(FILES)})
    alone: list[float] = []
    beside: list[float] = []
    done_s = float("inf")
    for _ in range(ROUNDS):
        with setting([]) as (scsimon, _):
            alone += _one_by_one(scsimon, devices)
        with setting([Agent(command=(PROGRAM,), name="true")]) as (scsimon, runner):
            DeviceRules(devices[0].host.subsystem, scsimon, runner, rules, SOON_S)
            begin = time.perf_counter()
            beside += _one_by_one(scsimon, devices)
            assert runner.wait_idle(SOON_S)
            done_s = min(done_s, (time.perf_counter() - begin) / EVENTS)
            ran = sum(map(len, runner.runs_of(1, scsimon.event_count).values()))
            assert ran == EVENTS, "nothing is lost"
    yield from _latency(alone, beside)
    bare_s = _bare_work(rules, devices[0])
    work = Ratio("event: durable, rules applied, agent ended / bare", done_s, bare_s)
    yield line(work, f"goal at most {WORK_GOAL:g}; {1 / done_s:.0f} events/s", met=work.cost <= WORK_GOAL)
    yield "     bare: the rules applied to the same views, and the program run by subprocess; nothing is kept"
    driver.remove_host(host)


def _latency(alone: list[float], beside: list[float]) -> Iterator[str]:
    for name, pick in (("median", median), ("99th percentile", lambda times: quantiles(times, n=100)[98])):
        found = Ratio(f"event durable beside rules and agents / alone, {name}", pick(beside), pick(alone))
        met = name != "median" or found.cost <= LATENCY_GOAL
        yield line(found, f"goal at most {LATENCY_GOAL:g}" if name == "median" else "no goal", met=met)


def _one_by_one(scsimon: ScsimonDriver, devices: list[LogicalUnit]) -> list[float]:
    """Record attaches, each with a wait for the disk of its own, and return the seconds of each."""
    times = []
    for number in range(EVENTS):
        begin = time.perf_counter()
        scsimon.attach(devices[number % UNITS])
        times.append(time.perf_counter() - begin)
    return times


def _bare_work(rules: RuleSet, device: LogicalUnit) -> float:
    """Return the seconds of what cannot be saved: rules applied to a unit and its nodes, and one program."""
    views, environment = [unit_view(device), *node_views(device)], PlainEnvironment()
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(100):
            for view in views:
                rules.apply(view, "add", environment)
            subprocess.run([PROGRAM], check=True)
        best = min(best, (time.perf_counter() - begin) / 100)
    return best
