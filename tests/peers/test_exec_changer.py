"""A library of tapes, run by Debian's mtx through ``midlayer exec``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.tools

Machine = Any
CHANGER, DRIVE = "/dev/sg0", "/dev/sg1"
WRITE, READ = ["0a", "00", "00", "02", "00", "00"], ["08", "00", "00", "02", "00", "00"]
MACHINE = """
[[host]]
driver = "virtual"

[[host.unit]]
type = "changer"
product = "A library"
slots = 4
mail_slots = 1
drives = ["0:1:0", "0:2:0"]
cartridges = ["A00001L4", "A00002L4", "-", "CLN001L4"]

[[host.unit]]
target = 1
type = "tape"
loaded = false

[[host.unit]]
target = 2
type = "tape"
loaded = false
"""


def mtx(machine: Machine, *words: str, status: int = 0) -> str:
    return str(machine.run("mtx", "-f", CHANGER, *words, status=status))


def test_status_and_inventory(machine: Machine) -> None:
    mtx(machine, "inventory")
    assert "2 Drives, 5 Slots ( 1 Import/Export )" in mtx(machine, "status")
    printed = mtx(machine, "status")
    assert re.search(r"Storage Element 1:Full :VolumeTag=A00001L4", printed)
    assert re.search(r"Storage Element 3:Empty", printed)
    assert re.search(r"Storage Element 4:Full :VolumeTag=CLN001L4", printed)
    assert re.search(r"Storage Element 5 IMPORT/EXPORT:Empty", printed)
    assert "Product Type: Medium Changer" in mtx(machine, "inquiry")


def test_load_transfer_and_unload(machine: Machine, tmp_path: Path) -> None:
    assert "done" in mtx(machine, "load", "1", "0")
    assert "(Storage Element 1 Loaded):VolumeTag = A00001L4" in mtx(machine, "status")
    machine.run("sg_turs", DRIVE, status=6)  # the medium may have changed
    machine.run("sg_turs", DRIVE)
    (tmp_path / "data").write_bytes(b"on tape " * 64)
    machine.run(
        "sg_raw", "-s", "512", "-i", str(tmp_path / "data"), DRIVE, *["0a", "00", "00", "02", "00", "00"]
    )
    mtx(machine, "transfer", "2", "3")
    mtx(machine, "transfer", "4", "5")
    assert "done" in mtx(machine, "unload", "2", "0")
    machine.run("sg_turs", DRIVE, status=2)
    printed = mtx(machine, "status")
    for line in ("1:Empty", "2:Full :VolumeTag=A00001L4", "3:Full :VolumeTag=A00002L4", "4:Empty"):
        assert f"Storage Element {line}" in printed
    assert "5 IMPORT/EXPORT:Full :VolumeTag=CLN001L4" in printed
    assert "is Empty" in mtx(machine, "load", "4", "1", status=1)
    assert "is Already Full" in mtx(machine, "transfer", "2", "3", status=1)
    mtx(machine, "load", "2", "1")
    second = ("-r", "512", "-o", str(tmp_path / "read"), "/dev/sg2")
    machine.run("sg_turs", "/dev/sg2", status=6)
    machine.run("sg_raw", *second, *READ)
    assert (tmp_path / "read").read_bytes() == b"on tape " * 64


def test_exchange_and_what_loaderinfo_says(machine: Machine) -> None:
    mtx(machine, "exchange", "1", "2", "1")
    printed = mtx(machine, "status")
    assert "Storage Element 1:Full :VolumeTag=A00002L4" in printed
    assert "Storage Element 2:Full :VolumeTag=A00001L4" in printed
    mtx(machine, "position", "2")
    said = machine.run("loaderinfo", "-f", CHANGER)
    assert "Number of Data Transfer Elements: 2" in said
    assert "Exchange Data Transfer: <>Data Transfer, <>Import/Export, <>Storage" in said


def test_first_next_and_last(machine: Machine) -> None:
    mtx(machine, "first", "0")
    mtx(machine, "next", "0")
    assert "(Storage Element 2 Loaded):VolumeTag = A00002L4" in mtx(machine, "status")
    mtx(machine, "last", "0")
    assert "(Storage Element 4 Loaded):VolumeTag = CLN001L4" in mtx(machine, "status")
