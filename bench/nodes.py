"""SG_IO through the nodes, against the barest server of the same kind: it takes a request and does nothing.

Both run the same unmodified program, ``sg_turs``, in turns; so what is compared is what the driver costs.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.measure import Ratio, line
from midlayer.frontends.nodes import wire
from midlayer.frontends.nodes.channel import Channel
from midlayer.frontends.nodes.fuse.connection import Call
from midlayer.frontends.nodes.fuse.handles import NodeHandle
from midlayer.frontends.nodes.fuse.mount import DEVICE, mounted
from midlayer.frontends.nodes.fuse.process_memory import ProcessMemory
from midlayer.frontends.nodes.program import environment
from midlayer.frontends.nodes.serving import make_directory, served, serving, sg_nodes
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem

EXEC_COST_GOAL = 1 / 0.7
FUSE_COST_GOAL = 1 / 0.7
ROUNDS = 5
CALLS = 20_000

_SG_IO = 0x2285
_IOCTL = int(wire.Operation.IOCTL)
_NUMBER_AT = 8
_RATE = re.compile(r"(\d+) operations/sec")


class BareChannel(Channel):
    """Answers every SG_IO with success, and looks at nothing of it."""

    def _serve(self) -> bytes:
        buffer = self._buffer
        if buffer[0] == _IOCTL and int.from_bytes(buffer[_NUMBER_AT : _NUMBER_AT + 4], "little") == _SG_IO:
            return _DONE
        return super()._serve()


_DONE = wire.REPLY.pack(int(wire.ReplyKind.DONE), 0, 0, 0, 0, 0, 1 << 20)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    subsystem = Subsystem()
    sg_nodes(subsystem)
    VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(size=64 << 20),)))
    with serving(subsystem) as ours, serving(subsystem, channel=BareChannel) as bare:
        name = "SG_IO by midlayer exec / a server that does nothing"
        ratio = _alternate(name, partial(_seconds, environment(ours)), partial(_seconds, environment(bare)))
        yield line(ratio, f"goal at most {EXEC_COST_GOAL:.2f}", met=ratio.cost <= EXEC_COST_GOAL)
    if os.geteuid() == 0 and DEVICE.exists():
        yield from _fuse(subsystem)


def _fuse(subsystem: Subsystem) -> Iterator[str]:
    with served(subsystem, make_directory()) as server, tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with mounted(server, directory):
            node = f"{directory}/dev/sg0"
            ours = partial(_seconds, os.environ, node)

            def bare() -> float:
                with _nothing_done():
                    return ours()

            ratio = _alternate("SG_IO by FUSE / a FUSE server that does nothing", ours, bare)
            yield line(ratio, f"goal at most {FUSE_COST_GOAL:.2f}", met=ratio.cost <= FUSE_COST_GOAL)


@contextlib.contextmanager
def _nothing_done() -> Iterator[None]:
    """Have every ioctl of a FUSE node succeed, and look at nothing of it."""
    usual = NodeHandle.ioctl
    NodeHandle.ioctl = _do_nothing  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        NodeHandle.ioctl = usual  # type: ignore[method-assign]


def _do_nothing(handle: NodeHandle, call: Call, number: int, argument: int, flags: int) -> int:
    return 0 if number == _SG_IO else handle.file.ioctl(number, argument, ProcessMemory(call.thread))


def _alternate(name: str, ours: Callable[[], float], bare: Callable[[], float]) -> Ratio:
    ours_s = bare_s = float("inf")
    for _ in range(ROUNDS):
        bare_s = min(bare_s, bare())
        ours_s = min(ours_s, ours())
    return Ratio(name, ours_s, bare_s)


def _seconds(environment: Mapping[str, str], node: str = "/dev/sg0") -> float:
    """Return the seconds of one SG_IO."""
    command = ["sg_turs", "-n", str(CALLS), "-t", node]
    printed = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout
    match = _RATE.search(printed)
    assert match is not None, printed
    return 1 / int(match[1])
