"""Does the guest have what the other tests build on?"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .eventually import eventually
from .nodes import generic_node
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]


def sg_inq(device: Path) -> str:
    command = ["sg_inq", generic_node(device)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_scsi_debug_targets_and_luns_appear(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(num_tgts=2, max_luns=3)
    (host,) = debug.hosts()
    eventually(lambda: len(debug.devices()) == 6, reason="two targets of three logical units")
    assert [device.name for device in debug.devices()] == [
        f"{host}:0:{target}:{lun}" for target in range(2) for lun in range(3)
    ]


def test_scsi_debug_is_unloaded_between_tests() -> None:
    assert not Path("/sys/module/scsi_debug").exists()


def test_scsi_debug_hosts_come_and_go(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug()
    (first,) = debug.hosts()
    second = debug.add_host()
    eventually(lambda: debug.devices(second), reason=f"a logical unit of host{second}")
    assert debug.remove_host() == second
    assert debug.hosts() == [first]
    assert not debug.devices(second)


def test_scsi_debug_parameters_can_be_changed(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(every_nth=0)
    assert debug.get("every_nth") == "0"
    debug.set("every_nth", 7)
    assert debug.get("every_nth") == "7"


@pytest.mark.parametrize(("ptype", "name"), [(0, "disk"), (1, "tape"), (5, "cd/dvd")])
def test_sg_inq_names_the_device_type(scsi_debug: LoadScsiDebug, ptype: int, name: str) -> None:
    debug = scsi_debug(ptype=ptype)
    (device,) = eventually(debug.devices)
    assert f"Peripheral device type: {name}" in sg_inq(device)


def test_sg_inq_reaches_the_disk_of_qemu(qemu_disk: Path) -> None:
    assert "Product identification: QEMU HARDDISK" in sg_inq(qemu_disk)


def test_sg_inq_reaches_the_cd_drive_of_qemu(qemu_cd: Path) -> None:
    assert "Product identification: QEMU CD-ROM" in sg_inq(qemu_cd)


def test_the_checkout_is_the_one_under_test() -> None:
    assert Path(__file__).is_file()
    assert Path.cwd() in Path(__file__).parents
