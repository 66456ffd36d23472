"""``midlayer dd`` and ``midlayer reset`` on scsi_debug, judged by sgp_dd and dd on the same nodes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .eventually import LIMIT_S, eventually
from .nodes import block_node, ready_node, tell_unit_attentions, udev_stopped
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
MIB = 1 << 20
DATA = random.Random(7).randbytes(4 * MIB)
BAD_LBA, BAD_BLOCKS = 0x1234, 10


def nodes(debug: ScsiDebug) -> tuple[str, str]:
    """Return the sg node and the block node of the disk, when it is ready."""
    (device,) = eventually(debug.devices)
    return ready_node(device), block_node(device)


def midlayer(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "midlayer", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == status, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done


@pytest.mark.parametrize("options", ["", "thr=16 bpt=64 verify", "iflag=dio oflag=dio cdbsz=16"])
def test_what_dd_writes_and_reads_others_read_and_write(
    scsi_debug: LoadScsiDebug, tmp_path: Path, options: str
) -> None:
    sg, block = nodes(scsi_debug(dev_size_mb=4, ndelay=50_000, max_queue=64))
    source, ours, judges = tmp_path / "source", tmp_path / "ours", tmp_path / "judges"
    source.write_bytes(DATA)
    said = midlayer("dd", f"if={source}", f"of={sg}", "sync=1", *options.split()).stderr
    assert said.startswith("8192+0 records in\n8192+0 records out\n")
    subprocess.run(["sgp_dd", f"if={sg}", f"of={judges}", "bs=512", "thr=4"], check=True, capture_output=True)
    assert judges.read_bytes() == DATA
    by_dd = ["dd", f"if={block}", "bs=64k", "iflag=direct", "status=none"]
    assert subprocess.run(by_dd, check=True, capture_output=True).stdout == DATA
    midlayer("dd", f"if={sg}", f"of={ours}", *options.split())
    subprocess.run(["cmp", ours, judges], check=True)


def test_bad_blocks_become_zeros(scsi_debug: LoadScsiDebug, tmp_path: Path) -> None:
    debug = scsi_debug(dev_size_mb=4, ndelay=0)
    sg, _ = nodes(debug)
    source, ours = tmp_path / "source", tmp_path / "ours"
    source.write_bytes(DATA)
    midlayer("dd", f"if={source}", f"of={sg}")
    debug.set("opts", 2)
    midlayer("dd", f"if={sg}", f"of={ours}", status=18)
    report = json.loads(midlayer("dd", f"if={sg}", f"of={ours}", "coe=1", "--json").stdout)
    assert report["unreadable"] == list(range(BAD_LBA, BAD_LBA + BAD_BLOCKS))
    expected = bytearray(DATA)
    expected[BAD_LBA * 512 : (BAD_LBA + BAD_BLOCKS) * 512] = bytes(BAD_BLOCKS * 512)
    assert ours.read_bytes() == expected


def test_resets(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(ndelay=0)
    sg, _ = nodes(debug)
    address = debug.devices()[0].name
    with udev_stopped():  # which reads from a disk that was reset, and might be told of the next reset
        for option, level in (("-d", "device"), ("-t", "target"), ("-b", "bus"), ("-H", "host")):
            assert midlayer("reset", sg, option, "--no-escalate").stdout == f"{address}: {level} reset\n"
            said = midlayer("turs", sg, status=6).stdout
            assert "UNIT ATTENTION" in said, f"the device tells of the {level} reset"
            tell_unit_attentions(sg)
