"""What error recovery is about and what it did: over HTTP, from the command line, and as events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.frontends.cli.main import main
from midlayer.frontends.config import parse
from midlayer.lower.filters import add_fault
from midlayer.lower.virtual import VirtualDriver
from midlayer.mid.logical_unit import DeviceState
from midlayer.upper.sg import execute

from .serving import Serving
from .test_json_shapes import EXAMPLES, shape

READ = bytes.fromhex("28000000000000000100")
STEPS = [
    ("time out", "0:0:0:0", "READ(10) lba=0 blocks=1"),
    ("abort", "0:0:0:0", "failed"),
    ("begin", "0", "1 commands"),
    ("device reset", "0:0:0:0", "success"),
    ("test unit ready", "0:0:0:0", "success"),
    ("give up", "0:0:0:0", "READ(10) lba=0 blocks=1"),
    ("end", "0", "1 commands"),
]
"""A command that is lost and can not be aborted, of somebody who retries nothing."""

Lose = Callable[[], None]


def recoveries(serving: Serving, since: int = 0) -> list[dict[str, Any]]:
    """Return the steps of recovery among the events; the device also reports a unit attention."""
    items = serving.http.get("events", params={"since": since}).json()["items"]
    return [event for event in items if event["event"] == "recovery"]


@pytest.fixture
def lose(serving: Serving) -> Lose:
    """Have a command lost and recovered, and the steps written."""

    def lose() -> None:
        before = serving.daemon.scsimon.event_count
        subsystem = serving.daemon.subsystem
        (device, _) = subsystem.devices()
        add_fault(device, opcode="READ(10)", lost=True, times=1)
        add_fault(device, opcode="READ(10)", fail="abort", times=1)
        execute(device, READ, data_in=512, timeout_s=0.02)
        serving.eventually(lambda: len(recoveries(serving, before)) == len(STEPS))

    return lose


def test_the_api(serving: Serving, lose: Lose) -> None:
    (host,) = serving.http.get("eh").json()["items"]
    assert (host["state"], host["scope"], host["deadline_s"]) == ("running", "host", None)
    assert host["recent"] == host["recoveries"] == host["devices"] == []
    assert [name for name in host["handlers"] if "reset" not in name] == ["eh_abort_handler"]
    assert len(host["handlers"]) == 5
    lose()
    (host,) = serving.http.get("eh").json()["items"]
    assert [(step["action"], step["subject"], step["outcome"]) for step in host["recent"]] == STEPS
    assert (host["state"], host["trouble_s"], host["late_done"]) == ("running", None, 0)


def test_one_host_and_one_device(serving: Serving, lose: Lose) -> None:
    lose()
    assert len(serving.http.get("eh", params={"of": "0"}).json()["items"][0]["recent"]) == len(STEPS)
    (other,) = serving.http.get("eh", params={"of": "sg1"}).json()["items"]
    assert other["devices"] == [{"address": "0:0:0:1", "state": "running", "held": False}]
    assert [step["action"] for step in other["recent"]] == ["begin", "end"], "those of the host are about it"
    assert serving.http.get("eh", params={"of": "7"}).status_code == 404
    assert serving.http.get("eh", params={"of": "0:0:0:7"}).status_code == 404


def test_steps_are_events(serving: Serving, lose: Lose, capsys: pytest.CaptureFixture[str]) -> None:
    since = serving.daemon.scsimon.event_count
    lose()
    events = recoveries(serving, since)
    assert [(event["action"], event["subject"], event["outcome"]) for event in events] == STEPS
    assert [event.get("address") for event in events if event["action"] in ("begin", "abort")] == [
        "0:0:0:0",
        None,
    ]
    assert main(["events", "--since", str(since), "--socket", str(serving.path)]) == 0
    assert "recovery     0:0:0:0      abort: failed" in capsys.readouterr().out


def test_while_it_recovers(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of the driver is as good a moment as any to look."""
    seen = []

    def look(driver: VirtualDriver, command: object) -> int:
        seen.append(serving.http.get("eh").json()["items"][0])
        return 0x2002

    monkeypatch.setattr(VirtualDriver, "eh_device_reset_handler", look)
    (device, _) = serving.daemon.subsystem.devices()
    device.host.eh_deadline = 60
    add_fault(device, opcode="READ(10)", lost=True, times=1)
    add_fault(device, fail="abort", times=1)
    execute(device, READ, data_in=512, timeout_s=0.02)
    (host,) = seen
    assert (host["state"], host["deadline_s"]) == ("recovery", 60)
    assert 0 <= host["trouble_s"] < 10
    assert host["recoveries"] == [{"scope": "0", "running": True, "waiting": 0}]
    assert [one["held"] for one in host["devices"]] == [True, True]
    documented = shape(EXAMPLES["midlayer eh status --json"])["items"][0]
    assert shape(host) == documented | {"deadline_s": "number"}


def test_the_verb(serving: Serving, lose: Lose, capsys: pytest.CaptureFixture[str]) -> None:
    lose()
    (device, _) = serving.daemon.subsystem.devices()
    serving.daemon.subsystem.set_device_state(device, DeviceState.OFFLINE)
    socket = ["--socket", str(serving.path)]
    assert main(["eh", "status", *socket]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "host 0: test array: running",
        "  scope host, deadline none, completed too late: 0",
        "  handlers: abort, device reset, target reset, bus reset, host reset",
        "  0:0:0:0: offline",
    ]
    assert lines[5].endswith("  0:0:0:0      abort: failed")
    assert len(lines) == 4 + len(STEPS)
    assert main(["eh", "status", "sg0", "--json", *socket]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == list(EXAMPLES["midlayer eh status --json"])
    assert list(answer["items"][0]) == list(EXAMPLES["midlayer eh status --json"]["items"][0])


def test_follow(serving: Serving, lose: Lose, capsys: pytest.CaptureFixture[str],
                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    lose()
    stream = serving.http.get("events").json()["items"]
    other = recoveries(serving)[1] | {"subject": "0:0:0:1"}
    told = [*stream, other]
    monkeypatch.setattr("midlayer.frontends.cli.client.Client.stream", lambda self, since: iter(told))
    assert main(["eh", "status", "0:0:0:0", "--follow", "--json", "--socket", str(serving.path)]) == 15
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["action"] for event in printed[1:]] == [step[0] for step in STEPS]
    assert main(["eh", "status", "0", "--follow", "--json", "--socket", str(serving.path)]) == 15
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(STEPS) + 1


def test_keys_of_a_virtual_host(tmp_path: Path) -> None:
    text = '[[host]]\ndriver = "virtual"\neh_scope = "device"\neh_deadline = 7\n'
    (spec,) = parse(text).virtual_hosts
    assert (spec.eh_scope, spec.eh_deadline) == ("device", 7)
    assert (spec := parse('[[host]]\ndriver = "virtual"\n').virtual_hosts[0]).eh_scope == "host"
    assert spec.eh_deadline == -1
