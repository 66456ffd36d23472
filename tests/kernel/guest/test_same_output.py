"""Programs print on our nodes what they print on the kernel's own: same device, or same identity."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import midlayer
from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.program import environment
from midlayer.frontends.nodes.serving import serving
from midlayer.upper.sg.capture import capture

from .eventually import LIMIT_S, eventually
from .nodes import generic_node, ready_node
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
Printed = tuple[int, str]

OF_IDENTITY = (
    "sg_turs {}",
    "sg_vpd -p sn {}",
    "sg_readcap {}",
    "sg_readcap -l {}",
    "sg_luns {}",
    "sg_scan {}",
    "sg_requests {}",
    "sg_dd if=/dev/zero of={} bs=512 count=64",
    "sg_dd if={} of=/dev/null bs=512 count=64",
    "sgp_dd if={} of=/dev/null bs=512 count=64 thr=2",
    "sgm_dd if={} of=/dev/null bs=512 count=64",
)
"""What depends on identity and size alone."""

IN_DETAIL = (
    "sg_persist -k {}",
    "sg_inq {}",
    "sg_vpd {}",
    "sg_vpd -p di {}",
    "sg_vpd -p bl {}",
    "sg_raw -r 36 {} 12 00 00 00 24 00",
    "sg_raw -r 36 {} 12 01 ff 00 24 00",
    "sg_modes -a {}",
    "sg_logs -a {}",
    "sg_opcodes {}",
    "sg_format {}",
    "sdparm {}",
    "sdparm -i {}",
)
"""What shows every detail of a device."""

OF_THE_DEVICE = (*OF_IDENTITY, *IN_DETAIL, "sg_map", "sg_map -x -i", "sg_reset {}", "sg_reset -d {}")
"""Where both ways lead to the same one. The reset is last, because of its unit attention."""


def run(command: str, env: Mapping[str, str]) -> Printed:
    done = subprocess.run(
        command.split(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env=env,
    )
    return done.returncode, done.stdout


@contextmanager
def machine(config: str) -> Iterator[tuple[Daemon, dict[str, str]]]:
    daemon = Daemon(parse(config), None)
    daemon.start()
    try:
        with serving(daemon.subsystem) as directory:
            yield daemon, environment(directory)
    finally:
        daemon.stop()


def differences(
    programs: tuple[str, ...], theirs: str, ours: str, env: Mapping[str, str]
) -> dict[str, tuple[Printed, Printed]]:
    """Run each program on both nodes; return what differs but for the name of the node."""
    found = {}
    for program in programs:
        judge = run(program.format(theirs), os.environ)
        status, printed = run(program.format(ours), env)
        answer = (status, printed.replace(ours, theirs))
        if answer != judge:
            found[program] = (judge, answer)
    return found


@pytest.fixture
def device(scsi_debug: LoadScsiDebug) -> Path:
    """A disk of scsi_debug that has said its unit attentions."""
    debug = scsi_debug(dev_size_mb=16)
    (device,) = eventually(debug.devices)
    ready_node(device)
    return device


def test_the_same_identity(device: Path) -> None:
    theirs = generic_node(device)
    serial = run(f"sg_vpd -p sn {theirs}", os.environ)[1].split()[-1]
    config = f"""
    [subsystem]
    first_host_no = {device.name.split(":", maxsplit=1)[0]}
    [[host]]
    driver = "virtual"
    [[host.unit]]
    vendor = "{(device / "vendor").read_text().strip()}"
    product = "{(device / "model").read_text().strip()}"
    revision = "{(device / "rev").read_text().strip()}"
    serial = "{serial}"
    size = "16M"
    """
    with machine(config) as (daemon, env):
        (unit,) = daemon.subsystem.devices()
        assert differences(OF_IDENTITY, theirs, f"/dev/{unit.names['sg']}", env) == {}


def test_a_twin(device: Path, tmp_path: Path) -> None:
    node = generic_node(device)
    with midlayer.open_device(node) as asked:
        (tmp_path / "twin.json").write_text(capture(asked).dump())
    config = f"""
    [subsystem]
    first_host_no = {device.name.split(":", maxsplit=1)[0]}
    [[host]]
    driver = "twin"
    [[host.unit]]
    twin = "{tmp_path / "twin.json"}"
    """
    with machine(config) as (daemon, env):
        (unit,) = daemon.subsystem.devices()
        ours = f"/dev/{unit.names['sg']}"
        assert differences((*OF_IDENTITY, *IN_DETAIL), node, ours, env) == {}


def test_the_same_device(device: Path) -> None:
    node = generic_node(device)
    with machine('[[host]]\ndriver = "linux"\n') as (daemon, env):
        eventually(lambda: daemon.find(device.name).names.get("sg") == Path(node).name)
        found = differences(OF_THE_DEVICE, node, node, env)
        for unit in daemon.subsystem.devices():
            daemon.subsystem.remove_device(unit)  # closes the kernel's node, so that scsi_debug can go
    assert found == {}
