"""SG_IO through the nodes, against the barest servers of the same kind, which have no driver behind them.

All run the same unmodified program, ``sg_turs``, in turns; so what is compared is what the driver costs.
There are two of them:

- One moves what SG_IO has to move, whoever serves it, with the same calls of the kernel as ours: the header
  and the CDB come in, and the driver's members of the header, all zeros, go back. It looks at nothing of it.
- One answers the request and moves nothing at all, so that the caller finds its header as it was.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from midlayer.upper.sg.header import ANSWER, LP64

EXEC_COST_GOAL = 1 / 0.7
FUSE_COST_GOAL = 1 / 0.7
ROUNDS = 25
CALLS = 3000  # short, so that some rounds meet no other work of the machine

_SG_IO = 0x2285
_IOCTL = int(wire.Operation.IOCTL)
_NUMBER_AT, _ARGUMENT_AT = 8, 16  # of a request
_CDB_LENGTH_AT, _CDB_AT = 8, 24  # of a header
_RATE = re.compile(r"(\d+) operations/sec")


class MovingChannel(Channel):
    """Answers every SG_IO with members of the header that are zero. What came in it looks at no further."""

    def _serve(self) -> bytes:
        buffer = self._buffer
        if buffer[0] == _IOCTL and int.from_bytes(buffer[_NUMBER_AT : _NUMBER_AT + 4], "little") == _SG_IO:
            header = int.from_bytes(buffer[_ARGUMENT_AT : _ARGUMENT_AT + 8], "little")
            at = header + LP64.answer_at
            return _answer(0, 0, 0, 1, 0, 0, 1 << 20, at, len(_NOTHING), wire.INLINE) + _NOTHING
        return super()._serve()


class IdleChannel(Channel):
    """Answers every SG_IO with success, and moves nothing."""

    def _serve(self) -> bytes:
        buffer = self._buffer
        if buffer[0] == _IOCTL and int.from_bytes(buffer[_NUMBER_AT : _NUMBER_AT + 4], "little") == _SG_IO:
            return _DONE
        return super()._serve()


_DONE = wire.REPLY.pack(int(wire.ReplyKind.DONE), 0, 0, 0, 0, 0, 1 << 20)
_NOTHING = bytes(ANSWER.size)
_answer = wire.REPLY_WITH_PIECE.pack


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    subsystem = Subsystem()
    sg_nodes(subsystem)
    VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(size=64 << 20),)))
    with (
        serving(subsystem) as ours,
        serving(subsystem, channel=MovingChannel) as moving,
        serving(subsystem, channel=IdleChannel) as idle,
    ):
        run_ours, *bare = (partial(_seconds, environment(each)) for each in (ours, moving, idle))
        yield from _compare("midlayer exec", run_ours, bare, EXEC_COST_GOAL)
    if os.geteuid() == 0 and DEVICE.exists():
        yield from _fuse(subsystem)


def _fuse(subsystem: Subsystem) -> Iterator[str]:
    with served(subsystem, make_directory()) as server, tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with mounted(server, directory):
            node = f"{directory}/dev/sg0"
            ours = partial(_seconds, os.environ, node)

            def instead(ioctl: Ioctl) -> float:
                with _in_the_place_of_ours(ioctl):
                    return ours()

            bare = [partial(instead, _move), partial(instead, _do_nothing)]
            yield from _compare("FUSE", ours, bare, FUSE_COST_GOAL)


Ioctl = Callable[[NodeHandle, Call, int, int, int], int]


@contextlib.contextmanager
def _in_the_place_of_ours(ioctl: Ioctl) -> Iterator[None]:
    usual = NodeHandle.ioctl
    NodeHandle.ioctl = ioctl  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        NodeHandle.ioctl = usual  # type: ignore[method-assign]


def _move(handle: NodeHandle, call: Call, number: int, argument: int, flags: int) -> int:
    """Fetch header and CDB of an SG_IO, and give back members of the header that are zero."""
    memory = ProcessMemory(call.thread)
    if number != _SG_IO:
        return handle.file.ioctl(number, argument, memory)
    header = memory.read(argument, LP64.size)
    memory.read(int.from_bytes(header[_CDB_AT : _CDB_AT + 8], "little"), header[_CDB_LENGTH_AT])
    memory.write(argument + LP64.answer_at, _NOTHING)
    return 0


def _do_nothing(handle: NodeHandle, call: Call, number: int, argument: int, flags: int) -> int:
    return 0 if number == _SG_IO else handle.file.ioctl(number, argument, ProcessMemory(call.thread))


def _compare(
    kind: str, ours: Callable[[], float], bare: Sequence[Callable[[], float]], goal: float
) -> Iterator[str]:
    """Compare with the server that moves what it must, and with the one that moves nothing."""
    best = [float("inf")] * (1 + len(bare))
    for _ in range(ROUNDS):
        for number, run_one in enumerate((ours, *bare)):
            best[number] = min(best[number], run_one())
    ratio = Ratio(f"SG_IO by {kind} / a server that only moves it", best[0], best[1])
    yield line(ratio, f"goal at most {goal:.2f}", met=ratio.cost <= goal)
    ratio = Ratio(f"SG_IO by {kind} / a server that moves nothing", best[0], best[2])
    yield line(ratio, f"goal at most {goal:.2f}", met=ratio.cost <= goal)


def _seconds(environment: Mapping[str, str], node: str = "/dev/sg0") -> float:
    """Return the seconds of one SG_IO."""
    command = ["sg_turs", "-n", str(CALLS), "-t", node]
    printed = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout
    match = _RATE.search(printed)
    assert match is not None, printed
    return 1 / int(match[1])
