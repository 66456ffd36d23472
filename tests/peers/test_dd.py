"""``midlayer dd`` beside sgp_dd and dd, on the same virtual disks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SIZE = 4 << 20
CONFIG = """
[[host]]
driver = "virtual"

[[host.unit]]
file = "{image}"
size = "4M"
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(range(251)) * (SIZE // 251) + bytes(SIZE % 251))
    return path


def run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def midlayer(*words: str) -> None:
    run(sys.executable, "-m", "midlayer", *words)


def under(tmp_path: Path, image: Path, *words: str) -> None:
    """Run a program that sees the image as sg0."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(image=image))
    midlayer("exec", "--config", str(config), "--", *words)


@pytest.mark.parametrize("range_", ["", "skip=100 count=1000", "bpt=1 count=50", "skip=8191"])
def test_bytes_equal_those_of_sgp_dd(
    require_tool: Callable[[str], str], tmp_path: Path, image: Path, range_: str
) -> None:
    ours, judges = tmp_path / "ours", tmp_path / "judges"
    midlayer("dd", f"if=virtual:disk?file={image}", f"of={ours}", "bs=512", "thr=8", *range_.split())
    options = ["bs=512", "thr=8", *range_.split()]
    under(tmp_path, image, require_tool("sgp_dd"), "if=/dev/sg0", f"of={judges}", *options)
    run("cmp", str(ours), str(judges))
    by_dd = tmp_path / "dd"
    words = [word for word in options if not word.startswith(("thr", "bpt"))]
    run("dd", f"if={image}", f"of={by_dd}", *words)
    run("cmp", str(ours), str(by_dd))


def test_what_we_write_sgp_dd_would_have_written(
    require_tool: Callable[[str], str], tmp_path: Path, image: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(image.read_bytes()[::-1][: 1000 * 512])
    judges = tmp_path / "judges"
    judges.write_bytes(image.read_bytes())
    midlayer("dd", f"if={source}", f"of=virtual:disk?file={image}", "seek=77", "verify")
    options = [f"if={source}", "of=/dev/sg0", "bs=512", "seek=77", "count=1000"]
    under(tmp_path, judges, require_tool("sgp_dd"), *options)
    run("cmp", str(image), str(judges))
