"""Unmodified programs, without any preload library, on nodes that the kernel knows: a FUSE mount."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import UsageError
from midlayer.frontends.nodes.fuse import mount as fuse_mount
from midlayer.frontends.nodes.fuse.mount import DEVICE, mounted
from midlayer.mid.logical_unit import DeviceState

pytestmark = pytest.mark.tools

Machine = Any
PROGRAM = str(Path(__file__).with_name("sg_calls.py"))


@pytest.fixture
def mount(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """The machine's nodes in a directory."""
    directory = tmp_path / "made" / "nodes"
    if not DEVICE.exists() or os.geteuid() != 0:
        if os.environ.get("CI") == "true" and DEVICE.exists():
            pytest.fail("the FUSE tests run as root")
        pytest.skip(f"{DEVICE} is not there, or this is not root")
    with mounted(machine.server, directory):
        yield directory
    assert not os.path.ismount(directory)
    assert list(directory.iterdir()) == []


def run(*command: str, status: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


PROGRAMS = [
    ("sg_inq", ()),
    ("sg_inq", ("-p", "di")),
    ("sg_vpd", ("-p", "bl")),
    ("sg_raw", ("-r", "36", "{}", "12", "00", "00", "00", "24", "00")),
    ("sg_turs", ("-n", "100")),
    ("sg_readcap", ("-l",)),
    ("sg_luns", ()),
    ("sg_modes", ("-a",)),
    ("sg_logs", ("-a",)),
    ("sg_requests", ()),
    ("sg_opcodes", ()),
    ("sg_persist", ("-k",)),
    ("sg_scan", ()),
    ("sdparm", ("-i",)),
    ("sg_reset", ("-d",)),
]


@pytest.mark.parametrize(("name", "arguments"), PROGRAMS, ids=str)
def test_programs_print_what_they_print_under_exec(
    machine: Machine, mount: Path, name: str, arguments: tuple[str, ...]
) -> None:
    def command(node: str) -> list[str]:
        words = [word.replace("{}", node) for word in arguments]
        return words if "{}" in arguments else [*words, node]

    with machine.start(name, *command("/dev/sg0")) as program:
        expected, _ = program.communicate(timeout=60)
    node = f"{mount}/dev/sg0"
    done = subprocess.run(
        [name, *command(node)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.replace(node, "/dev/sg0")) == (program.returncode, expected)


def test_lsscsi_and_proc_files(machine: Machine, mount: Path) -> None:
    lines = run("lsscsi", f"--sysfsroot={mount}/sys").splitlines()
    assert [line.split()[0] for line in lines] == ["[0:0:0:0]", "[0:0:0:1]", "[0:0:1:0]"]
    assert (mount / "proc/scsi/sg/version").read_text() == "30536\t3.5.36 [20140603]\n"
    assert (
        run("sh", "-c", f"echo 1 > {mount}/proc/scsi/sg/allow_dio; cat {mount}/proc/scsi/sg/allow_dio")
        == "1\n"
    )
    assert sorted(os.listdir(mount / "dev")) == ["bsg", "scsimon", "sg0", "sg1", "sg2"]
    assert os.readlink(mount / "sys/class/scsi_generic/sg1").startswith("../../devices/")
    assert (mount / "sys/class/scsi_generic/sg1/device/type").read_text() == "0\n"


def test_the_tree_follows_the_subsystem(machine: Machine, mount: Path) -> None:
    (mount / "sys/class/scsi_generic/sg1/device/delete").write_text("1")
    assert sorted(os.listdir(mount / "dev")) == ["bsg", "scsimon", "sg0", "sg2"]
    with pytest.raises(FileNotFoundError):
        os.stat(mount / "dev/sg1")
    (mount / "sys/class/scsi_host/host0/scan").write_text("- - -")
    assert stat.S_IMODE(os.stat(mount / "dev/sg1").st_mode) == 0o600


def ask(mount: Path, case: str) -> Any:
    return json.loads(run(sys.executable, PROGRAM, case, f"{mount}/dev/sg0"))


def test_wild_pointers_end_with_efault(machine: Machine, mount: Path) -> None:
    found = ask(mount, "wild")
    assert found.pop("good") == 0
    assert found == dict.fromkeys(found, -errno.EFAULT)


def test_write_poll_and_read(machine: Machine, mount: Path) -> None:
    assert ask(mount, "asynchronous") == {
        "seen": [False, True, False],
        "counts": [88, 88],
        "packs": [7, 8],
        "data": "MIDLAYER",
    }


def test_threads_share_a_descriptor_and_find_their_pack_ids(machine: Machine, mount: Path) -> None:
    assert ask(mount, "threads") == []


def test_a_signal_ends_a_read(machine: Machine, mount: Path) -> None:
    assert ask(mount, "interrupted") == {"read": -errno.EINTR, "good": 0}


def test_dup_fork_and_exec(machine: Machine, mount: Path) -> None:
    assert ask(mount, "copies") == {"dup": 0, "fork": 0, "exec": 0}


@pytest.mark.parametrize("name", ["sg_dd", "sgp_dd"])
def test_copies_take_a_node_for_a_file_and_wait(machine: Machine, mount: Path, name: str) -> None:
    node = machine.nodes.devices()[0]
    with subprocess.Popen([name, f"if={mount}/dev/sg0", "of=/dev/null", "bs=512", "count=1"]) as program:
        eventually(lambda: any(file.waiting.threads for file in node.files))
        program.kill()
    eventually(lambda: not node.files)


def test_sg_map_knows_no_node_of_a_mount(machine: Machine, mount: Path) -> None:
    assert str(mount) not in run("sg_map", "-i")


def test_a_program_killed_in_mid_ioctl(machine: Machine, mount: Path) -> None:
    device = machine.device("sg0")
    machine.daemon.subsystem.set_device_state(device, DeviceState.QUIESCE)
    with subprocess.Popen(
        [sys.executable, PROGRAM, "hang", f"{mount}/dev/sg0"], stdout=subprocess.PIPE
    ) as program:
        eventually(lambda: len(device.queue) == 1)
        program.send_signal(signal.SIGKILL)
        program.wait(30)
    node = machine.nodes.devices()[0]
    eventually(lambda: node.open_count == 0)
    machine.daemon.subsystem.set_device_state(device, DeviceState.RUNNING)
    eventually(lambda: not node.files)
    run("sg_turs", f"{mount}/dev/sg0")


def test_a_mount_ends_under_a_program_that_waits(machine: Machine, tmp_path: Path) -> None:
    directory = tmp_path / "nodes"
    directory.mkdir()
    device = machine.device("sg0")
    machine.daemon.subsystem.set_device_state(device, DeviceState.QUIESCE)
    with mounted(machine.server, directory):
        program = subprocess.Popen(
            [sys.executable, PROGRAM, "hang", f"{directory}/dev/sg0"], stdout=subprocess.PIPE
        )
        eventually(lambda: len(device.queue) == 1)
    with program:
        program.communicate(timeout=30)
    machine.daemon.subsystem.set_device_state(device, DeviceState.RUNNING)
    node = machine.nodes.devices()[0]
    eventually(lambda: not node.files)
    assert not os.path.ismount(directory)


def test_after_kill_9_the_next_daemon_cleans_up(tmp_path: Path, machine: Machine) -> None:
    directory, base = tmp_path / "nodes", tmp_path / "d"
    directory.mkdir()
    command = [
        sys.executable, "-m", "midlayer.frontends.cli.main", "up", "--state", str(base / "state"), "--socket",
        str(base / "s"), "--nodes", str(directory), "--config", os.devnull,
    ]  # fmt: skip

    def start() -> subprocess.Popen[str]:
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert daemon.stdout is not None
        assert "API on" in daemon.stdout.readline()
        return daemon

    with start() as daemon:
        daemon.kill()
    with pytest.raises(OSError, match="not connected"):
        os.listdir(directory)
    with start() as daemon:
        assert sorted(os.listdir(directory)) == ["dev", "proc", "sys"]
        daemon.terminate()
        daemon.communicate(timeout=30)
    assert not os.path.ismount(directory)


def test_without_root_the_helper_mounts(
    machine: Machine, tmp_path: Path, require_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tool("fusermount3")
    monkeypatch.setattr(fuse_mount, "_is_root", lambda: False)
    with mounted(machine.server, tmp_path):
        assert os.path.ismount(tmp_path)
        run("sg_turs", f"{tmp_path}/dev/sg0")
    assert not os.path.ismount(tmp_path)


def test_without_root_and_helper_it_says_what_to_install(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse_mount, "_is_root", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get install fuse3"), mounted(machine.server, tmp_path):
        pass


def test_what_can_be_no_directory(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: File exists"), mounted(machine.server, tmp_path / "file"):
        pass
