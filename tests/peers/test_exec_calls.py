"""System calls on nodes that only the preload library knows: the good ones, and the bad ones."""

from __future__ import annotations

import errno
import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.mid.logical_unit import DeviceState
from midlayer.upper.sg import execute

pytestmark = pytest.mark.tools

Machine = Any
PROGRAM = str(Path(__file__).with_name("sg_calls.py"))
INQUIRY = bytes.fromhex("120000002400")


def ask(machine: Machine, case: str) -> Any:
    return json.loads(machine.run(sys.executable, PROGRAM, case))


def eventually(holds: Callable[[], object], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_wild_pointers_end_with_efault(machine: Machine) -> None:
    found = ask(machine, "wild")
    assert found.pop("good") == 0
    assert found == dict.fromkeys(found, -errno.EFAULT)
    assert execute(machine.device("sg0"), INQUIRY, data_in=36).ok


def test_lengths_that_can_not_be(machine: Machine) -> None:
    found = ask(machine, "lengths")
    assert found == {
        "0": 0,
        "-1": -errno.EINVAL,
        "2**31": -errno.EINVAL,
        "2**28": -errno.EINVAL,
        "overflow": found["overflow"],
        "good": 0,
    }
    assert -found["overflow"] in (errno.EINVAL, errno.EFAULT)


def test_write_poll_and_read(machine: Machine) -> None:
    assert ask(machine, "asynchronous") == {
        "seen": [False, True, False],
        "counts": [88, 88],
        "packs": [7, 8],
        "data": "MIDLAYER",
    }


def test_threads_share_a_descriptor(machine: Machine) -> None:
    assert ask(machine, "threads") == []


def test_mmap_shows_what_the_device_sent(machine: Machine) -> None:
    assert ask(machine, "mapped") == {"done": 0, "data": "MIDLAYER"}


def test_a_signal_ends_a_read(machine: Machine) -> None:
    assert ask(machine, "interrupted") == {"read": -errno.EINTR, "good": 0}


def test_dup_fork_and_exec(machine: Machine) -> None:
    assert ask(machine, "copies") == {"dup": 0, "fork": 0, "exec": 0}


def test_a_program_killed_in_mid_ioctl(machine: Machine) -> None:
    device = machine.device("sg0")
    machine.daemon.subsystem.set_device_state(device, DeviceState.QUIESCE)
    with machine.start(sys.executable, PROGRAM, "hang") as program:
        assert program.stdout.readline() == "about to wait\n"
        eventually(lambda: len(device.queue) == 1)
        program.send_signal(signal.SIGKILL)
    node = next(iter(machine.nodes.devices()))
    eventually(lambda: node.open_count == 0)
    machine.daemon.subsystem.set_device_state(device, DeviceState.RUNNING)
    assert "0 errors" in machine.run("sg_turs", "-n", "3", "/dev/sg0")
    eventually(lambda: not node.files)


def test_two_hundred_programs_at_once(machine: Machine) -> None:
    programs = [machine.start("sg_turs", "-n", "5", f"/dev/sg{number % 3}") for number in range(200)]
    for program in programs:
        with program:
            printed, _ = program.communicate(timeout=120)
            assert "with 0 errors" in printed
    nodes = machine.nodes.devices()
    eventually(lambda: not any(node.open_count for node in nodes))


def test_two_hundred_programs_lose_their_devices(machine: Machine) -> None:
    devices = [machine.device(f"sg{number}") for number in range(3)]
    for device in devices:
        machine.daemon.subsystem.set_device_state(device, DeviceState.QUIESCE)
    programs = [machine.start("sg_turs", f"/dev/sg{number % 3}") for number in range(200)]
    eventually(lambda: sum(len(device.queue) for device in devices) == 200, limit_s=120)
    for device in devices:
        machine.daemon.subsystem.remove_device(device)
    for program in programs:
        with program:
            printed, _ = program.communicate(timeout=120)
            assert "DID_NO_CONNECT" in printed
    eventually(lambda: not machine.server.files.numbers())
    machine.daemon.plug("virtual:disk?size=1M&lun=5", None)
    assert machine.run("sg_turs", "/dev/sg0") == ""


def test_a_device_unplugged_under_a_program(machine: Machine) -> None:
    with machine.start("sg_turs", "-n", "50000", "/dev/sg1") as program:
        node = machine.nodes.devices()[1]
        eventually(lambda: node.open_count == 1)
        machine.daemon.unplug("sg1", force=True)
        printed, _ = program.communicate(timeout=60)
    assert "with 0 errors" not in printed
    assert "/dev/sg1" not in machine.run("sg_map")
    assert machine.run("ls", "/sys/class/scsi_generic").split() == ["sg0", "sg2"]


def test_a_device_unplugged_in_mid_ioctl(machine: Machine) -> None:
    device = machine.device("sg0")
    machine.daemon.subsystem.set_device_state(device, DeviceState.QUIESCE)
    with machine.start(sys.executable, PROGRAM, "hang") as program:
        eventually(lambda: len(device.queue) == 1)
        machine.daemon.subsystem.remove_device(device)
        printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0, printed


def test_poll_tells_that_a_device_was_unplugged(machine: Machine) -> None:
    node = machine.nodes.devices()[0]
    with machine.start(sys.executable, PROGRAM, "unplugged") as program:
        assert program.stdout.readline() == "polling\n"
        machine.daemon.unplug("sg0", force=True)
        printed, _ = program.communicate(timeout=60)
    assert json.loads(printed) == {"hup": True, "sg_io": -errno.ENODEV, "read": -errno.ENODEV}
    eventually(lambda: node.open_count == 0)
    eventually(lambda: not machine.server.files.numbers())


def test_pieces_are_calls_of_their_own(machine: Machine) -> None:
    assert ask(machine, "pieces") == {
        "writev": 176,
        "readv": [88, 88],
        "packs": [1, 2],
        "pread": -errno.ESPIPE,
        "pwrite": -errno.ESPIPE,
    }


def test_fcntl_shows_how_a_node_was_opened(machine: Machine) -> None:
    assert ask(machine, "flags") == [True, True, True]


def test_an_open_that_waits_ends_with_its_program(machine: Machine) -> None:
    node = machine.nodes.devices()[0]
    script = "import os, time; os.open('/dev/sg0', os.O_RDWR | {}); print('open', flush=True); time.sleep(60)"
    with machine.start(sys.executable, "-c", script.format("os.O_EXCL")) as holder:
        assert holder.stdout.readline() == "open\n"
        with machine.start(sys.executable, "-c", script.format("0")) as waiting:
            eventually(lambda: node.waiting.threads)
            assert waiting.poll() is None
            waiting.send_signal(signal.SIGKILL)
        holder.send_signal(signal.SIGKILL)
    eventually(lambda: node.open_count == 0)
    machine.run("sg_turs", "/dev/sg0")


def test_open_errors(machine: Machine) -> None:
    machine.run("sg_turs", "/dev/sg7", status=50 + errno.ENOENT)
    machine.run("cat", "/proc/scsi/sg/nothing", status=1)
    machine.run("sh", "-c", "echo 1 > /sys/class/scsi_generic/sg0/dev", status=2)


READ_DEBUG = """
count, seen = 0, False
while count < 1000 or not seen:  # a thousand may all fall between the end of one copy and the next
    with open("/proc/scsi/sg/debug") as file:
        text = file.read()
    count, seen = count + 1, seen or "op=0x" in text
    print(text, end="\\0")
"""
FIRST = re.compile(r"max_active_device=3  def_reserved_size=32768\n")
DEVICE = re.compile(r" >>> device=sg0 0:0:0:0   em=[01] sg_tablesize=\d+ excl=0 open_cnt=\d+\n")
DESCRIPTOR = re.compile(
    r"   FD\(\d+\): timeout=\d+ms bufflen=\d+ \(res\)sgat=\d+ low_dma=0\n"
    r"   cmd_q=[01] f_packid=[01] k_orphan=0 closed=0\n"
)
REQUEST = re.compile(
    r"     (?:rb>> )?(?:act: id=-?\d+ blen=\d+ t_o/elap=\d+/\d+ms|(?:rcv|fin): id=-?\d+ blen=\d+ dur=\d+ms)"
    r" sgat=\d+ op=0x[0-9a-f]{2}\n"
)
NOTHING = re.compile(r"     No requests active\n")
AFTER = {
    FIRST: (DEVICE, None),
    DEVICE: (DESCRIPTOR,),
    DESCRIPTOR: (REQUEST, NOTHING),
    REQUEST: (REQUEST, DESCRIPTOR, None),
    NOTHING: (DESCRIPTOR, None),
}


def kinds_of_lines(text: str) -> list[re.Pattern[str]]:
    """Read a text of /proc/scsi/sg/debug by the table of what may follow what."""
    at, found, expected = 0, [], (FIRST,)
    while at < len(text):
        kind, match = next(
            (kind, match) for kind in expected if kind is not None and (match := kind.match(text, at))
        )
        found.append(kind)
        at, expected = match.end(), AFTER[kind]
    assert None in expected, text
    return found


def test_proc_files_stay_whole_while_a_copy_runs(machine: Machine) -> None:
    stop = threading.Event()

    def copy() -> None:
        while not stop.is_set():
            machine.run("sgp_dd", "if=/dev/sg0", "of=/dev/null", "bs=512", "thr=4")

    copying = threading.Thread(target=copy)
    copying.start()
    try:
        node = machine.nodes.devices()[0]
        eventually(lambda: node.open_count > 0)
        printed = machine.run(sys.executable, "-c", READ_DEBUG)
    finally:
        stop.set()
        copying.join(60)
    texts = printed.split("\0")[:-1]
    assert len(texts) >= 1000
    lines = Counter(kind for text in texts for kind in kinds_of_lines(text))
    assert lines[FIRST] == len(texts)
    assert lines[REQUEST] > 0
