"""A kernel device in a sysfs tree of plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.rules import SystemEnvironment
from midlayer.rules.sysfs_view import Asked, SysfsView

INQUIRY = bytes.fromhex("200006125b000002") + b"ACME    Big disk        0001" + bytes(60)
SERIAL_PAGE = b"\x20\x80\x00\x04SER1"


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    root = tmp_path / "sys"
    unit = root / "devices/pci0/host2/target2:0:1/2:0:1:0"
    node = unit / "scsi_generic/sg3"
    node.mkdir(parents=True)
    (root / "bus/scsi/drivers/sd").mkdir(parents=True)
    (root / "bus/scsi/devices").mkdir()
    (root / "class/scsi_generic").mkdir(parents=True)
    (root / "dev/char").mkdir(parents=True)
    (root / "module/sg").mkdir(parents=True)
    for place in (root / "devices/pci0", unit.parent.parent, root / "module/sg", root / "bus/scsi"):
        (place / "uevent").write_text("")
    (unit.parent / "uevent").write_text("DEVTYPE=scsi_target\n")
    (unit / "uevent").write_text("DEVTYPE=scsi_device\nDRIVER=sd\nMODALIAS=scsi:t-0x00\n")
    (node / "uevent").write_text("MAJOR=21\nMINOR=3\nDEVNAME=sg3\n")
    (unit / "vendor").write_text("ACME    \n")
    (unit / "inquiry").write_bytes(INQUIRY)
    (unit / "vpd_pg80").write_bytes(SERIAL_PAGE)
    (unit / "bad").write_bytes(b"a\xff\n")
    (unit / "subsystem").symlink_to(root / "bus/scsi")
    (unit / "driver").symlink_to(root / "bus/scsi/drivers/sd")
    (node / "subsystem").symlink_to(root / "class/scsi_generic")
    (root / "class/scsi_generic/sg3").symlink_to(node)
    (root / "bus/scsi/devices/2:0:1:0").symlink_to(unit)
    (root / "dev/char/21:3").symlink_to(node)
    return root


def node(sysfs: Path) -> SysfsView:
    found = SysfsView.find(f"{sysfs}/class/scsi_generic/sg3", str(sysfs))
    assert found is not None
    return found


def test_a_node_and_what_is_above_it(sysfs: Path) -> None:
    view = node(sysfs)
    assert view.devpath == "/devices/pci0/host2/target2:0:1/2:0:1:0/scsi_generic/sg3"
    assert (view.sysname, view.sysnum, view.subsystem, view.driver) == ("sg3", "3", "scsi_generic", "")
    assert (view.devnode, view.devnum) == ("/dev/sg3", (21, 3))
    assert view.properties == {
        "DEVPATH": view.devpath,
        "SUBSYSTEM": "scsi_generic",
        "MAJOR": "21",
        "MINOR": "3",
        "DEVNAME": "/dev/sg3",
    }
    chain = []
    step: SysfsView | None = view
    while step is not None:
        chain.append((step.sysname, step.subsystem, step.driver))
        step = step.parent
    assert chain == [
        ("sg3", "scsi_generic", ""), ("2:0:1:0", "scsi", "sd"), ("target2:0:1", "", ""), ("host2", "", ""),
        ("pci0", "", ""),
    ]  # fmt: skip


def test_attributes_of_the_kernel_and_of_ours(sysfs: Path) -> None:
    view = node(sysfs)
    unit = view.parent
    assert unit is not None
    assert unit.attribute("vendor") == "ACME    "
    assert unit.attribute("bad") == "a\udcff"
    assert unit.attribute("inquiry") == " "  # text ends at the first NUL
    assert unit.attribute("nothing") is None
    assert unit.attribute("../uevent") == "DEVTYPE=scsi_target"
    assert unit.attribute("scsi_generic") is None
    assert unit.attribute("a\0b") is None
    for one in (unit, view):  # a rule may ask the node as well
        assert one.attribute("peripheral_qualifier") == "1"
        assert one.attribute("device_type") == "0"
        assert one.attribute("vpd/serial") == "SER1"
        assert one.attribute("inquiry/product_identification") == "Big disk"
        assert one.attribute("vpd/nothing") is None
    assert unit.binary("inquiry") == INQUIRY
    assert {"vendor", "bad", "driver", "peripheral_qualifier", "vpd/serial"} <= set(unit.attribute_names())
    assert "uevent" not in unit.attribute_names()


def test_other_devices_by_subsystem_and_name(sysfs: Path) -> None:
    environment = SystemEnvironment(str(sysfs))
    for subsystem, name, path in (
        ("scsi", "2:0:1:0", "/devices/pci0/host2/target2:0:1/2:0:1:0"),
        ("scsi_generic", "sg3", "/devices/pci0/host2/target2:0:1/2:0:1:0/scsi_generic/sg3"),
        ("module", "sg", "/module/sg"),
        ("subsystem", "scsi", "/bus/scsi"),
    ):
        found = environment.device(subsystem, name)
        assert found is not None, name
        assert found.devpath == path
    assert environment.device("scsi", "9:0:0:0") is None
    assert environment.device("drivers", "scsi:sd") is None  # it has no uevent file here


def test_what_is_no_device(sysfs: Path, tmp_path: Path) -> None:
    assert SysfsView.find(f"{sysfs}/bus/scsi/devices", str(sysfs)) is None
    assert SysfsView.find("/nowhere", str(sysfs)) is None
    assert SysfsView.of_node(str(tmp_path), str(sysfs)) is None
    assert SysfsView.of_node("/dev/null", str(sysfs)) is None


def test_the_database_of_udev(sysfs: Path, tmp_path: Path) -> None:
    (tmp_path / "c21:3").write_text("S:disk/by-id/x\nE:ID_SERIAL=abc\nE:broken\nG:tag\n")
    environment = SystemEnvironment(str(sysfs), database=str(tmp_path))
    assert environment.database(node(sysfs)) == {"ID_SERIAL": "abc"}
    unit = node(sysfs).parent
    assert unit is not None
    assert environment.database(unit) == {}


def test_what_a_unit_said_since_the_kernel_asked_goes_before(sysfs: Path) -> None:
    inquiry = bytes.fromhex("000006125b000002") + b"OTHER   Small disk      0002" + bytes(60)
    asked = Asked("2:0:1:0", inquiry, {0x80: b"\x00\x80\x00\x04SER2"})
    found = SysfsView.find(f"{sysfs}/class/scsi_generic/sg3", str(sysfs), asked)
    assert found is not None
    assert found.parent is not None
    assert [found.parent.attribute(name) for name in ("vendor", "model", "rev", "type")] == [
        "OTHER   ", "Small disk      ", "0002", "0",
    ]  # fmt: skip
    for view in (found, found.parent):
        assert view.attribute("peripheral_qualifier") == "0"
        assert view.attribute("vpd/serial") == "SER2"
    assert found.attribute("vendor") is None, "a node has none of its own"
    elsewhere = SysfsView.find(
        f"{sysfs}/class/scsi_generic/sg3", str(sysfs), asked._replace(address="2:0:1:1")
    )
    assert elsewhere is not None
    assert elsewhere.attribute("peripheral_qualifier") == "1"
