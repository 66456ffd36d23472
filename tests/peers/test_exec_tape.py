"""A tape, asked and written by Debian's programs through ``midlayer exec``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.tools

Machine = Any
TAPE = "/dev/sg0"
NO_SENSE = 20  # exit status of sg3_utils
MACHINE = """
[[host]]
driver = "virtual"

[[host.unit]]
type = "tape"
product = "A tape"
serial = "TAPE1"
size = "4M"
"""


def raw(machine: Machine, cdb: str, *options: str, status: int = 0) -> str:
    return str(machine.run("sg_raw", *options, TAPE, *re.findall("..", cdb), status=status))


def test_tapeinfo(machine: Machine) -> None:
    printed = machine.run("tapeinfo", "-f", TAPE)
    for line in (
        "Product Type: Tape Drive",
        "Product ID: 'A tape          '",
        "SerialNumber: 'TAPE1'",
        "MinBlock: 1",
        "MaxBlock: 8388608",
        "Ready: yes",
        "Density Code: 0x46",
        "BlockSize: 0",
        "DataCompEnabled: yes",
        "DataCompCapable: yes",
        "BOP: yes",
        "Block Position: 0",
    ):
        assert line in printed
    assert "Data Compression" in machine.run("sg_modes", "-a", TAPE)


def test_sg_raw_writes_and_reads(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "block").write_bytes(b"\x5a" * 512)
    raw(machine, "0a0000020000", "-s", "512", "-i", str(tmp_path / "block"))
    raw(machine, "100000000100")
    raw(machine, "010000000000")
    read = ("-r", "1024", "-o", str(tmp_path / "read"))
    printed = raw(machine, "080000040000", *read, status=NO_SENSE)
    assert "Info fld=0x200 [512]  ILI" in printed
    assert (tmp_path / "read").read_bytes() == b"\x5a" * 512
    assert "Info fld=0x400 [1024]  FMK" in raw(machine, "080000040000", *read, status=NO_SENSE)
    assert "End-of-data detected" in raw(machine, "080000040000", *read, status=3)
    assert "Block Position: 2" in machine.run("tapeinfo", "-f", TAPE)


def test_density(machine: Machine) -> None:
    printed = raw(machine, "44000000000000010000", "-r", "256")
    assert "Received 56 bytes" in printed
    assert "Ultrium 4/16" in printed


def test_log_pages(machine: Machine) -> None:
    printed = machine.run("sg_logs", "--all", TAPE)
    for text in ("Data bytes received with WRITE commands", "Tape alert page", "Temperature page"):
        assert text in printed


def test_opcodes(machine: Machine) -> None:
    printed = machine.run("sg_opcodes", TAPE)
    for name in ("Rewind", "Write filemarks(6)", "Locate(16)", "Report density support", "Load unload"):
        assert name in printed
