"""The snapshot of /sys, /dev and /proc/scsi."""

from __future__ import annotations

import os
from pathlib import Path

from midlayer.frontends.daemon.core import Daemon
from midlayer.mid.logical_unit import DeviceState


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def text(path: Path) -> str:
    return path.read_text()


def test_a_device_by_every_way_to_it(daemon: Daemon, snapshot: Path) -> None:
    sysfs = snapshot / "sys"
    assert names(sysfs / "class/scsi_generic") == ["sg0", "sg1"]
    assert names(sysfs / "bus/scsi/devices") == ["0:0:0:0", "0:0:3:2", "host0", "target0:0:0", "target0:0:3"]
    assert text(sysfs / "class/scsi_generic/sg1/dev") == "21:1\n"
    assert text(sysfs / "dev/char/21:1/dev") == "21:1\n"
    assert text(sysfs / "class/scsi_generic/sg1/device/type") == "5\n"
    assert text(sysfs / "bus/scsi/devices/0:0:3:2/generic/dev") == "21:1\n"
    assert text(sysfs / "class/scsi_host/host0/proc_name") == "virtual\n"
    assert names(snapshot / "dev") == ["bsg", "sg0", "sg1"]
    assert names(snapshot / "dev/bsg") == ["0:0:0:0", "0:0:3:2"]


def test_attributes_have_the_form_of_the_kernel(daemon: Daemon, snapshot: Path) -> None:
    device = snapshot / "sys/bus/scsi/devices/0:0:0:0"
    assert text(device / "vendor") == "MIDLAYER\n"
    assert len(text(device / "model")) == 17
    assert (device / "inquiry").read_bytes() == daemon.find("sg0").inquiry_data
    assert (device / "vpd_pg83").read_bytes() == daemon.find("sg0").vpd_pages[0x83]
    assert text(device / "wwid").startswith("naa.")


def test_changes_are_followed(daemon: Daemon, snapshot: Path) -> None:
    state = snapshot / "sys/class/scsi_generic/sg0/device/state"
    assert text(state) == "running\n"
    daemon.subsystem.set_device_state(daemon.find("sg0"), DeviceState.OFFLINE)
    assert text(state) == "offline\n"


def test_a_device_that_comes_and_goes(daemon: Daemon, snapshot: Path) -> None:
    device = daemon.plug("virtual:disk?size=1M&target=5", 0)
    assert (snapshot / "dev/sg2").exists()
    daemon.unplug(str(device.address), force=True)
    assert names(snapshot / "sys/class/scsi_generic") == ["sg0", "sg1"]
    assert "target0:0:5" not in names(snapshot / "sys/bus/scsi/devices")
    assert names(snapshot / "dev") == ["bsg", "sg0", "sg1"]
    assert names(snapshot / "sys/dev/char") == ["21:0", "21:1"]


def test_minors_that_are_given_back_are_given_again(daemon: Daemon, snapshot: Path) -> None:
    devices = [daemon.plug(f"virtual:disk?size=1M&target=5&lun={lun}", 0) for lun in range(3)]
    for device in (devices[2], devices[0]):
        daemon.unplug(str(device.address), force=True)
    for lun, minor in ((7, 2), (8, 4), (9, 5)):  # the lowest that is free
        daemon.plug(f"virtual:disk?size=1M&target=5&lun={lun}", 0)
        assert text(snapshot / f"dev/bsg/0:0:5:{lun}").endswith(f":{minor}\n")


def test_links_are_as_short_as_those_of_the_kernel(snapshot: Path) -> None:
    sysfs = snapshot / "sys"
    place = "devices/midlayer/host0/target0:0:0/0:0:0:0"
    assert os.readlink(sysfs / "class/scsi_generic/sg0") == f"../../{place}/scsi_generic/sg0"
    assert os.readlink(sysfs / place / "scsi_generic/sg0/device") == "../.."
    assert os.readlink(sysfs / place / "generic") == "scsi_generic/sg0"


def test_a_host_that_comes_and_goes(daemon: Daemon, snapshot: Path) -> None:
    host = daemon.add_host({"name": "second"})
    assert (snapshot / "proc/scsi/virtual/1").exists()
    daemon.remove_host(host.host_no)
    assert names(snapshot / "sys/class/scsi_host") == ["host0"]
    assert not (snapshot / "proc/scsi/virtual/1").exists()


def test_links_lead_nowhere_else(snapshot: Path) -> None:
    top = os.path.realpath(snapshot)
    for directory, directories, files in os.walk(snapshot):
        for name in directories + files:
            path = os.path.join(directory, name)
            assert os.path.realpath(path).startswith(top)
            assert os.path.exists(path), path


def test_proc_devices_names_both_majors(snapshot: Path) -> None:
    words = [line.split() for line in text(snapshot / "proc/devices").splitlines()]
    assert ["21", "sg"] in words
    assert any(line[1:] == ["bsg"] for line in words)
