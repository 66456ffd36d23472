"""Programs under ``midlayer exec`` that start others, hand descriptors on, and want signals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.tools

Machine = Any
PROGRAM = str(Path(__file__).with_name("sg_programs.py"))


def ask(machine: Machine, case: str) -> Any:
    return json.loads(machine.run(sys.executable, PROGRAM, case, "/dev/sg0"))


def test_a_shell_with_redirections_and_programs(machine: Machine) -> None:
    look = "cat /proc/scsi/sg/debug"
    script = f"exec 3<>/dev/sg0; {look}; ls -l /dev/sg*; sg_inq /dev/sg0; exec 3>&-; {look}"
    printed = machine.run("bash", "-c", script)
    assert printed.count(" >>> device=sg0 0:0:0:0   em=0") == 1  # open, then closed
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("crw")] == [
        "/dev/sg0", "/dev/sg1", "/dev/sg2",
    ]  # fmt: skip
    assert "First disk" in printed


def test_dd_of_coreutils_does_what_it_does_on_the_kernels_nodes(machine: Machine) -> None:
    """A read waits for the result of a request that nobody sent; zeros are a TEST UNIT READY of long ago."""
    said = machine.run("dd", "if=/dev/sg0", "of=/dev/null", "bs=36", "count=1", "iflag=nonblock", status=1)
    assert "Resource temporarily unavailable" in said
    assert "1+0 records out" in machine.run("dd", "if=/dev/zero", "of=/dev/sg0", "bs=512", "count=1")
    assert "Input/output error" in machine.run(
        "dd", "if=/dev/zero", "of=/dev/sg0", "bs=41", "count=1", status=1
    )


def test_every_way_to_start_a_program(machine: Machine) -> None:
    assert ask(machine, "starts") == {
        "vfork": 0,
        "posix_spawn": 0,
        "fork": 30536,
        "thread": 30536,
        "exec": 30536,
    }


def test_close_on_exec(machine: Machine) -> None:
    assert ask(machine, "cloexec") == {"kept": 30536, "closed": "EBADF", "openers": 1}


def test_what_is_closed_is_closed_when_close_returns(machine: Machine) -> None:
    assert ask(machine, "exclusive") == "done"


def test_sigio_comes_when_there_is_something_to_read(machine: Machine) -> None:
    assert ask(machine, "sigio") == {"before": False, "signal": "SIGIO", "pack_id": 7}
