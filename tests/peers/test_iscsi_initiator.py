"""The initiator against tgtd, Debian's user-space target."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests import reconnecting
from tests.reconnecting import few_logs

__all__ = ["few_logs"]

import midlayer
from midlayer.lower.iscsi import IscsiDriver, SessionSpec, discover
from midlayer.mid.host import Host
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import reset
from midlayer.standards.sbc import Read10, Write10
from midlayer.testing import LOWER_DRIVER_CHECKS, check_lower_driver
from midlayer.upper.sg import execute

IQN = "iqn.2026-11.io.midlayer:tgtd"
SIZE = 8 << 20
ATTENTIONS = 40
VERBS = {
    "inq URL": "IET",
    "vpd --page 0x83 URL": "device identification",
    "luns URL": "3 LUNs",
    "turs URL": "ready",
    "modes URL": "caching",
    "raw URL 00 00 00 00 00 00": "GOOD",
    "info URL": "E: SUBSYSTEM=block",
    "reset --device URL": "device reset",
}
"""Verbs that take a DEVICE and need no daemon, and a part of what each prints."""


class Tgtd:
    """A tgtd of our own, with one target of two disks; nobody else's is touched."""

    def __init__(self, directory: Path, require_tool: Callable[[str], str]) -> None:
        self._tgtadm = require_tool("tgtadm")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._environment = {**os.environ, "TGT_IPC_SOCKET": str(directory / "tgtd")}
        self._process = subprocess.Popen(
            [require_tool("tgtd"), "-f", "--iscsi", f"portal=127.0.0.1:{self.port}"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._admin_until_it_works("--mode", "sys", "--op", "show")
        self.admin("--mode", "target", "--op", "new", "--tid", "1", "--targetname", IQN)
        for lun in (1, 2):
            file = directory / f"disk{lun}"
            with file.open("wb") as disk:
                disk.truncate(SIZE)
            self.admin(
                "--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(lun), "-b", str(file)
            )
        self.admin("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")

    def admin(self, *arguments: str) -> str:
        """Run tgtadm."""
        command = [self._tgtadm, "--lld", "iscsi", *arguments]
        return subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True
        ).stdout

    def _admin_until_it_works(self, *arguments: str) -> None:
        command = [self._tgtadm, *arguments]
        end_s = time.monotonic() + reconnecting.WAIT_S
        while subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode:
            assert self._process.poll() is None, "tgtd has ended"
            assert time.monotonic() < end_s, "tgtd does not answer"
            time.sleep(0.01)

    @property
    def spec(self) -> SessionSpec:
        return SessionSpec(portal=f"127.0.0.1:{self.port}", target=IQN)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def tgtd(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Tgtd]:
    server = Tgtd(tmp_path_factory.mktemp("tgtd"), require_tool)
    yield server
    server.stop()


@pytest.mark.parametrize("check", LOWER_DRIVER_CHECKS)
def test_conformance(tgtd: Tgtd, check: str) -> None:
    if check in ("short buffers", "unknown opcode"):  # about the device, which is tgtd's
        return
    check_lower_driver(
        lambda subsystem: _ready(IscsiDriver(subsystem).add_host(tgtd.spec)), only=[check], may_write=True
    )


def _ready(host: Host) -> Host:
    """Read the unit attentions of a new session away; tgtd has several."""
    for device in host.devices():
        assert any(execute(device, bytes(6)).ok for _ in range(ATTENTIONS)), f"{device} is not ready"
    return host


def test_discovery(tgtd: Tgtd) -> None:
    assert [one.name for one in discover(tgtd.spec)] == [IQN]


@pytest.fixture
def subsystem() -> Iterator[Subsystem]:
    subsystem = Subsystem()
    yield subsystem
    for host in subsystem.hosts():
        subsystem.remove_host(host)
        host.put()
    subsystem.clock.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("digests", [False, True])
def test_data(tgtd: Tgtd, subsystem: Subsystem, digests: bool) -> None:
    spec = replace(tgtd.spec, header_digest=digests, data_digest=digests)
    device = _ready(IscsiDriver(subsystem).add_host(spec)).devices()[1]
    choose = Random(3)
    for blocks in (1, 16, 255, 1024, 4096):
        data = choose.randbytes(blocks * 512)
        assert execute(device, Write10(transfer_length=blocks).encode(), data_out=data).ok
        read = execute(device, Read10(transfer_length=blocks).encode(), data_in=len(data))
        assert bytes(read.data) == data


def test_resets(tgtd: Tgtd, subsystem: Subsystem) -> None:
    device = IscsiDriver(subsystem).add_host(tgtd.spec).devices()[1]
    for level in ("device", "host"):
        assert reset(device, level) == 0x2002
        _ready(device.host)


@pytest.mark.usefixtures("few_logs")
def test_reconnects(tgtd: Tgtd, subsystem: Subsystem) -> None:
    host = IscsiDriver(subsystem).add_host(tgtd.spec)
    reconnecting.write_through_reconnects(host, host.devices()[1])


def test_a_lun_by_its_url(tgtd: Tgtd) -> None:
    with midlayer.open_device(f"iscsi://127.0.0.1:{tgtd.port}/{IQN}/1") as device:
        assert device.execute(bytes(6)).ok


def test_the_command_line(tgtd: Tgtd, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "midlayer", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = run("discover", f"127.0.0.1:{tgtd.port}")
    assert found.stdout == f"127.0.0.1:{tgtd.port},1  {IQN}\n"
    url = f"iscsi://127.0.0.1:{tgtd.port}/{IQN}/1"
    asked = run("readcap", url)
    assert asked.stdout.startswith(f"{SIZE // 512} blocks of 512 bytes"), asked.stderr
    for verb, says in VERBS.items():
        asked = run(*(url if word == "URL" else word for word in verb.split()))
        assert (asked.returncode, says in asked.stdout) == (0, True), f"{verb}: {asked.stdout}{asked.stderr}"
    copied = tmp_path / "copy"
    run("dd", f"if={url}", f"of={copied}", "bs=512", "count=64")
    assert copied.stat().st_size == 64 * 512
    missing = run("readcap", f"{url}0")
    assert "the target has no logical unit at LUN 10" in missing.stderr
