"""The sg table on the kernel's own ``/dev/sgN`` and on ours, row by row: no row may differ."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .eventually import eventually
from .nodes import ready_node
from .scsi_debug import ScsiDebug

sys.path.insert(0, str(Path(__file__).parents[2] / "unit"))  # where the table is a package's module
from upper.sg.calls import Using, ready
from upper.sg.nodes import Handle, KernelHandle, OurNode, checked, libc
from upper.sg.rules import ROWS, Row

LoadScsiDebug = Callable[..., ScsiDebug]
SYS_CAPGET, SYS_CAPSET = 125, 126
CAPABILITY_VERSION_3 = 0x20080522
SG_PARAMETERS = Path("/sys/module/sg/parameters")


class KernelNode:
    """The sg node of one scsi_debug disk."""

    def __init__(self, debug: ScsiDebug) -> None:
        self.debug = debug
        (self.device,) = eventually(debug.devices)
        self.path = ready_node(self.device)

    def open(self, flags: int) -> Handle:
        return KernelHandle(os.open(self.path, flags))

    def open_bsg(self, flags: int) -> Handle:
        return KernelHandle(os.open(f"/dev/bsg/{self.device.name}", flags))

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.debug.slow_down(seconds * PACE)
        try:
            yield
        finally:
            eventually(self._quick, interval_s=0.02, reason="commands to end")

    def _quick(self) -> bool:
        self.debug.set("delay", 1)  # EBUSY while commands are on their way
        return True

    def go_on(self) -> None:
        """Its time passes by itself."""

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        depth = self.device / "queue_depth"
        before = depth.read_text()
        depth.write_text("1\n")
        try:
            yield
        finally:
            depth.write_text(before)

    @contextmanager
    def unprivileged(self) -> Iterator[None]:
        before = _capabilities()
        _set_capabilities(before, effective=False)
        try:
            yield
        finally:
            _set_capabilities(before, effective=True)

    @contextmanager
    def offline(self) -> Iterator[None]:
        state = self.device / "state"
        state.write_text("offline\n")
        try:
            yield
        finally:
            state.write_text("running\n")

    @contextmanager
    def allow_dio(self) -> Iterator[None]:
        (SG_PARAMETERS / "allow_dio").write_text("1\n")
        try:
            yield
        finally:
            (SG_PARAMETERS / "allow_dio").write_text("0\n")

    def remove(self) -> None:
        (self.device / "delete").write_text("1\n")
        eventually(lambda: not self.device.exists())

    def restore(self) -> KernelNode:
        """Return a node like a new one: a device that was removed comes back."""
        if self.device.exists():
            self._clear_unit_attention()
            return self
        host, *rest = self.device.name.split(":")
        Path(f"/sys/class/scsi_host/host{host}/scan").write_text(" ".join(rest) + "\n")
        return KernelNode(self.debug)

    def _clear_unit_attention(self) -> None:
        using = Using(self)
        opened = using.open()
        for _ in range(4):
            opened.sg_io(ready())
        using.close()


def _capabilities() -> bytes:
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    checked(libc.syscall(SYS_CAPGET, header, data))
    return data.raw[:24]


def _set_capabilities(data: bytes, *, effective: bool) -> None:
    """Set this thread's; the permitted set stays, so that the effective one can come back."""
    words = list(struct.unpack("6I", data))
    if not effective:
        words[0] = words[3] = 0
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION_3, 0))
    checked(libc.syscall(SYS_CAPSET, header, struct.pack("6I", *words)))


PACE = 4.0
TRIES = 3
"""A slow guest may look at a request only after it has ended, where a row wants it on its way."""


@pytest.fixture(scope="module")
def kernel_node() -> Iterator[list[KernelNode]]:
    """The node, in a list because a row may unplug it."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.siginterrupt(signal.SIGUSR1, True)
    with ScsiDebug(dev_size_mb=8) as debug:
        (SG_PARAMETERS.parent).exists() or os.system("modprobe sg")
        yield [KernelNode(debug)]
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row: Row, kernel_node: list[KernelNode]) -> None:
    expected = row.expect if row.kernel is None else row.kernel
    judge: object = None
    for _ in range(TRIES):
        judge = _ask_the_kernel(row, kernel_node)
        if judge == expected:
            break
    node = OurNode(views=True)
    ours = Using(node)
    try:
        answer = row.run(ours)
    finally:
        ours.close()
        node.stop()
    assert judge == expected, "the table differs from the kernel"
    assert answer == row.expect, "ours differs from the table"


def _ask_the_kernel(row: Row, kernel_node: list[KernelNode]) -> object:
    theirs = Using(kernel_node[0])
    try:
        return row.run(theirs)
    finally:
        theirs.close()
        kernel_node[0] = kernel_node[0].restore()
