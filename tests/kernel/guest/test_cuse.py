"""True character devices: sg3_utils on ``/dev/sgN`` of midlayer, by the kernel's CUSE."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.scsimon_client import build

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.fuse.cuse import CuseNodes
from midlayer.frontends.nodes.serving import sg_nodes
from midlayer.upper.scsimon.node import scsimon_node

from .eventually import LIMIT_S, eventually
from .nodes import settle

CONFIG = """
[subsystem]
first_host_no = 20

[[host]]
driver = "virtual"

[[host.unit]]
lun = 0
size = "16M"
serial = "CUSE0001"

[[host.unit]]
lun = 1
type = "cd"
"""

AS_THE_MACHINES = CONFIG.replace("20", "0")

PROGRAMS = (
    ("sg_inq {}", "Unit serial number: CUSE0001", 0),
    ("sg_vpd -p sn {}", "CUSE0001", 0),
    ("sg_raw -r 36 {} 12 00 00 00 24 00", "MIDLAYER", 0),
    ("sg_turs -n 5 {}", "0 errors", 0),
    ("sg_readcap {}", "Number of logical blocks=32768", 0),
    ("sg_luns {}", "0001000000000000", 0),
    ("sg_map -i", "MIDLAYER  Virtual disk", 0),
    ("sg_scan -i {}", "scsi0 channel=0 id=0 lun=0", 0),
    ("sg_modes {}", "Mode data length", 0),
    ("sg_requests {}", "No Sense", 0),
    ("sg_opcodes {}", "Read capacity(10)", 0),
    ("sg_reset -d {}", "", 0),
    ("sg_logs -a {}", "", None),
    ("sg_persist -k {}", "", None),
    ("sg_format -F {}", "", None),
    ("sdparm -i {}", "Device identification", 0),
    ("sg_dd if=/dev/urandom of={} bs=512 count=256", "256+0 records out", 0),
    ("sg_dd if={} of=/tmp/cuse-a bs=512 count=256", "256+0 records in", 0),
    ("sgp_dd if={} of=/tmp/cuse-b bs=512 count=256 thr=4", "256+0 records in", 0),
    ("cmp /tmp/cuse-a /tmp/cuse-b", "", 0),
)


@contextmanager
def cuse_daemon(config: str = CONFIG) -> Iterator[Daemon]:
    subprocess.run(["modprobe", "cuse"], check=True)
    running = Daemon(parse(config), None)
    running.start()
    devices = CuseNodes(sg_nodes(running.subsystem))
    running.subsystem.register_upper(devices)
    node = scsimon_node(running.subsystem)
    assert node is not None
    devices.add_scsimon(node)
    try:
        yield running
    finally:
        devices.stop()
        running.stop()
    assert not Path("/dev/sg20").exists()
    assert not Path("/dev/scsimon").exists()


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Devices with sg's major number, which the kernel's sg driver gives away for as long."""
    settle()  # it would have the kernel's nodes open
    subprocess.run(["rmmod", "sg"], check=True)
    try:
        with cuse_daemon(AS_THE_MACHINES) as running:
            yield running
    finally:
        subprocess.run(["modprobe", "sg"], check=True)


def run(command: str) -> tuple[int, str]:
    done = subprocess.run(
        command.split(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout


def test_beside_the_kernels_sg_driver(caplog: pytest.LogCaptureFixture) -> None:
    assert os.major(os.stat("/dev/sg0").st_rdev) == 21
    with cuse_daemon():
        assert os.major(os.stat("/dev/sg20").st_rdev) != 21
        assert "rmmod sg" in caplog.text
        assert "CUSE0001" in run("sg_inq /dev/sg20")[1]


def test_a_name_that_the_kernel_has_is_left_to_it(caplog: pytest.LogCaptureFixture) -> None:
    before = os.stat("/dev/sg0").st_rdev
    with cuse_daemon(AS_THE_MACHINES):
        assert os.stat("/dev/sg0").st_rdev == before
        assert "/dev/sg0: the kernel has a device of this name" in caplog.text


def test_programs_on_character_devices(daemon: Daemon) -> None:
    node = os.stat("/dev/sg0")
    assert stat.S_ISCHR(node.st_mode)
    assert os.major(node.st_rdev) == 21
    for command, said, expected in PROGRAMS:
        status, printed = run(command.format("/dev/sg0"))
        assert said in printed, (command, printed)
        assert expected in (None, status), (command, status, printed)


def test_mmap_is_refused_by_the_kernel(daemon: Daemon) -> None:
    status, printed = run("sgm_dd if=/dev/sg0 of=/dev/null bs=512 count=16")
    assert status
    assert "mmap" in printed


def test_scsimon_for_a_program_in_c(daemon: Daemon, tmp_path: Path) -> None:
    assert stat.S_ISCHR(os.stat("/dev/scsimon").st_mode)
    program = build(tmp_path, "cc")
    count = daemon.scsimon.event_count
    assert run(f"{program} status") == (
        0,
        f"interface=1 event_count={count} oldest_event=1 attached=2 detached=0 hosts=1 locks=0\n",
    )
    lines = run(f"{program} attached")[1].splitlines()
    assert [line.split()[0] for line in lines] == [f"event_count={count}", "0:0:0:0", "0:0:0:1"]
    assert run(f"{program} host-ioctl 0 0x5385")[1].startswith("result=1 text=")
    follow = [program, "follow", str(count), "1"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
        daemon.plug("virtual:disk?size=1M&lun=7", None)
        printed, _ = following.communicate(timeout=LIMIT_S)
    assert printed == f"{count + 1} kind=1 attach={count + 1} host=0 address=0:0:0:7\n"
    daemon.unplug("0:0:0:7")
    assert run(f"{program} wait {count + 2} 50")[0] == errno.ETIMEDOUT


def test_a_device_comes_and_goes(daemon: Daemon) -> None:
    daemon.plug("virtual:disk?size=1M&lun=5", None)
    assert stat.S_ISCHR(os.stat("/dev/sg2").st_mode)
    assert run("sg_turs /dev/sg2")[0] == 0
    with Path("/dev/sg2").open("rb", buffering=0):
        daemon.unplug("sg2", force=True)
        eventually(lambda: not Path("/dev/sg2").exists(), reason="the node to go")
