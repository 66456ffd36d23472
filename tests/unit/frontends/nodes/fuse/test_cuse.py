"""A character device is there when it is said to be, on a kernel that a test plays."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from midlayer.frontends.nodes.fuse import cuse, protocol
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.upper.sg.device import SgDevice, SgNodes

NAME = "sg0"


@dataclass
class Kernel:
    """What is behind ``/dev/cuse``: it asks once, and does as a test says while it takes the answer."""

    classes: Path
    socket: socket.socket
    takes_the_answer: Callable[[], None] = lambda: None


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kernel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    played = Kernel(tmp_path, ours)
    descriptor = theirs.detach()
    body = protocol.INIT_IN.pack(protocol.VERSION, 0, 0, 0)
    size = protocol.IN_HEADER.size + len(body)
    ours.send(protocol.IN_HEADER.pack(size, protocol.Opcode.CUSE_INIT, 1, 0, 0, 0, 0) + body)
    open_, write = os.open, os.write

    def opening(path: str | Path, *args: int) -> int:
        return descriptor if path == cuse.DEVICE else open_(path, *args)

    def writing(fd: int, data: bytes) -> int:
        if fd == descriptor:
            played.takes_the_answer()
        return write(fd, data)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "write", writing)
    monkeypatch.setattr(cuse, "_CLASS", tmp_path)
    yield played
    ours.close()


@pytest.fixture
def sg() -> Iterator[SgDevice]:
    subsystem, nodes, driver = Subsystem(), SgNodes(), ScriptedDriver()
    subsystem.register_upper(nodes)
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    yield nodes.device(0)
    subsystem.remove_host(host)
    host.put()
    subsystem.clock.close()  # type: ignore[attr-defined]


def test_it_is_made_when_the_kernel_has_made_all_of_it(kernel: Kernel, sg: SgDevice) -> None:
    device, returned, early = cuse.CuseDevice(sg, 21), threading.Event(), []

    def take() -> None:
        (kernel.classes / NAME).mkdir()  # here it is in /sys, and nowhere else
        early.append(returned.wait(0.1))

    kernel.takes_the_answer = take
    assert device.start()
    returned.set()
    kernel.socket.close()
    device.stop()
    assert early == [False], "its node was not there yet"


def test_the_kernel_refuses(kernel: Kernel, sg: SgDevice, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        kernel.socket.close()
        raise OSError(errno.ENODEV, "it is over")

    kernel.takes_the_answer = refuse
    assert not cuse.CuseDevice(sg, 21).start()
    assert caplog.text == ""
