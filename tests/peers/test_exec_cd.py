"""A CD, asked by Debian's sg3_utils through ``midlayer exec``."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.tools

Machine = Any
CD = "/dev/sg0"
MACHINE = """
[[host]]
driver = "virtual"

[[host.unit]]
type = "cd"
product = "A CD"
serial = "CD0001"
size = "4M"
"""


def raw(machine: Machine, cdb: str) -> str:
    return str(machine.run("sg_raw", "-r", "255", CD, *re.findall("..", cdb)))


def test_sg_get_config(machine: Machine) -> None:
    printed = machine.run("sg_get_config", CD)
    for line in (
        "Current profile: CD-ROM",
        "profile: CD-ROM , currentP=1",
        "Loading mechanism: Tray type",
        "Logical block size=0x800",
        "Drive serial number: CD0001",
    ):
        assert line in printed
    assert "version=0, persist=0, current=0 [0x1f]" in machine.run("sg_get_config", CD)
    assert "DVD" not in machine.run("sg_get_config", "--current", CD).partition("Core feature")[2]


def test_pages_and_commands(machine: Machine) -> None:
    assert "MM capabilities and mechanical status" in machine.run("sg_modes", "-a", CD)
    printed = machine.run("sg_opcodes", CD)
    for name in (
        "Read TOC/PMA/ATIP",
        "Get configuration",
        "Get event status notification",
        "Mechanism status",
    ):
        assert name in printed


def test_eject_and_load(machine: Machine) -> None:
    machine.run("sg_start", "--eject", CD)
    assert "tray open" in machine.run("sg_turs", "-v", CD, status=2)
    assert "No current profile" in machine.run("sg_get_config", CD)
    machine.run("sg_start", "--load", CD)
    machine.run("sg_turs", CD)
    assert "aa 00" in raw(machine, "4300000000000000ff00")
    machine.run("sg_prevent", "--prevent=1", CD)
    machine.run("sg_start", "--eject", CD, status=5)
