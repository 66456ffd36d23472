"""``midlayer sense`` against sg_decode_sense: the same key, code and information."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from midlayer.standards.sense import fixed_sense

pytestmark = pytest.mark.tools


def ours(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "midlayer", "sense", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("key", "asc", "ascq"), [(3, 0x11, 0), (5, 0x24, 0), (6, 0x29, 1), (2, 0x04, 1), (7, 0x27, 0)]
)
def test_the_text_equals_the_judges(
    require_tool: Callable[[str], str], key: int, asc: int, ascq: int
) -> None:
    tool = require_tool("sg_decode_sense")
    data = fixed_sense(key, asc, ascq, information=4660).hex(" ").split()
    judged = subprocess.run([tool, *data], check=True, capture_output=True, text=True).stdout.lower()
    printed = ours(*data)
    assert printed.returncode == 0
    name = printed.stdout.splitlines()[0].partition(", ")[2].partition(" (")[0].lower()
    assert name in judged
    assert "information: 4660" in printed.stdout


def test_what_is_no_sense_data() -> None:
    refused = ours("00", "01")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "00 is no response code of sense data (70 to 73)" in refused.stderr
    assert ours("7x").returncode == 1
    assert ours().returncode == 1


def test_a_cdb() -> None:
    assert (
        ours("--cdb", "28", "0", "0", "0", "10", "0", "0", "0", "8", "0").stdout
        == "READ(10) lba=4096 blocks=8\n"
    )
