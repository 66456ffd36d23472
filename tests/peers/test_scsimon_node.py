"""``/dev/scsimon`` for a program in C that knows its header alone: by `midlayer exec`, and by FUSE."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.scsimon_client import build

from midlayer.frontends.nodes.fuse.mount import DEVICE, mounted
from midlayer.lower.virtual import HostSpec, UnitSpec
from midlayer.mid.logical_unit import DeviceState

pytestmark = pytest.mark.tools

Machine = Any


class Client:
    """The program on a node."""

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        self._program = program
        self._environment = environment

    def start(self, *words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._program, *map(str, words)],
            env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def __call__(self, *words: object, status: int = 0) -> str:
        with self.start(*words) as program:
            printed, _ = program.communicate(timeout=60)
        assert program.returncode == status, f"{words}: {program.returncode}: {printed}"
        return printed


@pytest.fixture(params=["exec", "fuse"])
def client(
    machine: Machine, tmp_path: Path, require_tool: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Client]:
    program = build(tmp_path, require_tool("cc"))
    with ExitStack() as stack:
        if request.param == "exec":
            yield Client(program, machine.environment)
            return
        if not DEVICE.exists() or os.geteuid() != 0:
            pytest.skip(f"{DEVICE} is not there, or this is not root")
        directory = tmp_path / "nodes"
        directory.mkdir()
        stack.enter_context(mounted(machine.server, directory))
        yield Client(program, {**os.environ, "SCSIMON_NODE": f"{directory}/dev/scsimon"})


def test_every_call(client: Client, machine: Machine) -> None:
    """The lists, their elements, the state by attach count, a host's ioctl, the lock."""
    said = client("status")
    assert said == ("interface=1 event_count=4 oldest_event=1 attached=3 detached=0 hosts=1 locks=0\n"), (
        "one moment's counts"
    )
    whole = client("attached").splitlines()
    assert whole[0] == "event_count=4 total=3"
    assert whole[1].startswith("0:0:0:0 attach=2 type=0 qualifier=0 vendor=MIDLAYER model=First disk")
    assert "removable=1 lockable=1 writeable=0" in whole[3], "the CD"
    assert client("device", 3) == client("address", "0:0:0:1") == f"{whole[2]}\n"
    assert client("hosts").splitlines()[1] == client("host", 0).strip()
    assert client("host-ioctl", 0, "0x5385") == "result=1 text=peers, 3 units\n"
    assert client("online", 3, 0) == "event_count=5\n"
    assert machine.device("sg1").state is DeviceState.OFFLINE
    assert client("online", 3, 1) == "event_count=6\n"
    machine.daemon.unplug("sg1")
    gone = client("gone", 3)
    assert gone == client("gone-by", 7)
    assert gone.startswith("0:0:0:1 attach=3 detach=7 type=0")
    assert client("detached") == f"event_count=7 total=1\n{gone}"
    for words in (("device", 3), ("online", 3, 0), ("gone", 2), ("host", 9), ("host-ioctl", 9, "0x5385")):
        client(*words, status=errno.ENODEV)
    assert client("lock", 1) == "locks=1\n"
    assert "locks=1" in client("status")
    assert client("lock", 0) == "locks=0\n"
    client("lock", 0, status=errno.EINVAL)


def test_waiting_and_reading(client: Client, machine: Machine) -> None:
    assert client("wait", 0, 0) == "event_count=4\n"
    client("wait", 4, 10, status=errno.ETIMEDOUT)
    with client.start("wait", 4, -1) as waiting, client.start("follow", 2, 5) as following:
        assert following.stdout is not None
        seen = [following.stdout.readline() for _ in range(2)]
        assert seen[1] == "4 kind=1 attach=4 host=0 address=0:0:1:0\n"
        machine.daemon.plug("virtual:disk?size=1M&target=2", None)
        assert waiting.communicate(timeout=60)[0] == "event_count=5\n"
        machine.daemon.unplug("0:0:2:0")
        machine.daemon.subsystem.set_device_state(machine.device("sg0"), DeviceState.OFFLINE)
        rest, _ = following.communicate(timeout=60)
    assert rest.splitlines() == [
        "5 kind=1 attach=5 host=0 address=0:0:2:0",
        "6 kind=2 attach=5 host=0 address=0:0:2:0",
        "7 kind=3 attach=0 host=0 address=0:0:0:0",
    ]


def test_many_devices_come_in_parts(client: Client, machine: Machine) -> None:
    machine.daemon.virtual.add_host(HostSpec(units=(UnitSpec(count=40),)))
    lines = client("attached").splitlines()
    assert lines[0].endswith("total=43")
    assert len({line.split()[1] for line in lines[1:]}) == 43


def test_a_program_that_waits_can_be_killed(client: Client, machine: Machine) -> None:
    with client.start("wait", 99, -1) as waiting, client.start("follow", 4, 1) as following:
        for program in (waiting, following):
            program.kill()
            program.wait(30)
    assert "event_count=4" in client("status")


SIGIO = """
import fcntl, os, signal, sys
fd = os.open("/dev/scsimon", os.O_RDONLY)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(fd, 10, signal.SIGRTMIN)  # F_SETSIG
fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
print("ready", flush=True)
found = signal.sigtimedwait([signal.SIGRTMIN], 30)
print(found.si_code, found.si_band & 1, len(os.read(fd, 72)))
"""
POLL_IN = 1


def test_a_signal_tells_of_events_under_exec(machine: Machine) -> None:
    """The descriptor is a socket there, for which the kernel sends SIGIO; FUSE and CUSE have no such call."""
    with machine.start(sys.executable, "-c", SIGIO) as program:
        assert program.stdout.readline() == "ready\n"
        machine.daemon.plug("virtual:disk?size=1M&target=2", None)
        assert program.communicate(timeout=60)[0] == f"{POLL_IN} 1 72\n"
