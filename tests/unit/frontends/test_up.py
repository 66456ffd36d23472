"""``midlayer up``: how it begins, what it says, and the ways in which it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from midlayer.upper.scsimon.interface import Request

from . import program
from .program import MIDLAYER, SOON_S, Running, Up, environment, run

StartUp = Callable[..., Up]


def test_what_it_says(start_up: StartUp) -> None:
    up = start_up("--show").ready()
    assert up.output.startswith(f"midlayer 0.1.0: API on {up.socket}, event log in {up.state}\n")
    assert "4 devices, event count 5" in up.output
    assert "attach       0:0:0:3      sg4 disk ACME Hotplug disk 0001" in up.output
    assert "INQUIRY length=36: GOOD: ACME Hotplug disk 0001 in " in up.output
    assert "detach       0:0:0:3      ACME Hotplug disk, attached by event 6" in up.output
    assert f"inq --socket {up.socket} 0:0:0:0" in up.output
    up.run("offline", "sg0")
    up.wait_for("change       0:0:0:0      state offline")
    up.send(signal.SIGINT)
    assert up.end() == 0
    assert up.lines[-2:] == [
        "Taken down with the daemon: program's array and 4 devices (events 9 to 13).",
        "midlayer ended cleanly; the event log is kept",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_followers(start_up: StartUp, number: int) -> None:
    up = start_up().ready()
    follow = ("events", "--follow", "--since", "5", "--socket", up.socket)
    followers = [Running(*follow) for _ in range(3)]
    up.run("offline", "sg0")
    for follower in followers:
        follower.wait_for("state offline")
    up.send(number)
    assert up.end() == 0
    assert "timeout graceful shutdown exceeded" not in up.output  # what uvicorn says of who did not go
    assert not up.socket.exists()
    for follower in followers:
        assert follower.end() == 15
        assert follower.lines[-1] == (
            "midlayer: the daemon ended; to go on from here: midlayer events --follow --since 6"
        )


WITH_TIME_FOR_A_SECOND_SIGNAL = """
import sys
from midlayer.frontends.cli import entry
from midlayer.frontends.daemon import serve
serve.FORCE_S = 3600.0
sys.exit(entry.main())
"""


def test_a_lock_of_scsimon_refuses_the_first_signal(
    start_up: StartUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MIDLAYER", [sys.executable, "-c", WITH_TIME_FOR_A_SECOND_SIGNAL])
    up = start_up().ready()
    code = (
        "import fcntl, os, struct; fd = os.open('/dev/scsimon', os.O_RDWR);"
        f"fcntl.ioctl(fd, {int(Request.LOCK_MOD)}, struct.pack('=Qii', 0, 1, 0))"
    )
    command = ["exec", "--connect", str(up.socket), "--", sys.executable, "-c", code]
    assert run(*command).returncode == 0
    up.send(signal.SIGTERM)
    up.wait_for("not stopped: a program has scsimon locked (SCSIMON_LOCK_MOD, count 1)")
    up.run("offline", "sg0")
    up.wait_for("change       0:0:0:0      state offline")
    up.send(signal.SIGTERM)
    assert up.end() == 0
    assert up.lines[-1] == "midlayer ended cleanly; the event log is kept"


def test_the_log_tells_of_the_end(start_up: StartUp) -> None:
    first = start_up().ready()
    first.send()
    assert first.end() == 0
    again = start_up().ready()
    events = again.json("events", "--since", 5)["items"]
    assert [event["event"] for event in events[:5]] == ["detach"] * 4 + ["host-removed"]
    assert [event["event_count"] for event in events] == list(range(6, 16))
    assert not any(event["by_resync"] for event in events)


def test_after_kill_9_it_starts_on_the_same_socket_and_state(start_up: StartUp) -> None:
    first = start_up().ready()
    assert first.run("plug", "virtual:disk?size=1M&serial=LOST").returncode == 0
    first.send(signal.SIGKILL)
    assert first.end() == -9
    assert first.socket.exists()
    gone = first.run("attached")
    assert (gone.returncode, "no daemon answers here (Connection refused)" in gone.stderr) == (15, True)
    again = start_up().ready()
    detached = again.json("detached")["items"]
    assert {item["serial"] for item in detached} >= {"LOST"}
    assert all(item["detach_by_resync"] for item in detached)
    assert len(again.json("attached")["items"]) == 4
    assert again.json("events")["items"][0]["event_count"] == 1


def test_a_second_daemon_on_the_state_directory_is_refused(start_up: StartUp, tmp_path: Path) -> None:
    first = start_up().ready()
    second = run(
        "up", "--config", tmp_path / "m.toml", "--state", first.state, "--socket", tmp_path / "b.sock"
    )
    assert (second.returncode, second.stdout) == (15, "")
    assert second.stderr == (
        f"midlayer: {first.state}: another midlayer uses this state directory "
        f"(process {first.process.pid}); stop it, or choose another directory with --state\n"
    )
    assert not (tmp_path / "b.sock").exists()
    assert first.json("status")["event_count"] == 5, "the first one goes on"


def test_a_second_daemon_on_the_socket_is_refused(start_up: StartUp, tmp_path: Path) -> None:
    first = start_up().ready()
    second = run("up", "--config", tmp_path / "m.toml", "--state", tmp_path / "b", "--socket", first.socket)
    assert (second.returncode, second.stdout) == (15, "")
    assert second.stderr == (
        f"midlayer: {first.socket}: another midlayer listens here; stop it, or choose --socket\n"
    )
    assert first.json("status")["event_count"] == 5, "its socket is still there"


def test_the_socket_is_for_its_owner_alone(start_up: StartUp, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        up = start_up().ready()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(up.socket.stat().st_mode) == 0o600


def test_tcp_where_asked(start_up: StartUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = start_up("--listen", f"127.0.0.1:{port}")
        assert refused.end() == 15
        assert f"listen 127.0.0.1:{port}: Address already in use" in refused.output
        assert not refused.socket.exists()
    up = start_up("--listen", f"127.0.0.1:{port}").ready()
    assert f" and http://127.0.0.1:{port}," in up.output
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_who_comes_by_tcp_has_to_know_the_token(start_up: StartUp, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame please\n")
    config = f'[daemon]\ntoken_file = "{token}"\n'
    others_may_read = start_up("--listen", "127.0.0.1:0", config=config)
    assert others_may_read.end() == 1
    assert f"others may read it (mode 0644); run: chmod 600 {token}" in others_may_read.output
    token.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    up = start_up("--listen", f"127.0.0.1:{port}", config=config).ready()
    for header, status in (
        ("", 401),
        ("Authorization: Bearer open sesame\r\n", 401),
        ("Authorization: Basic open sesame please\r\n", 401),
        ("Authorization: Bearer open sesame please\r\n", 200),
    ):
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(f"GET /v1/status HTTP/1.0\r\n{header}\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), header
        assert (b"not authorized: send the header" in answer) is (status == 401)
    assert up.json("status")["hosts"] == 0, "the Unix socket has a mode instead"


@pytest.mark.parametrize("address", ["0.0.0.0:8649", "[::]:8649", "192.0.2.1:8649", "somewhere:8649"])
def test_beyond_this_machine_with_a_token_alone(start_up: StartUp, address: str) -> None:
    up = start_up(config=f'[daemon]\nlisten = "{address}"\n')
    assert up.end() == 1
    assert "choose a loopback address, or set token_file in [daemon]" in up.output
    assert not up.state.exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            '[[host]]\ndriver = "virtual"\n[[host.unit]]\nsise = 1\n',
            "m.toml:4: host.unit.sise: there is no such key",
        ),
        ("[log\n", "m.toml:1: not TOML: "),
    ],
)
def test_a_mistake_in_the_configuration_starts_nothing(start_up: StartUp, config: str, says: str) -> None:
    up = start_up(config=config)
    assert up.end() == 1
    assert says in up.output
    assert not up.state.exists()
    assert not up.socket.exists()


def test_a_wrong_listen_address(start_up: StartUp) -> None:
    up = start_up("--listen", "localhost")
    assert up.end() == 1
    assert up.output == "midlayer: 'localhost' must be an address and a port, such as 127.0.0.1:8649"


def test_quiet(start_up: StartUp) -> None:
    up = start_up("--quiet")
    while up.run("status").returncode:
        assert up.process.poll() is None
    up.send(signal.SIGINT)
    assert up.end() == 0
    assert up.output == ""


def test_told_to_end_while_it_comes_up(start_up: StartUp) -> None:
    units = "".join(f"[[host.unit]]\nlun = {lun}\ncount = 1\n" for lun in range(2000))
    up = start_up(config='[[host]]\ndriver = "virtual"\n' + units)
    while not up.socket.exists():
        assert up.process.poll() is None, up.output
    up.send()
    assert up.end() == 0
    assert not up.socket.exists()


TOLD_WITH_THE_SOCKET_IN_HAND = """
from midlayer.frontends.cli import up

