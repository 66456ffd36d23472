"""Faults over HTTP, on the command line and in a configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.lower.filters import faults_of
from midlayer.upper.sg import execute

from .program import CONFIG, Up
from .serving import Serving

READ = "28000000000000000100"


def post(serving: Serving, path: str, status: int = 200, **wish: Any) -> Any:
    answer = serving.http.post(path, json=wish)
    assert answer.status_code == status, answer.text
    return answer.json()


def read(serving: Serving) -> Any:
    return post(serving, "execute", device="sg0", cdb=READ, data_in=512)


def test_add_list_and_clear(serving: Serving) -> None:
    state = post(serving, "faults", name="a", device="sg0", opcode="READ", sense="3/11/00", times=1)
    assert state["rule"] == {
        "device": "0:0:0:0",
        "opcode": ["READ"],
        "times": 1,
        "sense": "3/11/00",
    }
    assert read(serving)["sense"].startswith("70000300000000")
    assert read(serving)["status"] == 0
    (listed,) = serving.http.get("faults").json()["items"]
    assert (listed["matches"], listed["injections"], listed["active"]) == (2, 1, False)
    (injected,) = serving.http.get("faults/injected").json()["items"]
    assert (injected["fault"], injected["command"]) == ("a", "READ(10) lba=0 blocks=1")
    assert len(injected["time"]) == len("2026-11-21T06:24:54.924000Z")
    assert serving.http.delete("faults", params={"name": "a"}).json() == {"items": [listed]}
    assert serving.http.get("faults").json() == {"items": []}


def test_what_is_listed_can_be_added_again(serving: Serving) -> None:
    first = post(serving, "faults", delay="p50=1ms p99=20ms", opcode=["0xc1", "READ CAPACITY(16)"], lba="8+8")
    serving.http.delete("faults")
    assert post(serving, "faults", name=first["name"], **first["rule"]) == first


@pytest.mark.parametrize(
    ("wish", "status", "says"),
    [
        ({"opcod": 1}, 400, "opcod: there is no such key; did you mean opcode?"),
        ({}, 400, "fault: the rule does nothing"),
        ({"device": "sg9", "lost": True}, 404, "sg9: no attached device has this node"),
        ({"device": "disk", "lost": True}, 400, "device: 'disk' must be an address such as 2:0:1:0"),
    ],
)
def test_mistake(serving: Serving, wish: dict[str, Any], status: int, says: str) -> None:
    assert says in post(serving, "faults", status, **wish)["error"]
    assert serving.http.get("faults").json() == {"items": []}


def test_clearing_what_is_not_there(serving: Serving) -> None:
    answer = serving.http.delete("faults", params={"name": "x"})
    assert (answer.status_code, answer.json()["exit_status"]) == (400, 1)
    assert "x: no fault of this name is in force; there are: none" in answer.json()["error"]


def test_a_body_that_is_no_table(serving: Serving) -> None:
    answer = serving.http.post("faults", json=[1])
    assert answer.status_code == 422
    assert answer.json()["exit_status"] == 1


def test_faults_of_a_configuration_begin_after_the_scan() -> None:
    daemon = Daemon(parse(CONFIG + '\n[[fault]]\nname = "all"\nsense = "4/44/00"\n'), None)
    try:
        daemon.start()
        assert len(daemon.subsystem.devices()) == 4
        assert [state.matches for state in faults_of(daemon.subsystem).states()] == [0]
        assert not execute(daemon.subsystem.devices()[0], bytes(6)).ok
    finally:
        daemon.stop()


# On the command line


def test_the_verbs(up: Up) -> None:
    added = up.run(
        "fault", "add", "name=a", "device=0:0:0:0", "opcode=READ(10)", "sense=3/11/00", "once=true"
    )
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == "fault a in force: device=0:0:0:0 opcode=READ(10) times=1 sense=3/11/00\n"
    failed = up.run("raw", "0:0:0:0", READ, "-r", "512")
    assert failed.returncode == 3
    listed = up.run("fault", "list").stdout.splitlines()
    assert listed[0].split() == ["FAULT", "MEANT", "HIT", "ACTIVE", "RULE"]
    assert listed[1].split()[:4] == ["a", "1", "1", "no"]
    assert "READ(10) lba=0 blocks=1" in up.run("fault", "injected").stdout
    assert up.run("fault", "clear", "a").stdout == "fault a cleared after 1 of 1 commands\n"
    assert up.run("fault", "clear").stdout == "no faults were in force\n"
    assert up.run("fault", "list").stdout == "no faults are in force\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add"], "fault add: write KEY=VALUE"),
        (["add", "sense"], "fault add: 'sense' must be KEY=VALUE"),
        (["add", "opcode=READ", "opcode=WRITE"], "fault add: opcode is given twice"),
        (["add", "sense=13/11/00"], "sense: '13/11/00' must be a sense key, ASC and ASCQ such as 3/11/00"),
        (["list", "x"], "fault list: takes no more words, 'x' is one"),
        (["clear", "x"], "x: no fault of this name is in force"),
    ],
)
def test_mistakes_on_the_command_line(up: Up, words: list[str], says: str) -> None:
    done = up.run("fault", *words)
    assert done.returncode == 1
    assert says in done.stderr


def test_a_list_as_json(up: Up) -> None:
    assert json.loads(up.run("fault", "list", "--json").stdout) == {"items": []}
