"""kill -9 at random moments of a storm: counts stay unique and increasing, no promised event is lost.

``MIDLAYER_KILLS`` sets how often (60 by default), ``MIDLAYER_SEED`` where the random numbers start.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from midlayer.mid.clock import SystemClock
from midlayer.upper.scsimon import EventLog, Kind, Lists, ScsimonDriver

KILLS = int(os.environ.get("MIDLAYER_KILLS", "60"))
SEED = int(os.environ.get("MIDLAYER_SEED", "20261121"))
MOST_LINES = 150

pytestmark = pytest.mark.crash


def test_no_promised_event_is_lost_and_no_count_is_used_twice(tmp_path: Path) -> None:
    print(f"MIDLAYER_SEED={SEED} MIDLAYER_KILLS={KILLS}")
    choose = random.Random(SEED)
    promised: dict[int, tuple[str, str]] = {}
    highest = promises = 0
    for kill in range(KILLS):
        first, lines = run_until_killed(tmp_path, seed=SEED + kill, lines=choose.randrange(MOST_LINES))
        if first is not None:
            assert sorted(first["attached"]) == sorted(first["really"]), "the list is not what is there"
            assert first["event_count"] >= highest, "an event count went back over a restart"
        for line in lines:
            count = line["event_count"]
            kind = "attach" if "attach" in line else "detach"
            assert count > highest, f"count {count} was promised before"
            highest = count
            promised[count] = (kind, line[kind])
            promises += 1
        highest = max(highest, check_log(tmp_path, promised))
    print(f"{promises} events were promised")
    assert promises > KILLS, "the storm never got going"


def run_until_killed(state: Path, *, seed: int, lines: int) -> tuple[dict | None, list[dict]]:
    """Run the storm, kill it after so many lines, and return all that it had written by then."""
    storm = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("storm.py")), str(state), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert storm.stdout is not None
    try:
        read = []
        for _ in range(lines):
            text = storm.stdout.readline()
            if not text:
                break
            read.append(text)
    finally:
        storm.kill()
        read += storm.stdout.readlines()
        storm.stdout.close()
        assert storm.wait() == -9
    # A line that the kill cut in half was not written in full, so nothing was promised by it.
    documents = [json.loads(text) for text in read if text.endswith("\n")]
    return (documents[0], documents[1:]) if documents else (None, [])


def check_log(state: Path, promised: dict[int, tuple[str, str]]) -> int:
    """Compare the log with what was promised; return the highest count in it."""
    log = EventLog(state, keep_events=4000)
    try:
        events = log.read(0)
        counts = [event.event_count for event in events]
        assert counts == list(range(counts[0], counts[0] + len(counts))) if counts else True
        by_count = {event.event_count: (str(event.kind), event.address) for event in events}
        for count in [count for count in promised if count < log.oldest_count]:
            del promised[count]  # kept long enough
        for count, what in promised.items():
            assert by_count.get(count) == what, f"promised event {count} is not in the log"
        if counts and counts[0] == 1:
            assert Lists().replay(events).attached == log.lists.attached
        return log.lists.event_count
    finally:
        log.close()


def test_what_an_earlier_run_left_is_recorded_as_gone(tmp_path: Path) -> None:
    run_until_killed(tmp_path, seed=1, lines=40)
    scsimon = ScsimonDriver(EventLog(tmp_path), SystemClock())
    left = [record.address for record in scsimon.snapshot().attached]
    before = scsimon.event_count
    scsimon.settle()
    after = scsimon.events(before).events
    assert [event.address for event in after if event.kind is Kind.DETACH] == left
    assert all(event.by_resync for event in after)
    assert scsimon.snapshot().attached == ()
    scsimon.close()
