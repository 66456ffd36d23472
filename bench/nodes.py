"""SG_IO through the nodes, against the barest server of the same kind: it takes a request and does nothing.

Both run the same unmodified program, ``sg_turs``, in turns; so what is compared is what the driver costs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Ratio, line
from midlayer.frontends.nodes import wire
from midlayer.frontends.nodes.channel import Channel
from midlayer.frontends.nodes.program import environment
from midlayer.frontends.nodes.serving import serving, sg_nodes
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem

EXEC_COST_GOAL = 1 / 0.7
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
        ratio = _alternate("SG_IO by midlayer exec / a server that does nothing", ours, bare)
        yield line(ratio, f"goal at most {EXEC_COST_GOAL:.2f}", met=ratio.cost <= EXEC_COST_GOAL)


def _alternate(name: str, ours: Path, bare: Path) -> Ratio:
    ours_s = bare_s = float("inf")
    for _ in range(ROUNDS):
        bare_s = min(bare_s, _seconds(bare))
        ours_s = min(ours_s, _seconds(ours))
    return Ratio(name, ours_s, bare_s)


def _seconds(directory: Path) -> float:
    """Return the seconds of one SG_IO."""
    command = ["sg_turs", "-n", str(CALLS), "-t", "/dev/sg0"]
    printed = subprocess.run(
        command, env=environment(directory), check=True, capture_output=True, text=True
    ).stdout
    match = _RATE.search(printed)
    assert match is not None, printed
    return 1 / int(match[1])
