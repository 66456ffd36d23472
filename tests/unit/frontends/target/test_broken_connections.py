"""Connections that break at any byte, and initiators that do not play by the rules."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from midlayer.frontends.target import server
from midlayer.iscsi.initiator_events import InitiatorTask
from midlayer.iscsi.initiator_login import Wishes

from .conftest import Serving
from .initiator import INITIATOR, LUN_0, TARGET

WRITE_4 = bytes.fromhex("2a000000000000000400")
OLD, NEW = b"o" * 2048, b"n" * 2048


@pytest.mark.parametrize(
    "wanted", [{}, {"InitialR2T": True, "ImmediateData": False}], ids=["immediate", "r2t"]
)
def test_a_write_cut_off_at_any_byte_happens_whole_or_not_at_all(
    serving: Serving, wanted: dict[str, bool]
) -> None:
    port = serving.add()
    judge = serving.connect(port)
    wishes = Wishes(INITIATOR, TARGET, wanted=dict(wanted))
    whole = 48 + 2048
    for cut in (0, 1, 47, 48, 49, 559, 560, 561, 1072, 1583, 1584, 2000, whole - 1, whole):
        judge.write(0, OLD)
        broken = serving.connect(port, wishes)
        broken.iscsi.submit(InitiatorTask(LUN_0, WRITE_4, NEW))
        if "InitialR2T" in wanted:
            broken.send()
            while not broken.iscsi.output:  # until the R2T was answered
                broken.iscsi.reader.received(broken.socket.recv_into(broken.iscsi.reader.room()))
                assert broken.iscsi.next_event() is None
        stream = b"".join(bytes(piece) for piece in broken.iscsi.take_output())
        assert len(stream) == whole
        broken.socket.sendall(stream[:cut])
        broken.socket.shutdown(socket.SHUT_WR)
        assert broken.ended()
        assert judge.read(0, 4) == (NEW if cut == whole else OLD), f"cut at byte {cut}"


def test_a_broken_connection_harms_nobody_else(serving: Serving) -> None:
    port = serving.add()
    other = serving.connect(port)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 10, bytes(4096), b"\xff" * 4096):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(garbage)
            connection.settimeout(20)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    assert other.run(bytes(6)).status == 0
    serving.eventually(lambda: len(serving.server.sessions()) == 1)


def test_connections_that_do_not_log_in_are_limited(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_HALF_OPEN", 3)
    port = serving.add()
    session = serving.connect(port)
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for connection in waiting[:2]:
        connection.settimeout(20)
        assert connection.recv(1) == b"", "the oldest had to go"
    assert session.run(bytes(6)).status == 0
    for connection in waiting:
        connection.close()
