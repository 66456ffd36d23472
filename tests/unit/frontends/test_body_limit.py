"""Bodies that are too long for the daemon's memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midlayer.frontends.daemon import body_limit

from .serving import Serving

MOST = 1000
REFUSED = {"error": f"POST /v1/plug: the body has more than {MOST} bytes", "exit_status": 1}


@pytest.fixture
def limited(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setattr(body_limit.BodyLimit.__init__, "__defaults__", (MOST,))
    return serving


def pieces(length: int) -> Iterator[bytes]:
    for at in range(0, length, 100):
        yield b" " * min(100, length - at)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_long(limited: Serving, announced: bool) -> None:
    for length, status in ((MOST + 1, 413), (MOST, 422)):
        body = b" " * length if announced else pieces(length)
        answer = limited.http.post("plug", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
        assert status == 422 or answer.json() == REFUSED
    assert limited.http.get("status").status_code == 200