def unix_socket(path, make=up.unix_socket):
    listener = make(path)
    os.kill(os.getpid(), number)
    return listener

up.unix_socket = unix_socket
"""
TOLD_WITH_A_COMMAND_IN_HAND = """
from midlayer.lower.virtual import VirtualDriver

def queuecommand(self, command, done, usual=VirtualDriver.queuecommand):
    VirtualDriver.queuecommand = usual
    os.kill(os.getpid(), number)
    return usual(self, command, done)

VirtualDriver.queuecommand = queuecommand
"""
TOLD_WHEN_ALL_IS_UP = """
from midlayer.frontends.cli import up

def serve_nodes(*arguments, serve=up.serve_nodes, **options):
    serve(*arguments, **options)
    os.kill(os.getpid(), number)

up.serve_nodes = serve_nodes
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "moment",
    [TOLD_WITH_THE_SOCKET_IN_HAND, TOLD_WITH_A_COMMAND_IN_HAND, TOLD_WHEN_ALL_IS_UP],
    ids=["socket", "command", "all is up"],
)
def test_the_moment_in_which_it_is_told_to_end(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    code = f"import os, signal, sys\nnumber = {int(number)}\n{moment}\n"
    code += "from midlayer.frontends.cli import entry\nsys.exit(entry.main())"
    config, path = tmp_path / "m.toml", tmp_path / "m.sock"
    config.write_text('[[host]]\ndriver = "virtual"\n[[host.unit]]\nsize = "1M"\n')
    options = ["up", "--config", str(config), "--state", str(tmp_path / "state"), "--socket", str(path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not path.exists()


WITH_A_SLOW_PRINTER = """
import sys, time
from midlayer.frontends.cli import entry, up

def print_news(self, usual=up._Printer._print_news):
    if self._over:
        time.sleep(10 * up.UNREAD_S)
    usual(self)

up.UNREAD_S, up._Printer._print_news = 0.02, print_news
sys.exit(entry.main())
"""


def test_a_printer_that_is_slow_is_not_taken_for_a_reader_that_is_gone(
    start_up: StartUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MIDLAYER", [sys.executable, "-c", WITH_A_SLOW_PRINTER])
    up = start_up().ready()
    up.send()
    assert up.end() == 0
    assert up.lines[-1] == "midlayer ended cleanly; the event log is kept"


def test_a_reader_that_goes_away_stops_nothing(start_up: StartUp, tmp_path: Path) -> None:
    command = [*MIDLAYER, "up", "--config", str(tmp_path / "c.toml"), "--state", str(tmp_path / "s")]
    (tmp_path / "c.toml").write_text('[[host]]\ndriver = "virtual"\n')
    socket_path = tmp_path / "c.sock"
    process = subprocess.Popen(
        [*command, "--socket", str(socket_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("midlayer")
    process.stdout.close()
    plugged = run("plug", "virtual:disk?size=1M", "--socket", socket_path)
    assert plugged.stdout == "0:0:0:0 attached, event count 2\n"
    process.send_signal(signal.SIGTERM)
    assert (process.wait(SOON_S), process.stderr.read()) == (0, "")
    process.stderr.close()
