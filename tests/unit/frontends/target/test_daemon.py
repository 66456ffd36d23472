"""Targets of a daemon: the API and the verb ``target``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midlayer.frontends.cli.main import main

from ..serving import Serving
from ..test_json_shapes import EXAMPLES
from .initiator import INITIATOR, TARGET, Initiator

PORTAL = re.compile(r"127\.0\.0\.1:(\d+)")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Serving]:
    running = Serving(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def midlayer(daemon: Serving, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a verb in this process; return its status and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--socket", str(daemon.path)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_target_verbs(midlayer: Callable[..., tuple[int, str, str]]) -> None:
    assert midlayer("target", "list") == (0, "no targets\n", "")
    status, printed, _ = midlayer(
        "target", "add", TARGET, "0:0:0:0", "5=0:0:0:1:ro", "--portal", "127.0.0.1:0"
    )
    match = PORTAL.search(printed)
    assert status == 0
    assert match is not None
    status, printed, _ = midlayer("target", "list")
    assert "0=0:0:0:0 5=0:0:0:1:ro" in printed
    assert "everybody" in printed
    initiator = Initiator(int(match[1]))
    try:
        status, printed, _ = midlayer("target", "sessions")
        assert INITIATOR in printed
        assert midlayer("target", "drop", "1")[:2] == (0, "session 1 ended\n")
        assert initiator.ended()
    finally:
        initiator.close()
    status, printed, _ = midlayer("target", "acl", TARGET, "--allow", INITIATOR)
    assert printed == f"{TARGET}: {INITIATOR}\n"
    assert midlayer("target", "remove", TARGET)[0] == 0
    status, _, complaint = midlayer("target", "remove", TARGET)
    assert status != 0
    assert "there is no such target" in complaint


def test_what_add_refuses(
    midlayer: Callable[..., tuple[int, str, str]], secret: Callable[[str, str], str]
) -> None:
    for arguments, says in (
        ((TARGET, "0:0:0:0", "--portal", "192.0.2.1"), "not a loopback address"),
        ((TARGET, "x=0:0:0:0"), "must be a number"),
        ((TARGET, "0:0:0:0", "--chap", "nofile"), "a name, a colon"),
        (("disk", "0:0:0:0"), "is not an iSCSI name"),
    ):
        status, _, complaint = midlayer("target", "add", *arguments)
        assert status != 0
        assert says in complaint
    path = Path(secret("wide", "twelve bytes and more"))
    path.chmod(0o644)
    status, printed, complaint = midlayer("target", "add", TARGET, "0:0:0:0", "--chap", f"user:{path}")
    assert status != 0
    assert "others may read it" in complaint
    assert "twelve" not in printed + complaint


def test_json_shapes(
    midlayer: Callable[..., tuple[int, str, str]], secret: Callable[[str, str], str]
) -> None:
    midlayer("target", "add", TARGET, "0:0:0:0", "--portal", "127.0.0.1:0", "--allow", INITIATOR)
    listed: dict[str, Any] = json.loads(midlayer("target", "list", "--json")[1])
    documented = EXAMPLES["midlayer target list --json"]["items"][0]
    assert list(listed["items"][0]) == list(documented)
    assert list(listed["items"][0]["luns"][0]) == list(documented["luns"][0])
    match = PORTAL.fullmatch(listed["items"][0]["portals"][0])
    assert match is not None
    initiator = Initiator(int(match[1]))
    sessions = json.loads(midlayer("target", "sessions", "--json")[1])
    initiator.close()
    assert list(sessions["items"][0]) == list(EXAMPLES["midlayer target sessions --json"]["items"][0])
    chap = f"user:{secret('user', 'secret of the user')}"
    mutual = f"target:{secret('target', 'secret of the target')}"
    name = TARGET + ".chap"
    _, printed, _ = midlayer(
        *("target", "add", name, "0:0:0:0", "--portal", "127.0.0.1:0"),
        *("--chap", chap, "--mutual", mutual, "--json"),
    )
    (added,) = json.loads(printed)["items"]
    assert (added["chap"], added["mutual_chap"]) == (["user"], "target")
    assert "secret of" not in printed
