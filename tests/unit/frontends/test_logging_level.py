"""SCSI logging from the command line and over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from midlayer.errors import UsageError
from midlayer.frontends.cli import logging_level
from midlayer.frontends.daemon.logging_level import add_logging
from midlayer.mid.command_trace import CommandTrace
from midlayer.mid.subsystem import Subsystem


class FakeClient:
    """Stands in for the client of a daemon that has just the two calls."""

    def __init__(self) -> None:
        self.trace = CommandTrace(Subsystem())
        self._app = FastAPI()
        add_logging(self._app, self.trace)

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def get(self, path: str) -> Any:
        return self.send("GET", path).raise_for_status().json()

    def post(self, path: str, **wish: Any) -> Any:
        return self.send("POST", path, wish).raise_for_status().json()

    def send(self, method: str, path: str, wish: Any = None) -> httpx.Response:
        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://midlayer/v1/") as http:
                return await http.request(method, path, json=wish)

        return asyncio.run(exchange())


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    monkeypatch.setattr(logging_level, "Client", lambda path: client)
    return client


def run(action: str, *levels: str, as_json: bool = False) -> int:
    options = argparse.Namespace(action=action, levels=list(levels), socket=Path("m.sock"), json=as_json)
    return logging_level.logging(options)


def test_get_at_first(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("get") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["scsi_logging_level 0x0", "FIELD       LEVEL", "error       0"]
    assert lines[-1] == "ioctl       0"


def test_set_fields_and_a_number(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("set", "mlqueue=2", "scan=1", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["level"] == client.trace.level == 0o2100
    run("set", "scan=0")
    assert client.trace.level == 0o2000
    run("set", "0x7")
    assert client.trace.level == 7
    run("set", "all=0")
    assert client.trace.level == 0


@pytest.mark.parametrize("words", [("get", "scan=1"), ("set",), ("set", "scan"), ("set", "x")])
def test_mistakes(client: FakeClient, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*words)


@pytest.mark.parametrize("wish", [{"level": -1}, {"level": 1 << 30}, {"fields": {"scan": "x"}}, {"other": 1}])
def test_requests_of_no_shape(client: FakeClient, wish: dict[str, Any]) -> None:
    assert client.send("POST", "logging", wish).status_code == 422
    assert client.trace.level == 0
