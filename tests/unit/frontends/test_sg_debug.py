"""Open descriptors and their requests, over HTTP and from the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from midlayer.frontends.cli import sg as verb
from midlayer.frontends.daemon.sg_debug import add_sg_debug
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg.descriptor import SgFile
from midlayer.upper.sg.device import SgNodes

from .test_json_shapes import EXAMPLES, shape

CDB_AT = 0x10000


class Memory:
    """A CDB at one address, and room anywhere else."""

    def read(self, address: int, length: int) -> bytes:
        return bytes([0x28]).ljust(length, b"\0")

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        pass

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        return None


class FakeClient:
    """Stands in for the client of a daemon with a scripted disk."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        subsystem = Subsystem(clock=self.clock)
        self.nodes = SgNodes()
        driver = ScriptedDriver()
        driver.unit(0, 0, 0).on(0x28, Answer(later=True))
        subsystem.register_upper(self.nodes)
        driver.start(subsystem)
        self._app = FastAPI()
        add_sg_debug(self._app, subsystem)

    def open(self) -> SgFile:
        return self.nodes.device(0).open(os.O_RDWR)

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def get(self, path: str) -> Any:
        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://midlayer/v1/") as http:
                return await http.get(path)

        return asyncio.run(exchange()).raise_for_status().json()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    monkeypatch.setattr(verb, "Client", lambda path: client)
    return client


def header(pack_id: int) -> bytes:
    return struct.pack(
        "=iiBBHIQQQIIi4xQ24x", 83, -3, 10, 0, 0, 512, CDB_AT + 64, CDB_AT, 0, 5000, 0, pack_id, 0
    )


def run(*, as_json: bool = False, follow: bool = False) -> int:
    options = argparse.Namespace(
        what="debug", socket=Path("m.sock"), json=as_json, follow=follow, interval=0.5
    )
    return verb.sg(options)


def test_json_is_as_documented(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    file = client.open()
    file.write(header(7), Memory())
    client.clock.advance(0.0125)
    assert run(as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    documented = EXAMPLES["midlayer sg debug --json"]
    assert shape(answer) == shape(documented)
    assert (
        answer["items"][0]["descriptors"][0]["requests"]
        == documented["items"][0]["descriptors"][0]["requests"]
    )


def test_a_table_of_requests_and_of_descriptors_without(
    client: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.open().write(header(7), Memory())
    client.open()
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["sg0", "1", "act", "7", "READ(10)", "rb", "512", "1", "0", "5000"]
    assert lines[2].split() == ["sg0", "2", *"--------"]
    assert lines[3] == "2 open, 1 requests, reserved by default 32768 bytes"


def test_nobody_has_anything_open(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert "0 open, 0 requests" in capsys.readouterr().out


def test_follow_prints_until_it_is_told_to_end(
    client: FakeClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt
        client.open()

    monkeypatch.setattr(verb.time, "sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        run(as_json=True, follow=True)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(each["items"]) for each in printed] == [0, 1, 1]
    assert printed[2]["items"][0]["open_count"] == 2
    assert waits == [0.5] * 3
