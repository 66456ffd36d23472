"""What is written to attributes."""

from __future__ import annotations

import errno

import pytest

from midlayer.errors import NoSuchDevice
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes import attributes
from midlayer.mid.host import HostState

HOST = "/sys/devices/midlayer/host0/scsi_host/host0"
DEVICE = "/sys/devices/midlayer/host0/target0:0:0/0:0:0:0"


def write(daemon: Daemon, path: str, data: bytes) -> int:
    return attributes.writer(daemon.subsystem, path)(data)


def test_delete_and_scan(daemon: Daemon) -> None:
    assert write(daemon, f"{DEVICE}/delete", b"1\n") == 2
    with pytest.raises(NoSuchDevice):
        daemon.find("0:0:0:0")
    assert write(daemon, f"{HOST}/scan", b"0 0 0\n") == 6
    assert daemon.find("0:0:0:0")


def test_state_and_queue_depth(daemon: Daemon) -> None:
    write(daemon, f"{DEVICE}/state", b"offline\n")
    write(daemon, f"{DEVICE}/queue_depth", b"7\n")
    device = daemon.find("0:0:0:0")
    assert (device.state.value, device.queue_depth) == ("offline", 7)


def test_error_handling(daemon: Daemon) -> None:
    host = daemon.subsystem.host(0)
    write(daemon, f"{HOST}/eh_deadline", b"30\n")
    write(daemon, f"{DEVICE}/eh_timeout", b"5\n")
    assert (host.eh_deadline, daemon.find("0:0:0:0").eh_timeout_s) == (30, 5.0)
    assert attributes.of_host(host)["eh_deadline"] == "30\n"
    write(daemon, f"{HOST}/eh_deadline", b"off\n")
    assert (host.eh_deadline, attributes.of_host(host)["eh_deadline"]) == (-1, "off\n")
    host.set_state(HostState.RECOVERY)
    with pytest.raises(OSError) as caught:
        write(daemon, f"{HOST}/eh_deadline", b"3\n")
    assert caught.value.errno == errno.EBUSY
    host.set_state(HostState.RUNNING)


@pytest.mark.parametrize(
    ("path", "data", "number"),
    [
        (f"{HOST}/scan", b"- -\n", errno.EINVAL),
        (f"{HOST}/scan", b"a b c\n", errno.EINVAL),
        (f"{HOST}/scan", b"- - 99999999999999999999\n", errno.EINVAL),
        (f"{DEVICE}/state", b"bad\n", errno.EINVAL),
        (f"{DEVICE}/queue_depth", b"0\n", errno.EINVAL),
        (f"{DEVICE}/queue_depth", b"1000000\n", errno.EINVAL),
        (f"{DEVICE}/eh_timeout", b"-1\n", errno.EINVAL),
        (f"{HOST}/eh_deadline", b"soon\n", errno.EINVAL),
        (f"{DEVICE}/vendor", b"x\n", errno.EACCES),
        (f"{HOST}/state", b"x\n", errno.EACCES),
        (f"{DEVICE[:-1]}9/delete", b"1\n", errno.ENOENT),
        ("/sys/devices/midlayer/host9/scsi_host/host9/scan", b"- - -\n", errno.ENOENT),
    ],
)
def test_refusals(daemon: Daemon, path: str, data: bytes, number: int) -> None:
    with pytest.raises(OSError) as caught:
        write(daemon, path, data)
    assert caught.value.errno == number
