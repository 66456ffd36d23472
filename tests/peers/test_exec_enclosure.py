"""An enclosure, looked at and controlled by Debian's sg_ses through ``midlayer exec``."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.tools

Machine = Any
ENCLOSURE = "/dev/sg0"
MACHINE = """
[[host]]
driver = "virtual"

[[host.unit]]
type = "enclosure"
product = "A shelf"
naa = "3000000000000e00"
slots = 4
bays = ["0:1:0", "-", "0:2:0"]
temperature = 41

[[host.unit]]
target = 1
size = "1M"
naa = "3000000000000d01"

[[host.unit]]
target = 2
size = "1M"
naa = "3000000000000d02"
"""


def get(machine: Machine, acronym: str, index: str) -> int:
    return int(machine.run("sg_ses", f"--get={acronym}", f"--index={index}", ENCLOSURE))


def test_pages(machine: Machine) -> None:
    listed = machine.run("sg_ses", ENCLOSURE)
    for code in ("0x0", "0x1", "0x2", "0x5", "0x7", "0xa"):
        assert f"[{code}]" in listed
    configuration = machine.run("sg_ses", "--page=cf", ENCLOSURE)
    assert "enclosure logical identifier (hex): 3000000000000e00" in configuration
    types = re.findall(
        r"Element type: (.*), sub.*\n +number of possible elements: (\d+)\n +text: (.*)", configuration
    )
    assert types == [
        ("Array device slot", "4", "Device slots"),
        ("Power supply", "2", "Power supplies"),
        ("Cooling", "2", "Fans"),
        ("Temperature sensor", "1", "Temperatures"),
        ("Enclosure", "1", "Enclosure"),
    ]
    assert "Element 3 descriptor: Slot 04" in machine.run("sg_ses", "--page=ed", ENCLOSURE)
    assert "high critical=60, high warning=50" in machine.run("sg_ses", "--page=th", ENCLOSURE)
    assert "Temperature=41 C" in machine.run("sg_ses", "--page=es", ENCLOSURE)
    machine.run("sg_ses", "--page=3", ENCLOSURE, status=5)


def test_slots_hold_the_other_units_of_the_host(machine: Machine) -> None:
    joined = machine.run("sg_ses", "--join", ENCLOSURE)
    slot = r"(Slot \d\d) \[.*?status: (.*?)\n.*?phy index.*?\n +SAS address: 0x(\w+)\n"
    assert re.findall(slot, joined, re.DOTALL) == [
        ("Slot 01", "OK", "3000000000000d01"),
        ("Slot 02", "Not installed", "0"),
        ("Slot 03", "OK", "3000000000000d02"),
        ("Slot 04", "Not installed", "0"),
    ]
    by_address = machine.run("sg_ses", "--sas-addr=0x3000000000000d02", "--join", ENCLOSURE)
    assert "Slot 03" in by_address
    assert "Slot 01" not in by_address
    machine.daemon.unplug("sg2")
    after = machine.run("sg_ses", "--join", "--index=0,2", ENCLOSURE)
    assert "Swap=1, status: Not installed" in after


def test_what_is_set_is_shown(machine: Machine) -> None:
    for acronym in ("ident", "fault", "devoff"):
        machine.run("sg_ses", f"--set={acronym}", "--index=0,1", ENCLOSURE)
        assert (get(machine, acronym, "0,1"), get(machine, acronym, "0,2")) == (1, 0)
    machine.run("sg_ses", "--clear=fault", "--index=0,1", ENCLOSURE)
    assert [get(machine, name, "0,1") for name in ("ident", "fault", "devoff")] == [1, 0, 1]
    machine.run("sg_ses", "--set=ident", "--index=enc,0", ENCLOSURE)
    machine.run("sg_ses", "--set=speed_code=7", "--index=coo,1", ENCLOSURE)
    assert "highest speed" in machine.run("sg_ses", "--page=es", "--index=coo,1", ENCLOSURE)
    machine.run("sg_ses", "--set=3:6:1", "--index=ps,0", ENCLOSURE)
    assert "NON-CRIT=1" in machine.run("sg_ses", "--page=es", ENCLOSURE)


def test_thresholds(machine: Machine) -> None:
    machine.run("sg_ses", "--page=th", "--set=high_warn=60", "--index=ts,0", ENCLOSURE)
    assert "high warning=40" in machine.run("sg_ses", "--page=th", ENCLOSURE)
    printed = machine.run("sg_ses", "--page=es", ENCLOSURE)
    assert "NON-CRIT=1" in printed
    assert re.search(r"OT failure=0, OT warning=1", printed)
