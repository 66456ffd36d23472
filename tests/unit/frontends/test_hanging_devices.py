"""Commands that do not come back, in numbers, and calls of the API that have nothing to do with them."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from midlayer.errors import NoSuchDevice
from midlayer.frontends.daemon import app
from midlayer.frontends.daemon.waiting import MOST_WAITING

from .serving import SOON_S, Serving

CALLS = 50  # more than the threads that the server has for everything else
WISH = {"device": "0:0:0:0", "cdb": "000000000000"}


def test_other_calls_are_answered(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CALLS < MOST_WAITING
    begun, end, statuses = threading.Semaphore(0), threading.Event(), []

    def hang(*_: Any, **__: Any) -> None:
        begun.release()
        end.wait(2 * SOON_S)
        raise NoSuchDevice("it never came back")

    def call() -> None:
        transport = httpx.HTTPTransport(uds=str(serving.path))
        with httpx.Client(transport=transport, base_url="http://midlayer/v1/", timeout=SOON_S) as http:
            statuses.append(http.post("execute", json=WISH).status_code)

    monkeypatch.setattr(app, "execute", hang)
    threads = [threading.Thread(target=call) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    assert all(begun.acquire(timeout=SOON_S) for _ in threads)
    assert serving.http.get("status").json()["devices"] == 2
    assert serving.http.post("unplug", json={"device": "0:0:0:0", "force": True}).status_code == 200
    end.set()
    for thread in threads:
        thread.join(SOON_S)
    assert statuses == [404] * CALLS
