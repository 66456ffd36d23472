"""Twins of the kernel's devices: programs print the same of both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import midlayer
from midlayer.upper.sg.capture import capture

from .eventually import eventually
from .nodes import ready_node
from .scsi_debug import ScsiDebug

SCRIPT = """
for command in "sg_inq" "sg_inq --page=sn" "sg_vpd --all" "sg_modes --all" "sg_modes --all --six" \\
    "sg_logs --all" "sg_opcodes" "sg_turs"
do
    echo "== $command"
    $command "$0"
    echo "== status $?"
done
"""


def printed(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    assert done.stdout.count("== status") == 8
    return done.stdout


@pytest.mark.parametrize("ptype", [0, 1, 5, 8, 13])
def test_programs_print_the_same_of_a_twin(
    scsi_debug: Callable[..., ScsiDebug], tmp_path: Path, ptype: int
) -> None:
    (device,) = eventually(scsi_debug(ptype=ptype, lbpu=1).devices)
    node = ready_node(device)
    with midlayer.open_device(node) as asked:
        (tmp_path / "twin.json").write_text(capture(asked).dump())
    config = tmp_path / "twin.toml"
    config.write_text('[[host]]\ndriver = "twin"\n[[host.unit]]\ntwin = "twin.json"\n')
    twin = (sys.executable, "-m", "midlayer", "exec", "--config", str(config), "--")
    theirs = printed("sh", "-c", SCRIPT, node)
    assert printed(*twin, "sh", "-c", SCRIPT, "/dev/sg0") == theirs.replace(node, "/dev/sg0")
