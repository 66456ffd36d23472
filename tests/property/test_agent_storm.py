"""A fabric that flaps: 1,000 LUNs on 4 paths, 32,000 events, an agent on each attach. Nothing is lost."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.property.flapping import Reporting, flap

from midlayer.frontends.agents import Agent, AgentLimits, AgentRunner, Job, Outcome
from midlayer.mid.clock import SystemClock
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon import EventLog, Kind, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns

PATHS, LUNS, ROUNDS = 4, 1000, 4
QUEUE, AT_ONCE = 500, 16
SOON_S = 120.0


class Scrambler:
    """Ends programs in any order, several at once, and watches that the rules are kept."""

    def __init__(self) -> None:
        self.choose = random.Random(20261121)
        self.started: dict[str, list[int]] = defaultdict(list)
        self.running: dict[str, tuple[Job, Callable[[Job, Outcome], None]]] = {}
        self.mistakes: list[str] = []
        self.most_at_once = 0
        self.news = threading.Event()

    def start(self, job: Job, ended: Callable[[Job, Outcome], None]) -> None:
        if job.key in self.running:
            self.mistakes.append(f"two agents at once for {job.key}")
        self.started[job.key].append(job.event_count)
        self.running[job.key] = (job, ended)
        self.most_at_once = max(self.most_at_once, len(self.running))

    def wait(self, *, block: bool = True) -> None:
        if block and not self.running:
            self.news.wait(SOON_S)
        self.news.clear()
        for key in self.choose.sample(sorted(self.running), len(self.running) // 2 + len(self.running) % 2):
            job, ended = self.running.pop(key)
            ended(job, Outcome("exited", 0))

    def wake(self) -> None:
        self.news.set()

    def close(self) -> None:
        """Nothing runs at the end."""


def test_nothing_is_lost_in_a_storm_and_each_device_keeps_its_order(tmp_path: Path) -> None:
    clock = SystemClock()
    subsystem = Subsystem(clock=clock)
    scsimon = ScsimonDriver(EventLog(tmp_path / "state", keep_events=1000), clock)
    subsystem.register_upper(scsimon)
    scrambler = Scrambler()
    runs = AgentRuns(scsimon._log)
    runner = AgentRunner(
        scsimon, runs, clock, launcher=scrambler, limits=AgentLimits(queue=QUEUE, at_once=AT_ONCE)
    )
    runner.configure([Agent(command=("/bin/agent",), name="agent", only="attach")])
    runner.start()
    template = Reporting(LUNS)
    hosts = [subsystem.host_alloc(template) for _ in range(PATHS)]
    for host in hosts:
        subsystem.add_host(host)
    attaches: dict[str, list[int]] = defaultdict(list)
    threads = [
        threading.Thread(target=flap, args=(subsystem, host, LUNS, ROUNDS), name=f"path {host.host_no}")
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runner.wait_idle(SOON_S), runner.status()

    seen, notes = 0, []
    while page := scsimon.events(seen, 5000).events:
        seen = page[-1].event_count
        for event in page:
            notes += [event.data["state"]] if event.kind is Kind.AGENTS else []
            if event.kind is Kind.ATTACH:
                attaches[event.address].append(event.event_count)
    # Only what is still kept can be compared with the log; the rest by its number and order.
    total = PATHS * LUNS * ROUNDS
    assert sum(map(len, scrambler.started.values())) == total
    assert set(scrambler.started) == {f"{host.host_no}:0:0:{lun}" for host in hosts for lun in range(LUNS)}
    for address, counts in scrambler.started.items():
        assert counts == sorted(set(counts)), address
        assert len(counts) == ROUNDS
        assert attaches[address] == counts[len(counts) - len(attaches[address]) :]
    assert scrambler.mistakes == []
    assert scrambler.most_at_once <= AT_ONCE
    assert runner.position == scsimon.event_count >= 2 * total
    assert "missed" not in notes
    runner.stop()
    for host in hosts:
        subsystem.remove_host(host)
        host.put()
    scsimon.close()
    clock.close()
