"""``midlayer up`` on the kernel's own SCSI subsystem: what comes and goes is in its lists."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .eventually import eventually
from .nodes import block_node, udev_stopped
from .running import Up
from .scsi_debug import SCSI_DEVICES, ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    running.start()
    yield running
    running.close()


def complete(up: Up, host: int, number: int) -> list[dict[str, Any]]:
    """Return the attached devices of a host once all have their nodes."""
    items = up.items("attached", host)
    ready = all("sg" in item["names"] and "sd" in item["names"] for item in items)
    return items if len(items) == number and ready else []


def lsscsi() -> dict[str, list[str]]:
    """Return what lsscsi -g prints, by address: type, vendor, model…, sd node, sg node."""
    lines = subprocess.run(["lsscsi", "-g"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0].strip("[]"): line.split()[1:] for line in lines}


def test_a_host_that_comes_and_goes_is_recorded(
    scsi_debug: LoadScsiDebug, up: Up, qemu_disk: Path, qemu_cd: Path
) -> None:
    there = {item["address"]: item for item in up.items("attached")}
    assert there[qemu_disk.name]["model"] == "QEMU HARDDISK"
    assert there[qemu_cd.name]["type_name"] == "CD-ROM"

    debug = scsi_debug(num_tgts=2, max_luns=3, add_host=0)
    before = up.get("status")["event_count"]
    host = debug.add_host()
    items = eventually(lambda: complete(up, host, 6), reason="six disks with their nodes")
    assert [item["address"] for item in items] == [
        f"{host}:0:{target}:{lun}" for target in range(2) for lun in range(3)
    ]
    listed = lsscsi()
    for item in items:
        device = SCSI_DEVICES / item["address"]
        assert item["vendor"] == (device / "vendor").read_text().strip()
        assert item["model"] == (device / "model").read_text().strip()
        assert item["inquiry"] == (device / "inquiry").read_bytes().hex()
        assert item["wwid"] == (device / "wwid").read_text().strip()
        assert [f"/dev/{item['names']['sd']}", f"/dev/{item['names']['sg']}"] == listed[item["address"]][-2:]
    attaches = up.events(before, "attach")
    assert [event["address"] for event in attaches] == [item["address"] for item in items]
    assert [event["event_count"] for event in attaches] == [item["attach_count"] for item in items]
    assert not any(event["by_resync"] for event in attaches)
    assert host in [entry["host"] for entry in up.items("hosts")]

    debug.remove_host()

    def all_gone() -> list[dict[str, Any]]:
        found = up.items("detached", host)
        return found if len(found) == 6 else []

    gone = eventually(all_gone, reason="six detaches")
    kept = {item["address"]: item for item in gone}
    for item in items:
        detached = kept[item["address"]]
        for key in ("vendor", "model", "revision", "inquiry", "serial", "wwid", "host_data", "attach_count"):
            assert detached[key] == item[key], key
        assert detached["detach_count"] > max(other["attach_count"] for other in items)
    eventually(lambda: host not in [entry["host"] for entry in up.items("hosts")], reason="the host to go")
    assert up.stop() == 0


def test_a_host_without_devices_is_in_the_host_list(scsi_debug: LoadScsiDebug, up: Up) -> None:
    debug = scsi_debug(num_tgts=0, add_host=0)
    host = debug.add_host()
    entry = eventually(
        lambda: next((entry for entry in up.items("hosts") if entry["host"] == host), None), reason="the host"
    )
    assert entry["driver"] == "scsi_debug"
    assert up.items("attached", host) == []


def test_a_restart_keeps_sessions_and_finds_what_went(scsi_debug: LoadScsiDebug, up: Up) -> None:
    debug = scsi_debug(num_tgts=1, max_luns=2)
    (host,) = debug.hosts()
    items = eventually(lambda: complete(up, host, 2), reason="two disks with their nodes")
    before = up.get("status")["event_count"]
    up.kill()
    (SCSI_DEVICES / items[1]["address"] / "delete").write_text("1\n")
    up.start()
    (stayed,) = up.items("attached", host)
    assert stayed["attach_count"] == items[0]["attach_count"], "the session went on, its count must too"
    (detach,) = up.events(before, "detach")
    assert detach["address"] == items[1]["address"]
    assert detach["attach_count"] == items[1]["attach_count"]
    assert detach["by_resync"] is True
    (gone,) = up.items("detached", host)
    assert gone["detach_by_resync"] is True


def test_offline_online_unplug_and_plug_go_through_the_kernel(scsi_debug: LoadScsiDebug, up: Up) -> None:
    debug = scsi_debug()
    (host,) = debug.hosts()
    (item,) = eventually(lambda: complete(up, host, 1), reason="a disk with its nodes")
    address, state = item["address"], SCSI_DEVICES / item["address"] / "state"
    up.post("state", device=address, state="offline")
    assert state.read_text().strip() == "offline"
    assert up.items("attached", host)[0]["state"] == "offline"
    up.post("state", device=address, state="running")
    assert state.read_text().strip() == "running"
    up.post("unplug", device=address)
    assert not (SCSI_DEVICES / address).exists()
    assert up.items("attached", host) == []
    answer = up.post("plug", device=address)
    assert answer["address"] == address
    (again,) = up.items("attached", host)
    assert again["attach_count"] > item["attach_count"]


def test_a_rescan_plans_first_and_removes_only_what_nobody_uses(scsi_debug: LoadScsiDebug, up: Up) -> None:
    debug = scsi_debug(max_luns=2)
    (host,) = debug.hosts()
    items = eventually(lambda: complete(up, host, 2), reason="two disks with their nodes")
    gone, kept = items[1]["address"], items[0]["address"]
    (SCSI_DEVICES / gone / "delete").write_text("1\n")
    eventually(lambda: len(up.items("attached", host)) == 1, reason="the detach")
    plan = up.post("rescan", host=host, plan=True)["items"]
    assert (gone, "add") in [(step["address"], step["action"]) for step in plan]
    assert len(up.items("attached", host)) == 1, "a plan changes nothing"
    up.post("rescan", host=host)
    assert [item["address"] for item in up.items("attached", host)] == [kept, gone]

    block_node(SCSI_DEVICES / gone)
    with udev_stopped():  # while it reads the disk is in use
        debug.set("max_luns", 1)  # LUN 1 answers no more
        plan = up.post("rescan", host=host, plan=True, remove=True)["items"]
        assert (gone, "remove") in [(step["address"], step["action"]) for step in plan]
        assert (kept, "remove") not in [(step["address"], step["action"]) for step in plan]
        up.post("rescan", host=host, remove=True)
    assert [item["address"] for item in up.items("attached", host)] == [kept]
