"""``midlayer exec``: the program's environment, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from midlayer.errors import UsageError
from midlayer.frontends.config import Config, parse
from midlayer.frontends.nodes import exec as nodes_exec
from midlayer.frontends.nodes.exec import main, run_program, without_absent_kernel

EMPTY = '[[host]]\ndriver = "virtual"\n'

needs_library = pytest.mark.skipif(not nodes_exec.LIBRARY.exists(), reason="the preload library is not built")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the private directories go, short enough for a socket."""
    place = Path(tempfile.mkdtemp(prefix="ml", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@needs_library
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 128 + 9),
        (["/nowhere/at/all"], 127),
        (["/"], 126),
    ],
)
def test_exit_status(temporary: Path, program: list[str], status: int) -> None:
    assert run_program(parse(EMPTY), program) == status
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


@needs_library
def test_signals_are_handed_on(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(EMPTY)
    command = [sys.executable, "-m", nodes_exec.__name__, "--config", str(config), "--"]
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([*command, "sh", "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGTERM)
        try:
            assert program.wait(timeout=30) == 5
        finally:
            program.kill()


@needs_library
def test_the_directory_is_private(temporary: Path) -> None:
    script = 'test "$(stat -c %a "$MIDLAYER_NODES")" = 700'
    assert run_program(parse(EMPTY), ["sh", "-c", script]) == 0
    temporary.rmdir()


def test_what_was_preloaded_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    assert nodes_exec.environment(Path("/x"))["LD_PRELOAD"] == f"{nodes_exec.LIBRARY} other.so"


def test_without_the_library_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_exec, "LIBRARY", Path("/nowhere.so"))
    with pytest.raises(UsageError, match="not built"):
        run_program(Config(), ["true"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "/x", "--", "true"], "not there yet"),
        (["--", "true"], "write: midlayer exec"),
        (["--config", "/nowhere.toml"], "write: midlayer exec"),
        (["--config", "/nowhere.toml", "true"], "No such file"),
    ],
)
def test_mistakes(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_numbers_begin_with_0_where_the_kernel_has_no_hosts() -> None:
    config = parse('[[host]]\ndriver = "linux"\n' + EMPTY)
    hosts = Path("/sys/class/scsi_host")
    if hosts.is_dir() and os.listdir(hosts):
        assert without_absent_kernel(config) is config
    else:
        assert without_absent_kernel(config).first_host_no == 0
