"""The storm under policies: 4 paths to each LUN, 8 events on each, 20 rule files, a program on each attach.

By default with 100 LUNs: 3,200 events, 1,600 programs. MIDLAYER_STORM_LUNS=1000 is the full size.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import defaultdict
from pathlib import Path

from tests.property.flapping import Reporting, flap

from midlayer.frontends.agents import Agent, AgentLimits, AgentRunner
from midlayer.frontends.daemon.device_rules import DeviceRules
from midlayer.mid.clock import SystemClock
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import RuleSet
from midlayer.upper.scsimon import EventLog, Kind, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns

LUNS = int(os.environ.get("MIDLAYER_STORM_LUNS", "100"))
PATHS, ROUNDS, FILES = 4, 4, 20
ATTACHES = PATHS * LUNS * ROUNDS
EVENTS = 2 * ATTACHES
SOON_S = 60.0 + EVENTS / 50
_RULE = (
    'SUBSYSTEM=="scsi", ATTR{{vendor}}=="V{n}*", ENV{{X{n}}}="$attr{{model}}"\n'
    'SUBSYSTEM=="scsi", ATTR{{type}}=="0", ENV{{Y{n}}}="$kernel"\n'
)


class SteadyClock(SystemClock):
    """Its wall clock is never set, as that of a machine may be in the middle of the storm."""

    wall = SystemClock.monotonic


def rules() -> RuleSet:
    texts = {f"{n:02}.rules": _RULE.format(n=n) for n in range(FILES - 1)}
    texts["99.rules"] = 'SUBSYSTEM=="scsi", ENV{Y18}=="?*", RUN{builtin}+="log $env{ACTION}"\n'
    return RuleSet.of_texts(texts)


def test_a_storm_under_rules_and_real_agents(tmp_path: Path) -> None:
    clock = SteadyClock()
    subsystem = Subsystem(clock=clock)
    scsimon = ScsimonDriver(EventLog(tmp_path / "state", keep_events=4 * EVENTS), clock)
    subsystem.register_upper(scsimon)
    runs = AgentRuns(scsimon._log)
    runner = AgentRunner(scsimon, runs, clock, limits=AgentLimits(at_once=4))
    gate = (tmp_path / "gate").open("w")
    # Each agent waits until the gate is open, then ends: nothing in between but flock(1) and true(1).
    agent = Agent(
        command=("flock", "--shared", gate.name, "true"), name="agent", only="attach", timeout_s=3600
    )
    runner.configure([agent])
    DeviceRules(subsystem, scsimon, runner, rules(), SOON_S)
    ruled: dict[str, list[tuple[int, str]]] = defaultdict(list)
    runner.add_action("log", lambda words: ruled[words[0]].append((int(words[1]), words[3])))
    runner.start()
    template = Reporting(LUNS)
    hosts = [subsystem.host_alloc(template) for _ in range(PATHS)]
    for host in hosts:
        subsystem.add_host(host)

    fcntl.flock(gate, fcntl.LOCK_EX)
    begin = time.perf_counter()
    threads = [
        threading.Thread(target=flap, args=(subsystem, host, LUNS, ROUNDS), name=f"path {host.host_no}")
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded_s = time.perf_counter() - begin
    told = [event for event in events(scsimon) if event[1] in (Kind.ATTACH, Kind.DETACH)]
    assert len(told) == EVENTS, "all events are durable"
    assert runner.runs_of(1, scsimon.event_count) == {}, "while no agent has ended: the log waits for none"
    fcntl.flock(gate, fcntl.LOCK_UN)
    assert runner.wait_idle(SOON_S), runner.status()
    all_s = time.perf_counter() - begin
    print(
        f"{EVENTS} events recorded in {recorded_s:.1f} s ({EVENTS / recorded_s:.0f}/s) while 4 agents hung;"
        f" {ATTACHES} agents and {EVENTS} times {FILES} rule files done in {all_s:.1f} s"
        f" ({EVENTS / all_s:.0f} events/s)"
    )

    attached: dict[str, list[int]] = defaultdict(list)
    for count, kind, address in told:
        if kind is Kind.ATTACH:
            attached[address].append(count)
    check_agents(runner, attached)
    check_rules(ruled, attached)
    runner.stop()
    for host in hosts:
        subsystem.remove_host(host)
        host.put()
    scsimon.close()
    clock.close()
    gate.close()


def events(scsimon: ScsimonDriver) -> list[tuple[int, Kind, str]]:
    """Return count, kind and address of all events."""
    found: list[tuple[int, Kind, str]] = []
    while page := scsimon.events(found[-1][0] if found else 0, 5000).events:
        found += [(event.event_count, event.kind, event.address) for event in page]
    return found


def check_agents(runner: AgentRunner, attached: dict[str, list[int]]) -> None:
    """One run for each attach, ended well, and for each device one after the other."""
    runs = runner.runs_of(1, 1 << 62)
    assert sum(map(len, attached.values())) == ATTACHES
    for address, counts in attached.items():
        ends = 0.0
        for count in counts:
            (run,) = [run for run in runs.get(count, []) if run.agent == "agent"]
            assert run.ok, f"{address}: {run}"
            assert run.wall_s >= ends, f"{address}: two at once"
            ends = run.wall_s + run.duration_s - 0.001  # times are rounded


def check_rules(ruled: dict[str, list[tuple[int, str]]], attached: dict[str, list[int]]) -> None:
    """For each device: every attach with its detach, in order, none twice."""
    assert set(ruled) == set(attached)
    for address, counts in attached.items():
        assert ruled[address] == [(count, action) for count in counts for action in ("add", "remove")], (
            address
        )
