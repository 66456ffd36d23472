"""The sockets of the daemon: whose they are, and what may be replaced."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from midlayer.errors import DaemonError
from midlayer.frontends.daemon.serve import tcp_socket, unix_socket
from midlayer.frontends.places import default_socket, default_state


def test_a_new_socket_in_a_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "run" / "m.sock"
    with unix_socket(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    unix_socket(path).close()
    stale = path.stat().st_ino, path.stat().st_ctime_ns
    with unix_socket(path), socket.socket(socket.AF_UNIX) as client:
        assert (path.stat().st_ino, path.stat().st_ctime_ns) != stale
        client.connect(str(path))


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with unix_socket(path), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(DaemonError, match="another midlayer listens here; stop it, or choose --socket"):
            unix_socket(path)
        client.connect(str(path))


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    path.write_text("precious")
    with pytest.raises(DaemonError, match="Address already in use; choose another path with --socket"):
        unix_socket(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="AF_UNIX path too long; choose another path"):
        unix_socket(tmp_path / ("x" * 120))


def test_a_directory_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DaemonError, match="choose another path with --socket"):
        unix_socket(tmp_path / "file" / "m.sock")


def test_a_port_that_is_taken() -> None:
    with tcp_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(DaemonError, match=f"listen 127.0.0.1:{port}: Address already in use"):
            tcp_socket("127.0.0.1", port)


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(DaemonError, match=r"listen 192\.0\.2\.1:80: "):
        tcp_socket("192.0.2.1", 80)


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDLAYER_SOCKET", "/somewhere/m.sock")
    assert default_socket() == Path("/somewhere/m.sock")
    monkeypatch.delenv("MIDLAYER_SOCKET")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_socket() == Path("/run/midlayer/midlayer.sock")
    assert default_state() == Path("/var/lib/midlayer")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/x/state")
    assert default_socket() == Path("/run/user/1000/midlayer.sock")
    assert default_state() == Path("/home/x/state/midlayer")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_socket() == Path("/tmp/midlayer-1000/midlayer.sock")
