"""Filters that come and go while the daemon runs, over HTTP and on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .program import Up
from .serving import Serving

TUR = "000000000000"


def post(serving: Serving, path: str, status: int = 200, **wish: Any) -> Any:
    answer = serving.http.post(path, json=wish)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_trace_of_one_device(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    state = post(serving, "filters", kind="trace", device="sg0", file=str(file))
    assert state == {
        "name": "filter1",
        "rule": {"kind": "trace", "device": "0:0:0:0", "file": str(file)},
    }
    post(serving, "execute", device="sg0", cdb=TUR)
    (line,) = file.read_text().splitlines()
    assert line.startswith("1 0:0:0:0 TEST UNIT READY: GOOD, ")
    assert serving.http.get("filters").json() == {"items": [state]}
    assert serving.http.delete("filters", params={"name": "filter1"}).json() == {"items": [state]}
    post(serving, "execute", device="sg0", cdb=TUR)
    assert len(file.read_text().splitlines()) == 1
    assert serving.http.get("filters").json() == {"items": []}


def test_filters_stack_and_are_cleared_together(serving: Serving, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("inner", "outer")]
    post(serving, "filters", kind="trace", file=str(files[0]))
    post(serving, "filters", kind="delay", delay="1ms")
    post(serving, "filters", kind="record", file=str(files[1]), hashed="true")
    post(serving, "execute", device="sg0", cdb=TUR)
    assert [state["name"] for state in serving.http.delete("filters").json()["items"]] == [
        "filter1", "filter2", "filter3",
    ]  # fmt: skip
    assert "TEST UNIT READY" in files[0].read_text()
    recorded = [json.loads(line) for line in files[1].read_text().splitlines()]
    assert "midlayer_recording" in recorded[0]
    assert [line["cdb"] for line in recorded if "cdb" in line] == [TUR]


@pytest.mark.parametrize(
    ("wish", "status", "says"),
    [
        ({}, 400, "kind: is missing; write one of delay, trace, record, replay"),
        ({"kind": "trace"}, 400, "file: is missing; a trace filter needs it"),
        ({"kind": "trace", "file": "here"}, 400, "file: 'here' must begin with a slash"),
        ({"kind": "trace", "file": "/nowhere/at/all"}, 400, "No such file or directory"),
        ({"kind": "delay", "delay": "soon"}, 400, "delay: "),
        ({"kind": "delay", "delay": "1ms", "fiel": "x"}, 400, "fiel: there is no such key"),
        ({"kind": "delay", "delay": "1ms", "device": "sg9"}, 404, "sg9: no attached device has this node"),
    ],
)
def test_mistake(serving: Serving, wish: dict[str, Any], status: int, says: str) -> None:
    assert says in post(serving, "filters", status, **wish)["error"]
    assert serving.http.get("filters").json() == {"items": []}


def test_clearing_what_is_not_there(serving: Serving) -> None:
    answer = serving.http.delete("filters", params={"name": "x"})
    assert answer.status_code == 400
    assert "x: there is no filter of this name; there are: none" in answer.json()["error"]


def test_the_verb(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    added = up.run("filter", "add", "kind=trace", "device=0:0:0:0", f"file={os.path.relpath(file)}")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == f"filter filter1 in the path: kind=trace device=0:0:0:0 file={file}\n"
    up.run("turs", "0:0:0:0")
    assert "TEST UNIT READY: GOOD" in file.read_text()
    assert "filter1  kind=trace device=0:0:0:0" in up.run("filter", "list").stdout
    assert up.run("filter", "clear", "filter1").stdout == "filter filter1 cleared\n"
    assert up.run("filter", "clear").stdout.startswith("no filters were in the path")
    assert up.run("filter", "list").stdout.startswith("no filters are in the path")
    assert json.loads(up.run("filter", "list", "--json").stdout) == {"items": []}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add"], "filter add: write KEY=VALUE"),
        (["add", "kind"], "filter add: 'kind' must be KEY=VALUE"),
        (["add", "kind=slow"], "kind: 'slow' is not known; write one of delay, trace, record, replay"),
        (["list", "x"], "filter list: takes no more words, 'x' is one"),
        (["clear", "x"], "x: there is no filter of this name"),
    ],
)
def test_mistakes_on_the_command_line(up: Up, words: list[str], says: str) -> None:
    done = up.run("filter", *words)
    assert done.returncode == 1
    assert says in done.stderr
