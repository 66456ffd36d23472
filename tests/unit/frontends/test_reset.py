"""Resets, by the daemon's API and by the verb."""

from __future__ import annotations

import json

import pytest

from midlayer.errors import NodeError, UsageError
from midlayer.frontends.cli.main import main
from midlayer.lower.virtual import VirtualDriver
from midlayer.mid.command import Command
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock, ScriptedDriver
from midlayer.upper.sg.reset import LADDER, reset_or_fail

from .serving import Serving


def give_handlers(target: object, *succeed: str, monkeypatch: pytest.MonkeyPatch | None = None) -> list[str]:
    """Give a driver all handlers, of which some succeed; returns what is called."""
    called: list[str] = []

    def handler(level: str) -> object:
        def handle(*arguments: Command) -> int:
            called.append(level)
            return SUCCESS if level in succeed else 0x2003

        return handle

    for level, name in LADDER.items():
        if monkeypatch is not None:
            monkeypatch.setattr(target, name, handler(level), raising=False)
        else:
            setattr(target, name, handler(level))
    return called


@pytest.mark.parametrize(
    ("level", "escalate", "done", "called"),
    [
        ("device", True, "bus", ["device", "target", "bus"]),
        ("target", True, "bus", ["target", "bus"]),
        ("bus", False, "bus", ["bus"]),
        ("device", False, None, ["device"]),
        ("host", True, None, ["host"]),
    ],
)
def test_the_ladder(level: str, escalate: bool, done: str | None, called: list[str]) -> None:
    driver = ScriptedDriver()
    driver.unit(0, 0, 0)
    tried = give_handlers(driver, "bus")
    (device,) = driver.start(Subsystem(clock=FakeClock())).devices()
    if done is None:
        with pytest.raises(NodeError, match="0:0:0:0: no reset succeeded") as caught:
            reset_or_fail(device, level, escalate=escalate)
        assert caught.value.errno == 5
    else:
        assert reset_or_fail(device, level, escalate=escalate) == done
    assert tried == called


def test_a_driver_without_handlers_and_a_level_that_is_none() -> None:
    driver = ScriptedDriver()
    driver.unit(0, 0, 0)
    (device,) = driver.start(Subsystem(clock=FakeClock())).devices()
    with pytest.raises(NodeError, match="driver scripted host has none for device, target, bus, host"):
        reset_or_fail(device, "device")
    with pytest.raises(UsageError, match="'planet': write device, target, bus, host"):
        reset_or_fail(device, "planet")


def test_the_api(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    called = give_handlers(VirtualDriver, "target", monkeypatch=monkeypatch)
    answer = serving.http.post("reset", json={"device": "sg0"})
    assert answer.json() == {"address": "0:0:0:0", "level": "target"}
    assert called == ["device", "target"]
    refused = serving.http.post("reset", json={"device": "sg0", "level": "host", "escalate": False})
    assert (refused.status_code, refused.json()["exit_status"]) == (502, 55)
    assert serving.http.post("reset", json={"device": "sg0", "level": "x"}).status_code == 400


def test_the_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    called = give_handlers(VirtualDriver, "bus", monkeypatch=monkeypatch)
    assert main(["reset", "virtual:disk?size=1M"]) == 0
    assert capsys.readouterr().out == "0:0:0:0: bus reset\n"
    assert main(["reset", "virtual:disk?size=1M", "-t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"address": "0:0:0:0", "level": "bus"}
    assert main(["reset", "virtual:disk?size=1M", "--host", "--no-escalate"]) == 55
    assert "no reset succeeded (host)" in capsys.readouterr().err
    assert called == ["device", "target", "bus", "target", "bus", "host"]
