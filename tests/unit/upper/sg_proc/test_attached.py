"""/proc/scsi/scsi: rule SC-31, and the layout of Linux 2.4."""

from __future__ import annotations

import pytest

from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.testing.scripted import inquiry_data
from midlayer.upper.sg.proc import Flavour, ProcTree
from midlayer.upper.sg.proc.scsi_files import type_name


def lines(inquiry: bytes, flavour: Flavour = "linux-6") -> list[str]:
    subsystem, driver = Subsystem(), ScriptedDriver()
    driver.unit(0, 0, 0, inquiry)
    driver.start(subsystem)
    return ProcTree(subsystem, flavour=flavour).open("scsi/scsi").read().decode().splitlines()


@pytest.mark.parametrize(
    ("version", "response_format", "end"),
    [(0, 0, "00"), (1, 0, "01"), (1, 1, "01 CCS"), (2, 2, "02"), (3, 2, "03"), (6, 2, "06")],
)
def test_sc_31_revision(version: int, response_format: int, end: str) -> None:
    inquiry = bytearray(inquiry_data(version=version))
    inquiry[3] = inquiry[3] & 0xF0 | response_format
    assert (
        lines(bytes(inquiry))[3] == f"  Type:   Direct-Access                    ANSI  SCSI revision: {end}"
    )


def test_sc_6_identification() -> None:
    inquiry = bytearray(inquiry_data())
    inquiry[8:36] = b"A\x01\xe9\x7fB   Model\0tail      1.0\x1b"
    assert lines(bytes(inquiry))[2] == "  Vendor: A   B    Model: Model            Rev: 1.0 "


def test_linux_2_4() -> None:
    """The lines of two devices as linux-kernel readers posted them, leading spaces aside."""
    disk = bytearray(inquiry_data(version=2))
    disk[8:36] = b"HP      4.26GB A 50-S65AS65A"
    assert lines(bytes(disk), "linux-2.4") == [
        "Attached devices: ",
        "Host: scsi0 Channel: 00 Id: 00 Lun: 00",
        "  Vendor: HP       Model: 4.26GB A 50-S65A Rev: S65A",
        "  Type:   Direct-Access                    ANSI SCSI revision: 02",
    ]
    tape = lines(inquiry_data(version=2, device_type=1), "linux-2.4")
    assert tape[3] == "  Type:   Sequential-Access                ANSI SCSI revision: 02"
    assert "Unknown          " in lines(inquiry_data(device_type=0x0E), "linux-2.4")[3]


def test_linux_2_4_never_says_00() -> None:
    inquiry = bytearray(inquiry_data(version=1))
    inquiry[3] &= 0xF0  # else it is CCS
    assert lines(bytes(inquiry), "linux-2.4")[3].endswith("ANSI SCSI revision: 01")


@pytest.mark.parametrize("device_type", range(0x20))
def test_type_names_have_seventeen_characters(device_type: int) -> None:
    assert len(type_name(device_type)) == 17


def test_special_types() -> None:
    assert [type_name(kind).strip() for kind in (0x14, 0x15, 0x1E, 0x1F)] == [
        "Direct-Access-ZBC",
        "Unknown",
        "Well-known LUN",
        "No Device",
    ]
