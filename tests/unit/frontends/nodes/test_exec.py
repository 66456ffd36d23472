"""``midlayer exec``: the program's environment, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from midlayer.errors import DaemonError, UsageError
from midlayer.frontends.config import Config, parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes import exec as nodes_exec
from midlayer.frontends.nodes import program as nodes_program
from midlayer.frontends.nodes.exec import main, run_program, without_absent_kernel
from midlayer.frontends.nodes.program import LIBRARY, environment, run_under
from midlayer.frontends.nodes.serving import find_served, serving_beside

EMPTY = '[[host]]\ndriver = "virtual"\n'

needs_library = pytest.mark.skipif(not LIBRARY.exists(), reason="the preload library is not built")


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


WAITING = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("ready", flush=True)
sys.exit(5 if signal.sigwait({signal.SIGTERM}) else 6)
"""


@needs_library
def test_signals_are_handed_on(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(EMPTY)
    command = [sys.executable, "-m", nodes_exec.__name__, "--config", str(config), "--"]
    with subprocess.Popen(
        [*command, sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGTERM)
        try:
            assert program.wait(timeout=30) == 5
        finally:
            program.kill()


def test_a_signal_before_the_program_is_known_waits_for_it(tmp_path: Path) -> None:
    def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(command, stdout=subprocess.PIPE)
        with program.stdout:  # type: ignore[union-attr]
            assert program.stdout.readline() == b"ready\n"  # type: ignore[union-attr]
        os.kill(os.getpid(), signal.SIGTERM)
        return program

    before = signal.getsignal(signal.SIGTERM)
    assert run_under(tmp_path, [sys.executable, "-c", WAITING], start=start) == 5
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86-64")
def test_a_signal_that_another_thread_gets_is_handed_on(tmp_path: Path) -> None:
    call = Path(f"/proc/self/task/{threading.get_native_id()}/syscall")

    def deliver() -> None:  # as the kernel may: to any thread, while the one that forwards sleeps
        while call.read_text().split()[0] not in ("7", "61"):  # poll, wait4
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    other = threading.Thread(target=deliver)

    def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(command, stdout=subprocess.PIPE)
        with program.stdout:  # type: ignore[union-attr]
            assert program.stdout.readline() == b"ready\n"  # type: ignore[union-attr]
        other.start()
        return program

    assert run_under(tmp_path, [sys.executable, "-c", WAITING], start=start) == 5
    other.join()


@needs_library
def test_units_of_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(EMPTY + '[[host.unit]]\nproduct = "First"\n')
    models = "cat /sys/class/scsi_generic/sg*/device/model"
    plugged = ["--plug", "virtual:disk?product=Second", "--plug", "virtual:tape?product=Third"]
    assert main([*plugged, "--", "sh", "-c", models]) == 0
    assert main(["--config", str(tmp_path / "c.toml"), *plugged, "--", "sh", "-c", models]) == 0
    seen = capfd.readouterr().out.split()
    assert seen == ["Second", "Third", "First", "Second", "Third"]


@needs_library
def test_the_directory_is_private(temporary: Path) -> None:
    script = 'test "$(stat -c %a "$MIDLAYER_NODES")" = 700'
    assert run_program(parse(EMPTY), ["sh", "-c", script]) == 0
    temporary.rmdir()


def test_what_was_preloaded_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    assert environment(Path("/x"))["LD_PRELOAD"] == f"{LIBRARY} other.so"


def test_without_the_library_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_program, "LIBRARY", Path("/nowhere.so"))
    with pytest.raises(UsageError, match="not built"):
        run_program(Config(), ["true"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "/x", "--", "true"], "/x: no daemon serves nodes here"),
        (["--", "true"], "or write: midlayer exec"),
        (["--"], "write: midlayer exec"),
        (["--config", "/nowhere.toml"], "write: midlayer exec"),
        (["--config", "/nowhere.toml", "true"], "No such file"),
        (["--plug", "sg3", "true"], "'sg3' can not be plugged"),
        (["--plug", "virtual:disk?size=1X", "true"], "size: '1X' is not a size"),
        (["--plug", "virtual:disk", "--connect", "/x", "true"], "midlayer plug DEVICE"),
    ],
)
def test_mistakes(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes_exec, "default_socket", lambda: Path("/nowhere/socket"))
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_numbers_begin_with_0_where_the_kernel_has_no_hosts() -> None:
    config = parse('[[host]]\ndriver = "linux"\n' + EMPTY)
    hosts = Path("/sys/class/scsi_host")
    if hosts.is_dir() and os.listdir(hosts):
        assert without_absent_kernel(config) is config
    else:
        assert without_absent_kernel(config).first_host_no == 0


def test_nodes_are_served_beside_the_api(daemon: Daemon, temporary: Path) -> None:
    path = temporary / "socket"
    stale = temporary / "socket.nodes"
    (stale / "tree").mkdir(parents=True)  # a daemon was killed
    with serving_beside(path, daemon.subsystem) as server:
        directory = server.directory
        assert directory == find_served(path) == stale
        assert [oct(found.stat().st_mode & 0o777) for found in (directory, directory / "socket")] == [
            "0o700", "0o600",
        ]  # fmt: skip
        assert (directory / "tree/dev/sg0").exists()
    with pytest.raises(DaemonError, match="no daemon serves nodes here"):
        find_served(path)
    temporary.rmdir()


def test_a_path_too_long_for_the_second_socket(daemon: Daemon, tmp_path: Path) -> None:
    with (
        pytest.raises(DaemonError, match="shorter --socket"),
        serving_beside(tmp_path / ("x" * 90), daemon.subsystem),
    ):
        pass


@needs_library
@pytest.mark.parametrize("usual", [False, True])
def test_a_program_on_a_running_daemon(
    daemon: Daemon, temporary: Path, monkeypatch: pytest.MonkeyPatch, usual: bool
) -> None:
    path = temporary / "socket"
    script = "test -c /dev/sg0 && test $(cat /sys/class/scsi_generic/sg1/device/type) = 5"
    arguments = ["--", "sh", "-c", script]
    if usual:
        monkeypatch.setattr(nodes_exec, "default_socket", lambda: path)
    else:
        arguments = ["--connect", str(path), *arguments]
    with serving_beside(path, daemon.subsystem):
        assert main(arguments) == 0
    temporary.rmdir()
