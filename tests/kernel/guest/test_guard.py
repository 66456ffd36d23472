"""``midlayer guard`` around a real mount: the disk is swapped in between, and the mount is undone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midlayer.frontends.cli.guard import ROLLED_BACK

from .eventually import LIMIT_S, eventually
from .nodes import block_node, settle
from .running import Up
from .scsi_debug import SCSI_DEVICES, SCSI_HOSTS, ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    running.start()
    yield running
    running.close()


def disk(up: Up, host: int) -> dict[str, Any]:
    """Return the one disk of a host, with its nodes."""

    def find() -> list[dict[str, Any]]:
        return [item for item in up.items("attached", host) if {"sg", "sd"} <= set(item["names"])]

    (item,) = eventually(find, reason="a disk with its nodes")
    return item


def guard(up: Up, device: str, roll_back: str, script: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "midlayer.frontends.cli.main",
        "guard",
        "--socket",
        str(up.socket),
        device,
    ]
    return subprocess.run(
        [*command, "--rollback", roll_back, "--", "sh", "-ec", script],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip


def test_a_disk_swapped_before_the_mount_is_unmounted(
    scsi_debug: LoadScsiDebug, up: Up, tmp_path: Path
) -> None:
    debug = scsi_debug(dev_size_mb=16)
    (host,) = debug.hosts()
    item = disk(up, host)
    address, node = item["address"], item["names"]["sd"]
    assert block_node(SCSI_DEVICES / address) == f"/dev/{node}"
    subprocess.run(["mkfs.ext4", "-q", "-F", f"/dev/{node}"], check=True)
    place = tmp_path / "mnt"
    place.mkdir()

    done = guard(up, address, f"umount {place}", f"mount /dev/{node} {place}")
    assert done.returncode == 0, done.stderr
    assert os.path.ismount(place), "the same disk all the time"
    subprocess.run(["umount", str(place)], check=True)

    # Between the look and the mount: the disk goes, another one comes and is given the same name.
    settle()  # as long as udev had the first one open its name would not be free
    swap = (
        f"echo 1 > {SCSI_DEVICES / address}/delete; echo '- - -' > {SCSI_HOSTS}/host{host}/scan; "
        # The node is there before it can be opened.
        f"until test -b /dev/{node} && mount /dev/{node} {place}; do :; done; mountpoint -q {place}"
    )
    done = guard(up, address, f"umount {place}", swap)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "attached by event" in done.stderr
    assert not os.path.ismount(place)
    assert disk(up, host)["attach_count"] > item["attach_count"]
