"""``midlayer dd`` against sgp_dd, on the same disk, by the rate that each of them reports for itself.

Both with as many commands at once, and midlayer twice: with sgp_dd's 128 blocks in a command, and with as
many as each of them takes of itself (sgp_dd 128, midlayer as much as makes 512 KiB).

``python -m bench dd`` takes a virtual disk on a file, which sgp_dd sees by ``midlayer exec``. In a guest
``python -m tests.kernel.shell -- .venv/bin/python -m bench.dd`` takes scsi_debug.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.kernel import scsi_debug_nodes

SIZE = 64 << 20
GOAL = 1.0
ROUNDS = 3
DEPTHS = (4, 16)
BLOCKS: dict[str, list[str]] = {"bpt=128": ["bpt=128"], "bpt of each": []}
_MIDLAYER = [sys.executable, "-m", "midlayer"]
_RATE = re.compile(r"time to transfer data.* ([\d.]+) secs")
_CONFIG = """
[[host]]
driver = "virtual"

[[host.unit]]
file = "{image}"
size = "64M"
"""


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    if shutil.which("sgp_dd") is None:
        yield "     sgp_dd is not installed: apt-get install sg3-utils"
        return
    with tempfile.TemporaryDirectory() as name:
        image, config, out = Path(name) / "image", Path(name) / "config.toml", Path(name) / "out"
        image.write_bytes(bytes(range(256)) * (SIZE >> 8))
        config.write_text(_CONFIG.format(image=image))
        below = [*_MIDLAYER, "exec", "--config", str(config), "--"]
        device = f"virtual:disk?file={image}"
        for depth in DEPTHS:
            yield from _compare(
                "virtual disk", depth, ours=device, judges="/dev/sg0", below=below, out=str(out)
            )


def _compare(name: str, depth: int, *, ours: str, judges: str, below: list[str], out: str) -> Iterator[str]:
    """Copy to nothing and to a file, and back to the device, in turns; keep the best round of each."""
    for what, source, target in (
        ("to nothing", None, "."),
        ("to a file", None, out),
        ("from a file", out, None),
    ):
        best = dict.fromkeys(("sgp_dd", *BLOCKS), 0.0)
        for _ in range(ROUNDS):
            pair = (f"if={source or judges}", f"of={target or judges}")
            best["sgp_dd"] = max(best["sgp_dd"], _judge(below, *pair, depth))
            pair = (f"if={source or ours}", f"of={target or ours}")
            for name_of_blocks, words in BLOCKS.items():
                best[name_of_blocks] = max(best[name_of_blocks], _ours(*pair, depth, words))
        for name_of_blocks in BLOCKS:
            text = f"{name} {what}, depth {depth}, {name_of_blocks}"
            yield _line(text, best[name_of_blocks], best["sgp_dd"])


def _line(name: str, ours: float, judges: float) -> str:
    ratio = ours / judges
    mark = "ok  " if ratio >= GOAL else "MISS"
    return (
        f"{mark} {name:<48} {ours / 1e6:>8.0f} MB/s  sgp_dd {judges / 1e6:>7.0f} MB/s  ratio {ratio:5.2f}"
        f"  goal at least {GOAL:g}"
    )


def _ours(source: str, target: str, depth: int, blocks: list[str]) -> float:
    words = [*_MIDLAYER, "dd", source, target, "bs=512", f"thr={depth}", *blocks, "--json"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["bytes_per_second"])


def _judge(below: list[str], source: str, target: str, depth: int) -> float:
    words = [*below, "sgp_dd", source, target, "bs=512", f"count={SIZE // 512}", f"thr={depth}", "time=1"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = _RATE.search(done.stderr + done.stdout)
    if found is None:
        raise SystemExit(f"sgp_dd said no rate: {done.stderr}{done.stdout}")
    return SIZE / float(found[1])


def main() -> int:
    """Load scsi_debug in this machine, a guest, and measure on it."""
    for delay in ("delay=0", "ndelay=100000"):
        arguments = ["modprobe", "scsi_debug", "dev_size_mb=64", "max_queue=64", delay]
        subprocess.run(arguments, check=True)
        node, _ = scsi_debug_nodes()
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
            for depth in DEPTHS:
                name = f"scsi_debug {delay}"
                for text in _compare(name, depth, ours=node, judges=node, below=[], out=f"{place}/out"):
                    print(text, flush=True)
        subprocess.run(["modprobe", "-r", "scsi_debug"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
