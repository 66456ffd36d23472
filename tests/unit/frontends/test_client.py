"""The command line's side of the API: what it says when there is no daemon, or no answer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import Client, RemoteDevice, _is_trusted

from .serving import Serving


def refused(path: Path, call: Callable[[Client], object]) -> DaemonError:
    with Client(path) as client, pytest.raises(DaemonError) as error:
        call(client)
    return error.value


def test_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    error = refused(path, lambda client: client.get("status"))
    assert str(error) == (
        f"{path}: no daemon answers here (No such file or directory); start one with: midlayer up"
    )
    assert error.exit_status == 15


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    error = refused(path, lambda client: list(client.stream(0)))
    assert "no daemon answers here (Connection refused); start one with: midlayer up" in str(error)


def test_waiting_for_a_daemon_that_comes(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    waits: list[float] = []
    with socket.socket(socket.AF_UNIX) as listener, Client(path) as client:

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                listener.bind(str(path))
            if len(waits) == 3:
                listener.listen()

        client.wait_for_daemon(10.0, lambda: sum(waits), sleep)
    assert waits == [0.05] * 3


def test_waiting_for_a_daemon_that_does_not_come(tmp_path: Path) -> None:
    waits: list[float] = []
    with Client(tmp_path / "m.sock") as client:
        client.wait_for_daemon(10.0, lambda: sum(waits), waits.append)
        assert sum(waits) == pytest.approx(10.0, abs=0.06)
        with pytest.raises(DaemonError, match="no daemon answers here"):
            client.get("status")


@pytest.mark.parametrize(
    ("user", "own", "trusted"), [(0, 1000, True), (7, 7, True), (7, 0, True), (7, 1000, False)]
)
def test_whose_daemon_is_trusted(user: int, own: int, trusted: bool) -> None:
    assert _is_trusted(user, own) is trusted


def test_a_socket_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("midlayer.frontends.cli.client._UnixConnection.connect", connect)
    error = refused(tmp_path / "m.sock", lambda client: client.get("status"))
    assert "the daemon is another user's; run this command as that user" in str(error)


def answering(path: Path, answer: bytes) -> threading.Thread:
    """Answer one request with these bytes, and hang up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "says", "exit_status"),
    [
        (b"", "the daemon ended before it answered", 15),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "the daemon ended before it answered", 15),
        (b"nonsense\r\n\r\n", "the daemon ended before it answered (nonsense", 15),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", "500 Oh: oops", 99),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", "404 No: {}", 1),
        (b'HTTP/1.1 409 C\r\nContent-Length: 31\r\n\r\n{"error": "x", "exit_status": 6}', "x", 6),
    ],
)
def test_answers_that_are_none(tmp_path: Path, answer: bytes, says: str, exit_status: int) -> None:
    answer = answer.replace(b"Content-Length: 31", b"Content-Length: 32")
    path = tmp_path / "m.sock"
    thread = answering(path, answer)
    error = refused(path, lambda client: client.get("status"))
    thread.join(20)
    assert says in str(error)
    assert error.exit_status == exit_status


def test_a_stream_ends_with_the_daemon_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    event = b'id: 7\nevent: attach\ndata: {"event_count": 7}\n\n'
    chunk = f"{len(event):x}\r\n".encode() + event + b"\r\n"
    thread = answering(
        path, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"40\r\nid: 8"
    )
    with Client(path) as client:
        assert list(client.stream(6)) == [{"event_count": 7}]
        assert client.last_event_count == 7
    thread.join(20)


def test_pages(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midlayer.frontends.cli.client._PAGE_EVENTS", 2)
    with Client(serving.path) as client:
        pages = [[event["event_count"] for event in page["items"]] for page in client.event_pages(None)]
        assert pages == [[1, 2], [3]]
        assert [page["items"] for page in client.event_pages(3)] == [[]]


def test_a_device_of_the_daemon_is_as_good_as_one_here(serving: Serving) -> None:
    device = RemoteDevice(Client(serving.path), "sg0")
    try:
        assert device.execute(bytes.fromhex("2a000000000000000100"), data_out=b"\x5a" * 512).ok
        buffer = bytearray(600)
        result = device.execute(bytes.fromhex("28000000000000000100"), data_in=buffer)
        assert (bytes(result.data), result.residual, result.data_in) == (b"\x5a" * 512, 88, buffer)
        failed = device.execute(bytes.fromhex("28000000ffff00000100"), data_in=512)
        assert (
            str(failed)
            == (
                "0:0:0:0 READ(10) lba=65535 blocks=1: "
                "ILLEGAL REQUEST, logical block address out of range (5/21/00), info ffffh"
            )
            or failed.sense is not None
        )
        with pytest.raises(DaemonError, match="a CDB has 6 to 260 bytes"):
            device.execute(b"")
    finally:
        device.close()
