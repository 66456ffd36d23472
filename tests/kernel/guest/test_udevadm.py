"""Rules on the kernel's SCSI devices: midlayer and Debian's udevadm test, side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import rule_judge, udev_packages

from midlayer.rules import scsi_id
from midlayer.rules.sysfs_view import SysfsView
from midlayer.rules.text import parse_property

from .eventually import eventually
from .nodes import block_node, generic_node, settle
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]

SETS = {
    "udev": ("udev",),
    "sg3-utils": ("udev", "sg3-utils-udev"),
    "all": udev_packages.PACKAGES,
}
LVM_AND_MULTIPATH = ("udev", "multipath-tools", "kpartx", "lvm2", "dmsetup")

UDEVS_OWN_BUILTINS = ("ID_FS_", "ID_PART_")
"""blkid as a library tells a little more than the program."""

UUID = "0f3e6dc4-7a53-4a5e-9c0e-3d1b7d0c5a11"

DOCUMENT_001 = b"""\
SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", RUN+="/usr/sbin/sg-test.sh $tempnode $kernel"
"""
PARENTS = rb"""
SUBSYSTEMS=="scsi", ATTRS{vendor}=="Linux", ATTRS{type}=="0", ENV{P_ONE}="$id $driver $attr{model}"
KERNELS=="host*", ATTRS{vendor}=="Linux", ENV{P_MIXED}="1"
SUBSYSTEMS=="scsi", KERNELS=="host*", ENV{P_HOST}="$id"
ENV{P_KEPT}="$id $driver"
SUBSYSTEMS=="no-such", ENV{P_NEVER}="1"
ENV{P_LOST}="[$id$driver]"
ATTRS{vendor}=="Linux   ", ENV{P_TRAILING_SPACE}="1"
ATTRS{vendor}=="Linux", ENV{P_NO_SPACE}="$attr{vendor}|$attr{rev}"
ATTR{removable}=="0", ENV{P_OWN}="$attr{size} $attr{queue/rotational} $attr{device/vendor}"
DRIVERS=="sd", ENV{P_DRIVER}="$driver"
DRIVER=="", ENV{P_NO_DRIVER}="1"
ATTRS{inquiry}=="*", ENV{P_BINARY}="1"
TEST=="queue/scheduler", ENV{P_TEST}="1"
TEST=="device/vpd_pg83", ENV{P_VPD}="1"
SYMLINK+="d/$attr{vendor}-$attr{model}-$number-%n"
ENV{DEVTYPE}=="disk", IMPORT{parent}="*", ENV{P_IMPORT}="$env{MODALIAS}"
IMPORT{program}="scsi_id --export --whitelisted -d $devnode"
RUN+="/bin/x $attr{model} %M:%m $env{ID_SERIAL}"
"""


def compare(path: Path, rules: dict[str, bytes], action: str = "add") -> rule_judge.Judged:
    judged = rule_judge.udevadm_test(str(path), rules, action)
    outcome = rule_judge.ours(str(path), rules, action)
    assert rule_judge.difference(outcome, judged, but=UDEVS_OWN_BUILTINS) == []
    return judged


def block(device: Path) -> Path:
    return (device / "block" / Path(block_node(device)).name).resolve()


def generic(device: Path) -> Path:
    return (device / "scsi_generic" / Path(generic_node(device)).name).resolve()


@pytest.fixture
def disk(scsi_debug: LoadScsiDebug) -> Path:
    (device,) = eventually(scsi_debug().devices)
    return device


@pytest.mark.parametrize("name", SETS)
def test_a_scsi_debug_disk(disk: Path, name: str) -> None:
    judged = compare(block(disk), udev_packages.rule_files(*SETS[name]))
    assert judged.properties["ID_SERIAL"]
    assert any(link.startswith("disk/by-id/") for link in judged.links)


def test_a_cd_drive_and_a_disk_of_qemu(qemu_cd: Path, qemu_disk: Path) -> None:
    rules = udev_packages.rule_files()
    assert compare(block(qemu_cd), rules).properties["ID_CDROM"] == "1"
    assert any(link.startswith("disk/by-path/pci-") for link in compare(block(qemu_disk), rules).links)


def test_a_file_system_and_a_partition(disk: Path) -> None:
    whole = block(disk)
    node = f"/dev/{whole.name}"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "data", "-U", UUID, node], check=True)
    rules = udev_packages.rule_files()
    links = compare(whole, rules).links
    assert {f"disk/by-uuid/{UUID}", "disk/by-label/data"} <= links
    table = "label: gpt\nname=first\n"
    settle()  # udev has the kernel read the partitions of each disk that somebody has written to, mkfs too
    subprocess.run(["sfdisk", "-q", "--wipe=always", node], input=table.encode(), check=True)
    settle()  # and when they are read again, they go and come
    (part,) = eventually(lambda: list(whole.glob(f"{whole.name}1")), reason="a partition")
    assert any(link.startswith("disk/by-partuuid/") for link in compare(part, rules).links)


def test_scsi_id_is_what_udevs_program_says(disk: Path, qemu_disk: Path, qemu_cd: Path) -> None:
    program = udev_packages.tree("udev") / "lib" / "udev" / "scsi_id"
    for device in (disk, qemu_disk, qemu_cd):
        path = block(device)
        command = [program, "--export", "--whitelisted", "-d", f"/dev/{path.name}"]
        theirs = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        view = SysfsView.find(str(path))
        assert view is not None
        ours = [parse_property(line) for line in scsi_id.as_program(view).output.splitlines()]
        kept = [parse_property(line) for line in theirs.splitlines()]
        assert [one for one in ours if one] == [one for one in kept if one]


def test_multipath_and_lvm_on_a_change(disk: Path) -> None:
    compare(block(disk), udev_packages.rule_files(*LVM_AND_MULTIPATH), "change")


def test_a_unit_and_its_sg_node(disk: Path) -> None:
    rules = udev_packages.rule_files()
    compare(disk.resolve(), rules)
    compare(generic(disk), rules)


def test_parents_and_attributes(disk: Path) -> None:
    judged = compare(block(disk), {"50-parents.rules": PARENTS})
    assert judged.properties["P_ONE"].endswith(" sd scsi_debug")
    assert "P_MIXED" not in judged.properties


def test_the_rule_of_document_001(disk: Path, tmp_path: Path) -> None:
    node = generic(disk)
    judged = compare(node, {"50-test-sg.rules": DOCUMENT_001})
    assert judged.run == [f"/usr/sbin/sg-test.sh /dev/{node.name} {node.name}"]
    (tmp_path / "50-test-sg.rules").write_bytes(DOCUMENT_001)
    command = [sys.executable, "-m", "midlayer", "rules", "test", f"/dev/{node.name}", "--json"]
    printed = subprocess.run([*command, "--rules", str(tmp_path)], check=True, capture_output=True).stdout
    assert [run["command"] for run in json.loads(printed)["run"]] == judged.run
