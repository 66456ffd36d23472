"""Who uses a device: the lines are those of a real machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.lower.linux.in_use import who_uses

MOUNTINFO = r"""25 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
90 25 8:17 / /srv/my\040data rw,relatime shared:40 - xfs /dev/sdb1 rw,attr2
91 25 0:45 / /pool rw,relatime shared:41 - btrfs /dev/sdc rw,space_cache
92 25 0:22 /sub /run rw - tmpfs tmpfs rw
"""
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdd1                               partition\t1\t0\t-2\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO)
    (tmp_path / "proc/swaps").write_text(SWAPS)
    return tmp_path / "proc"


def disk(tmp_path: Path, name: str, numbers: str, *, parts: dict[str, str] | None = None) -> Path:
    path = tmp_path / "device"
    block = path / "block" / name
    (block / "holders").mkdir(parents=True)
    (block / "queue").mkdir()
    (block / "dev").write_text(numbers + "\n")
    for part, part_numbers in (parts or {}).items():
        (block / part / "holders").mkdir(parents=True)
        (block / part / "partition").write_text("1\n")
        (block / part / "dev").write_text(part_numbers + "\n")
    return path


def test_nobody(tmp_path: Path, proc: Path) -> None:
    assert who_uses(disk(tmp_path, "sdz", "65:144"), proc) == ""


def test_a_mounted_partition(tmp_path: Path, proc: Path) -> None:
    assert who_uses(disk(tmp_path, "sdb", "8:16", parts={"sdb1": "8:17"}), proc) == "mounted on /srv/my data"


def test_btrfs_has_a_number_of_its_own(tmp_path: Path, proc: Path) -> None:
    assert who_uses(disk(tmp_path, "sdc", "8:32"), proc) == "mounted on /pool"


def test_swap(tmp_path: Path, proc: Path) -> None:
    assert who_uses(disk(tmp_path, "sdd", "8:48", parts={"sdd1": "8:49"}), proc) == "swap"


def test_holders_of_disk_and_partition(tmp_path: Path, proc: Path) -> None:
    path = disk(tmp_path, "sde", "8:64", parts={"sde1": "8:65"})
    (path / "block/sde/holders/md0").mkdir()
    (path / "block/sde/sde1/holders/dm-3").mkdir()
    assert who_uses(path, proc) == "held by dm-3, held by md0"


def test_commands_in_flight(tmp_path: Path, proc: Path) -> None:
    path = disk(tmp_path, "sdf", "8:80")
    (path / "device_busy").write_text("2\n")
    assert who_uses(path, proc) == "2 commands in flight"


def test_a_device_without_a_disk_and_a_machine_without_proc(tmp_path: Path) -> None:
    assert who_uses(tmp_path / "device", tmp_path / "proc") == ""
