"""Scenarios: what the reader says of mistakes, what is done when, and the report."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from midlayer.errors import ConfigError, NoSuchDevice
from midlayer.frontends.scenario.player import ScenarioPlayer
from midlayer.frontends.scenario.reader import load, parse
from midlayer.testing import FakeClock

from .program import Running, Up, run

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("scenario*.toml"))
TEXT = """
title = "a path fails"
end = "10s"

[[step]]
at = "2s"
say = "the path goes down"

[[step.fault]]
name = "path"
device = "0"
state = "path-down"

[[step]]
at = "5s"
clear = ["path"]
unplug = "0:0:0:1"
plug = ["virtual:disk?size=1M", "virtual:tape"]
"""


class FakeStage:
    """Writes down what is asked of it, and when."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.begin_s = clock.monotonic()
        self.done: list[tuple[float, str, Any]] = []
        self.faults: dict[str, dict[str, Any]] = {}
        self.past: list[dict[str, Any]] = []
        self.absent: set[str] = set()

    def note(self, what: str, subject: Any) -> None:
        self.done.append((self.clock.monotonic() - self.begin_s, what, subject))

    def add_fault(self, keys: dict[str, Any]) -> None:
        self.note("add", keys)
        self.faults[keys["name"]] = {"name": keys["name"], "matches": 3, "injections": 2}

    def clear_fault(self, name: str) -> dict[str, Any] | None:
        self.note("clear", name)
        return self.faults.pop(name, None)

    def act(self, action: str, device: str) -> None:
        self.note(action, device)
        if device in self.absent:
            raise NoSuchDevice(f"{device}: no device is attached at this address")

    def injections(self) -> list[dict[str, Any]]:
        return self.past

    def inject(self, fault: str, *, wall_s: float) -> None:
        time = datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.past.append({"time": time, "fault": fault, "address": "0:0:0:0", "command": "READ(10)"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def stage(clock: FakeClock) -> FakeStage:
    return FakeStage(clock)


def test_everything_is_done_in_its_time(clock: FakeClock, stage: FakeStage) -> None:
    times: list[float] = []
    player = ScenarioPlayer(parse(TEXT), stage, clock, clock.advance)
    player.on_time = times.append
    begin_wall_s = clock.wall()
    stage.inject("path", wall_s=begin_wall_s - 60)
    stage.inject("path", wall_s=begin_wall_s + 2.5)
    stage.inject("another's", wall_s=begin_wall_s + 3)
    report = player.play()
    assert [(round(at_s, 6), what) for at_s, what, _ in stage.done] == [
        (2.0, "add"),
        (5.0, "clear"),
        (5.0, "plug"),
        (5.0, "plug"),
        (5.0, "unplug"),
    ]
    assert stage.done[0][2] == {"name": "path", "device": "0", "state": "path-down"}
    assert clock.monotonic() - stage.begin_s == pytest.approx(10.0)
    assert times == sorted(times)
    assert max(later - earlier for earlier, later in pairwise(times)) <= 0.1001
    assert report.to_json() == {
        "title": "a path fails",
        "complete": True,
        "failures": 0,
        "steps": [
            {"at_s": 2.0, "step": "the path goes down", "error": ""},
            {
                "at_s": 5.0,
                "step": "clear path, plug virtual:disk?size=1M, plug virtual:tape, unplug 0:0:0:1",
                "error": "",
            },
        ],
        "faults": [{"name": "path", "matches": 3, "injections": 2}],
        "injections": [{"at_s": 2.5, "fault": "path", "address": "0:0:0:0", "command": "READ(10)"}],
    }


def test_a_step_that_goes_wrong_does_not_end_the_rest(clock: FakeClock, stage: FakeStage) -> None:
    stage.absent = {"0:0:0:1"}
    report = ScenarioPlayer(parse(TEXT), stage, clock, clock.advance).play()
    assert report.complete
    assert report.failures == 1
    assert report.steps[1]["error"] == "0:0:0:1: no device is attached at this address"


def test_its_faults_go_with_it_also_if_it_is_interrupted(clock: FakeClock, stage: FakeStage) -> None:
    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        if clock.monotonic() - stage.begin_s > 3:
            raise KeyboardInterrupt

    player = ScenarioPlayer(parse(TEXT), stage, clock, sleep)
    with pytest.raises(KeyboardInterrupt):
        player.play()
    assert stage.faults == {}
    assert not player.report.complete
    assert [state["name"] for state in player.report.faults] == ["path"]


class Mistake(NamedTuple):
    """A wrong text, and what the error has to say."""

    text: str
    line: int
    key: str
    says: str


STEP = '[[step]]\nat = "1s"\n'
FAULT = '[[step.fault]]\nname = "a"\nlost = true\n'
MISTAKES = {
    "nothing": Mistake("", 0, "step", "write [[step]], once for each moment"),
    "unknown key": Mistake("titel = 'x'\n" + STEP, 1, "titel", "did you mean title?"),
    "unknown key of a step": Mistake(STEP + "sya = 'x'", 3, "step.sya", "did you mean say?"),
    "no time": Mistake("[[step]]\nsay = 'x'", 1, "step", "at: is missing"),
    "wrong time": Mistake("[[step]]\nat = 'soon'", 2, "step.at", "'soon' must be a duration"),
    "back in time": Mistake(STEP + "[[step]]\nat = 0", 4, "step.at", "is before the step above"),
    "end too soon": Mistake("end = 0\n" + STEP, 1, "end", "is before the last step"),
    "clear of nothing": Mistake(STEP + "clear = 'a'", 3, "step.clear", "'a' is no fault of a step above"),
    "fault without a name": Mistake(STEP + "[[step.fault]]\nlost = true", 3, "step.fault.name", "is missing"),
    "a name twice": Mistake(STEP + FAULT + STEP + FAULT, 9, "step.fault.name", "'a' is in force already"),
    "a key of a fault": Mistake(STEP + FAULT + "opcod = 1", 6, "step.fault.opcod", "did you mean opcode?"),
    "a device": Mistake(STEP + "plug = 3", 3, "step.plug", "3 must be a text in quotes"),
    "not TOML": Mistake("[[step]\n", 1, "", "not TOML"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    mistake = MISTAKES[case]
    with pytest.raises(ConfigError) as found:
        parse(mistake.text, file="s.toml")
    error = found.value
    assert (error.file, error.line, error.key) == ("s.toml", mistake.line, mistake.key)
    assert mistake.says in str(error)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_are_right(file: Path) -> None:
    assert load(file).steps


def test_it_plays_in_the_daemon(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'title = "short"\nend = "100ms"\n'
        '[[step]]\nat = 0\nplug = "virtual:disk?size=1M&lun=7"\n[[step.fault]]\nname = "a"\nlost = true\n'
        '[[step]]\nat = "50ms"\nclear = "a"\noffline = "0:0:0:7"\nsay = "enough"\n'
        '[[step]]\nat = "60ms"\nonline = "0:0:0:7"\n[[step]]\nat = "70ms"\nunplug = "0:0:0:7"\n'
    )
    done = up.run("scenario", "run", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "s  plug virtual:disk?size=1M&lun=7, fault a\n" in done.stdout
    assert "s  enough\n" in done.stdout
    assert done.stdout.endswith("short: 4 steps, 0 commands hit\n")
    assert up.json("fault", "list") == {"items": []}


def test_it_plays_without_a_daemon(tmp_path: Path) -> None:
    config, file = tmp_path / "c.toml", tmp_path / "s.toml"
    config.write_text('[[host]]\ndriver = "virtual"\n[[host.unit]]\nsize = "1M"\n')
    file.write_text(
        'title = "scan"\n[[step]]\nat = 0\n'
        '[[step.fault]]\nname = "inq"\nopcode = "INQUIRY"\nqualifier = "001b"\n'
        '[[step]]\nat = "1ms"\nplug = "virtual:disk?size=1M"\n[[step]]\nat = "2ms"\nunplug = "9:0:0:0"\n'
    )
    done = run("scenario", "run", file, "--config", config, "--json")
    assert done.returncode == 15, done.stderr
    report = json.loads(done.stdout)
    assert report["failures"] == 1
    assert report["steps"][2]["error"] == "9:0:0:0: no device is attached at this address"
    assert report["faults"][0]["injections"] >= 2
    assert {one["address"] for one in report["injections"]} == {"0:0:0:1"}


def test_ctrl_c_ends_it_with_its_report(tmp_path: Path) -> None:
    config, file = tmp_path / "c.toml", tmp_path / "s.toml"
    config.write_text('[[host]]\ndriver = "virtual"\n')
    file.write_text('title = "long"\nend = "1h"\n[[step]]\nat = 0\nsay = "begun"\n')
    playing = Running("scenario", "run", file, "--config", config)
    playing.wait_for("begun")
    playing.send(signal.SIGINT)
    assert playing.end() == 130
    assert "long: 1 steps, 0 commands hit, ended before its time" in playing.output


def test_check_says_what_would_be_done(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(TEXT)
    done = run("scenario", "check", file)
    assert done.stdout.startswith("a path fails: 2 steps, 1 faults, 10s\n      2s  the path goes down\n")
    file.write_text("[[step]]\nat = 'soon'\n")
    done = run("scenario", "check", file)
    assert done.returncode == 1
    assert "s.toml:2: step.at: 'soon' must be a duration" in done.stderr
