"""The harness of the kernel tier: statuses come back, and nothing outlives its deadline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import boot, prepare

REPOSITORY = Path(__file__).parents[2]


def processes_naming(text: str) -> list[str]:
    """Return the command lines of the running processes that mention ``text``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if text in line:
            found.append(line)
    return found


def test_status_and_output_come_back(kernel: prepare.Kernel) -> None:
    completed = boot.run_in_guest(
        ["sh", "-c", 'uname -r; pwd; echo "$WORD"; echo gone > setup.cfg; exit 7'],
        cwd=REPOSITORY,
        timeout_s=600,
        environment={"WORD": "two words"},
    )
    assert completed.status == 7
    assert completed.output.splitlines() == [kernel.release, str(REPOSITORY), "two words"]
    assert not (REPOSITORY / "setup.cfg").exists(), "the guest's writes stay in the guest"


@pytest.mark.usefixtures("kernel")
def test_a_guest_is_killed_at_its_deadline() -> None:
    with boot.Guest(["sleep", "3600"], cwd=REPOSITORY, timeout_s=2.0) as guest:
        exchange = guest.exchange
        assert guest.running()
        with pytest.raises(boot.GuestTimeoutError, match="killed after 2 s"):
            guest.wait()
        assert not processes_naming(str(exchange))
    assert not exchange.exists()


@pytest.mark.usefixtures("kernel")
def test_leaving_early_kills_the_guest() -> None:
    with boot.Guest(["sleep", "3600"], cwd=REPOSITORY, timeout_s=60.0) as guest:
        exchange = str(guest.exchange)
        assert processes_naming(exchange)
    assert not processes_naming(exchange)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIDLAYER_CACHE", str(tmp_path))
    monkeypatch.setenv("MIDLAYER_KERNEL", "linux-image-of-nobody")
    with pytest.raises(prepare.Unavailable, match="linux-image-of-nobody") as caught:
        prepare.find()
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == []
