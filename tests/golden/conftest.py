"""Fixtures for tests whose judge is a program of another project."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Judge = Callable[..., str]


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Return the path of a program; without it the test fails in CI and is skipped elsewhere."""

    def require(name: str) -> str:
        found = shutil.which(name)
        if found is not None:
            return found
        advice = f"{name} is not installed: apt-get install sg3-utils"
        if os.environ.get("CI") == "true":
            pytest.fail(advice)
        pytest.skip(advice)

    return require


@pytest.fixture(scope="session")
def judge(require_tool: Callable[[str], str]) -> Judge:
    """Run a program with arguments and return what it printed; it has to end with status 0."""

    def run(name: str, *arguments: str) -> str:
        done = subprocess.run(
            [require_tool(name), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{name} {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def hex_file(tmp_path: Path) -> Callable[[bytes], str]:
    """Write bytes as the hexadecimal text that sg3_utils reads with --inhex; return the file's name."""

    def write(data: bytes) -> str:
        file = tmp_path / "response.hex"
        lines = (data[at : at + 16].hex(" ") for at in range(0, len(data), 16))
        file.write_text("\n".join(lines) + "\n")
        return str(file)

    return write
