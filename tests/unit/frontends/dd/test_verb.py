"""The dd verb as a program: exit statuses, standard input and output, and what a terminal shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from midlayer.frontends.cli.main import main

COMMAND = [sys.executable, "-m", "midlayer", "dd"]


def test_standard_input_and_output(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    image = tmp_path / "image"
    subprocess.run([*COMMAND, f"of=virtual:disk?size=1M&file={image}"], input=data, check=True)
    device = f"virtual:disk?size=1M&file={image}"
    done = subprocess.run([*COMMAND, f"if={device}", "count=196"], check=True, capture_output=True)
    assert done.stdout == data + bytes(196 * 512 - len(data))
    assert done.stderr == b"196+0 records in\n196+0 records out\n", "no bar where there is no terminal"


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    reading, writing = os.openpty()
    words = ["if=virtual:disk?size=256M", f"of={tmp_path / 'out'}", "sparse"]
    with subprocess.Popen([*COMMAND, *words], stderr=writing, env={**os.environ, "TERM": "xterm"}) as copy:
        os.close(writing)
        shown = b""
        while True:
            try:
                piece = os.read(reading, 4096)
            except OSError:  # the end of a terminal
                break
            shown += piece
    os.close(reading)
    assert copy.returncode == 0
    assert b"MiB" in shown
    assert "━".encode() in shown
    assert shown.endswith(b"524288 records were zero and left out\r\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["if=/nowhere/file"], 52, "midlayer: /nowhere/file: No such file or directory"),
        (["if=virtual:disk?size=1M", "of=.", "bs=4k"], 1, "has blocks of 512 bytes"),
        (["if=virtual:disk?size=1M", "--json"], 1, "dd: --json needs standard output for itself"),
        (["bs=1"], 1, "dd: name a source or a target"),
        (["if=9:9:9:9", "of=."], 69, "9:9:9:9: this kernel has no device at this address"),
        (["if=virtual:disk?size=1M", "of=virtual:disk?size=1M&write_protected=yes"], 7, "DATA PROTECT"),
    ],
)
def test_exit_statuses(
    words: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert main(["dd", *words]) == status
    assert message in capsys.readouterr().err
