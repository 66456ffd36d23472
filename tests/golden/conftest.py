"""Fixtures for tests whose judge is a program of another project."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Judge = Callable[..., str]


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
