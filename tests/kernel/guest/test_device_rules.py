"""Rules that the daemon carries out on the kernel's devices: actions, names, attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .eventually import eventually
from .nodes import settle
from .running import Up
from .scsi_debug import SCSI_DEVICES, ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]

RULES = """\
SUBSYSTEMS=="scsi", ATTRS{model}!="RULED*", GOTO="end"
ACTION=="add", KERNEL=="*:*:*:0", SUBSYSTEM=="scsi", ATTR{queue_depth}="2", RUN{builtin}+="log $kernel"
SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", KERNELS=="*:*:*:0", SYMLINK+="ruled/$kernel boot_disk"
KERNEL=="*:*:*:1", SUBSYSTEM=="scsi", RUN{builtin}+="scsi_remove_device"
KERNEL=="*:*:*:2", SUBSYSTEM=="scsi", RUN{builtin}+="offline"
KERNEL=="*:*:*:3", SUBSYSTEM=="scsi", RUN{builtin}+="quarantine not ours"
LABEL="end"
"""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d/50-a.rules").write_text(RULES)
    running = Up(tmp_path, '\n[rules]\ndirectories = ["rules.d"]\n')
    running.start()
    yield running
    running.close()


def idle(up: Up) -> None:
    """Wait until everything has run for all events, those that follow from it included."""

    def done() -> bool:
        last = up.get("status")["event_count"]
        return bool(up.get("agents")["position"] >= last and up.get("status")["event_count"] == last)

    eventually(done, interval_s=0.2, reason="rules to have run")


def test_rules_on_the_kernels_devices(scsi_debug: LoadScsiDebug, up: Up) -> None:
    debug = scsi_debug(inq_product="RULED", max_luns=4)
    (host,) = debug.hosts()
    at = [f"{host}:0:0:{lun}" for lun in range(4)]

    def named() -> list[dict[str, Any]]:
        return [item for item in up.items("attached", host) if item["links"]]

    (disk,) = eventually(named, reason="the links")
    # The kernel adds one after the other, and may not be done with the last when the first has its links.
    eventually(lambda: up.get("quarantined")["items"], reason="the quarantine")
    eventually(lambda: at[2] in [item["address"] for item in up.items("attached", host)], reason=at[2])
    eventually(lambda: up.events(0, "detach"), reason=f"{at[1]} to go")
    idle(up)
    settle()

    assert not (SCSI_DEVICES / at[1]).exists(), "scsi_remove_device: the kernel has deleted it"
    assert [event["address"] for event in up.events(0, "detach")] == [at[1]]
    assert (SCSI_DEVICES / at[2] / "state").read_text() == "offline\n"
    (held,) = up.get("quarantined")["items"]
    assert (held["address"], held["rule"].rpartition(": ")[2]) == (at[3], "not ours")
    assert (SCSI_DEVICES / at[3]).exists(), "held: the kernel's device stays"
    assert {item["address"] for item in up.items("attached", host)} == {at[0], at[2]}
    assert [event for event in up.events(0, "attach") if event["address"] == at[3]] == []

    sd = disk["names"]["sd"]
    assert (SCSI_DEVICES / at[0] / "queue_depth").read_text() == "2\n"
    assert disk["links"] == [f"ruled/{sd}", "boot_disk"]
    assert up.stop() == 0
