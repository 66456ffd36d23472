"""The iSCSI target against Debian's tgtd: both on a file in memory that is full, in turns.

iscsi-perf reads; `bench.iscsi_writes` writes, because iscsi-perf does not.

The rate depends on who else uses the machine; the processor time of a command, printed beside it, less so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.iscsi_initiator import Ours
from bench.iscsi_writes import Writer
from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon

ROUNDS = 2
SECONDS = 1
INITIATOR_GOAL = 1.0
CONTROL = "41"
TGTD_PORT = 13262
TGTD_IQN, OUR_IQN = "iqn.2026-11.io.midlayer:tgtd", "iqn.2026-11.io.midlayer:ours"
SIZE = 256 << 20
_IOPS = re.compile(r"iops average (\d+)")


class Load(NamedTuple):
    """What is asked for: commands at once, blocks in each, and the goal by tgtd."""

    name: str
    depth: int
    blocks: int
    goal: float


LOADS = (
    Load("READ(16) 4 KiB, 32 at once", 32, 8, 3.0),
    Load("READ(16) 4 KiB, one at once", 1, 8, 1.1),
    Load("READ(16) 256 KiB, 32 at once", 32, 512, 4.0),
)
WRITES = Load("WRITE(16) 4 KiB, 32 at once", 32, 8, 2.0)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    missing = [name for name in ("iscsi-perf", "tgtd", "tgtadm") if shutil.which(name) is None]
    if missing:
        yield f"MISS {', '.join(missing)} not found: apt-get install libiscsi-bin tgt; nothing was measured"
        return
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_in_memory())))
        theirs = stack.enter_context(_tgtd(directory))
        ours = stack.enter_context(serving(_disk(directory)))
        for load in LOADS:
            yield _compared(load, theirs, ours, _perf)
        yield _compared(WRITES, theirs, ours, _writes)
        yield from _initiators(theirs)


def _compared(load: Load, theirs: Server, ours: Server, measure: Callable[[Server, Load], Rate]) -> str:
    """Measure both in turns, and return the line about the best of each."""
    best = [Rate(0, 0.0), Rate(0, 0.0)]
    for _ in range(ROUNDS):
        best = [max(best[at], measure(server, load)) for at, server in enumerate((theirs, ours))]
    their_rate, our_rate = best
    ratio = our_rate.per_second / max(their_rate.per_second, 1)
    mark = "ok  " if ratio >= load.goal else "MISS"
    return (
        f"{mark} {load.name:<30} {our_rate}  tgtd {their_rate}"
        f"  ratio {ratio:5.2f}  goal at least {load.goal:g}"
    )


def _initiators(server: Server) -> Iterator[str]:
    """Compare our initiator with iscsi-perf, both on tgtd."""
    with closing(Ours(server.url)) as ours:
        for load in LOADS:
            measured = [ours.measure(load.depth, load.blocks, SIZE // 512, SECONDS) for _ in range(ROUNDS)]
            rate = Rate(*max(measured))
            perf = max(_perf(server, load) for _ in range(ROUNDS)).per_second
            ratio = rate.per_second / max(perf, 1)
            mark = "ok  " if ratio >= INITIATOR_GOAL else "MISS"
            yield (
                f"{mark} initiator, {load.name:<30} {rate}  iscsi-perf {perf:>6}/s"
                f"  ratio {ratio:5.2f}  goal at least {INITIATOR_GOAL:g}"
            )


class Rate(NamedTuple):
    """Commands in a second, and what each cost the server in processor time."""

    per_second: int
    cpu_us: float

    def __str__(self) -> str:
        return f"{self.per_second:>6}/s {self.cpu_us:>5.1f} µs cpu"


class Server(NamedTuple):
    """A target that runs."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _perf(server: Server, load: Load) -> Rate:
    before = server.cpu_s()
    command = ["iscsi-perf", "-t", str(SECONDS), "-m", str(load.depth), "-b", str(load.blocks), server.url]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    per_second = int(_IOPS.findall(printed)[-1])
    return Rate(per_second, (server.cpu_s() - before) / max(per_second * SECONDS, 1) * 1e6)


def _writes(server: Server, load: Load) -> Rate:
    with closing(Writer(server.url, SIZE // 512)) as writer:
        before = server.cpu_s()
        per_second = writer.measure(load.depth, SECONDS)
        return Rate(per_second, (server.cpu_s() - before) / max(per_second * SECONDS, 1) * 1e6)


def _filled(image: Path) -> Path:
    """Make a file in which every block was written: holes are all one page of zeros, and quicker to read."""
    piece = os.urandom(1 << 20)
    with image.open("wb") as file:
        for _ in range(SIZE // len(piece)):
            file.write(piece)
    return image


@contextmanager
def serving(text: str) -> Iterator[Server]:
    """Run our target with a configuration in a process of its own, as tgtd is one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _serve(text, writer)
    os.close(writer)
    with os.fdopen(reader) as ready:
        portal = ready.readline().strip()
        try:
            yield Server(f"iscsi://{portal}/{OUR_IQN}/0", child)
        finally:
            os.kill(child, 15)
            os.waitpid(child, 0)


def _disk(directory: Path) -> str:
    return f"""
[[host]]
driver = "virtual"
[[host.unit]]
file = "{_filled(directory / "ours.img")}"
size = {SIZE}
[[target]]
iqn = "{OUR_IQN}"
portals = ["127.0.0.1:0"]
[[target.lun]]
device = "0:0:0:0"
"""


def _serve(text: str, writer: int) -> None:
    try:
        daemon = Daemon(parse(text), None)
        daemon.start()
        os.write(writer, f"{daemon.targets.portals(OUR_IQN)[0]}\n".encode())
        while True:
            time.sleep(60)
    finally:
        os._exit(0)


@contextmanager
def _tgtd(directory: Path) -> Iterator[Server]:
    """Run Debian's user-space target with one LUN on a file."""
    image = _filled(directory / "tgtd.img")
    environment = os.environ | {"TGT_IPC_SOCKET": str(directory / "tgtd.socket")}
    command = ["tgtd", "-f", "-C", CONTROL, "--iscsi", f"portal=127.0.0.1:{TGTD_PORT}"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as tgtd:
        try:

            def admin(*arguments: str) -> bool:
                full = ["tgtadm", "-C", CONTROL, "--lld", "iscsi", *arguments]
                return subprocess.run(full, env=environment, capture_output=True, check=False).returncode == 0

            _until(lambda: admin("--op", "new", "--mode", "target", "--tid", "1", "-T", TGTD_IQN))
            unit = ("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", str(image))
            assert admin(*unit)
            assert admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")
            yield Server(f"iscsi://127.0.0.1:{TGTD_PORT}/{TGTD_IQN}/1", tgtd.pid)
        finally:
            tgtd.kill()


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("tgtd does not come up")
        time.sleep(0.1)


def _in_memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None
