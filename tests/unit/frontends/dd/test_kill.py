"""A copy that is killed, and taken up by its log."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SIZE = 256 << 20
COMMAND = [sys.executable, "-m", "midlayer", "dd"]


def marks(log: Path) -> int:
    return max(0, len(log.read_text().splitlines()) - 1) if log.exists() else 0


def test_a_killed_copy_is_taken_up(tmp_path: Path) -> None:
    source, image, log = tmp_path / "source", tmp_path / "image", tmp_path / "log"
    piece = random.Random(9).randbytes(1 << 20)
    with source.open("wb") as file:
        for number in range(SIZE >> 20):
            file.write(number.to_bytes(8, "big") + piece[8:])
    words = [f"if={source}", f"of=virtual:disk?size={SIZE}&file={image}", f"resume={log}", "bpt=16"]
    copy = subprocess.Popen([*COMMAND, *words], stderr=subprocess.DEVNULL)
    while not marks(log) and copy.poll() is None:
        time.sleep(0.001)
    copy.send_signal(signal.SIGKILL)
    assert copy.wait() == -signal.SIGKILL, "it was too quick to be killed"
    done = json.loads(log.read_text().splitlines()[-1])["done"]
    assert 0 < done < SIZE // 512
    again = subprocess.run([*COMMAND, *words, "--json"], check=True, capture_output=True)
    report = json.loads(again.stdout)
    assert report["resumed"] == done
    assert report["records_out"]["full"] == SIZE // 512 - done
    subprocess.run(["cmp", source, image], check=True)
