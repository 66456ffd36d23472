"""Connections that break at any byte, and initiators that do not play by the rules."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress

import pytest

from midlayer.frontends.target import server
from midlayer.frontends.target.session import LOGIN_S
from midlayer.iscsi.initiator_events import InitiatorTask, TaskEnded
from midlayer.iscsi.initiator_login import Wishes

from .conftest import Serving
from .initiator import INITIATOR, LUN_0, TARGET, Initiator

BLOCK = 512
SOLICITED = {"InitialR2T": True, "ImmediateData": False}


def write_10(blocks: int) -> bytes:
    return b"\x2a\0\0\0\0\0\0" + blocks.to_bytes(2, "big") + b"\0"


@pytest.mark.parametrize(
    ("wanted", "blocks", "cuts"),
    [
        ({}, 1, range(48 + BLOCK + 1)),
        ({}, 4, (48, 560, 561, 1072, 1583, 1584, 2095, 2096)),
        (SOLICITED, 1, range(48 + BLOCK + 1)),
        (SOLICITED, 4, (48, 560, 561, 1072, 1583, 1584, 2095, 2096)),
    ],
    ids=["immediate", "immediate, block by block", "r2t", "r2t, block by block"],
)
def test_a_write_cut_off_at_any_byte_happens_whole_or_not_at_all(
    serving: Serving, wanted: dict[str, bool], blocks: int, cuts: Iterable[int]
) -> None:
    port = serving.add()
    judge = serving.connect(port)
    wishes = Wishes(INITIATOR, TARGET, wanted=dict(wanted))
    whole = 48 + blocks * BLOCK
    old, new = b"o" * (blocks * BLOCK), b"n" * (blocks * BLOCK)
    for cut in cuts:
        judge.write(0, old)
        with closing(Initiator(port, wishes)) as broken:
            broken.iscsi.submit(InitiatorTask(LUN_0, write_10(blocks), new))
            if wanted:
                broken.send()
                while not broken.iscsi.output:  # until the R2T was answered
                    broken.iscsi.reader.received(broken.socket.recv_into(broken.iscsi.reader.room()))
                    assert broken.iscsi.next_event() is None
            stream = b"".join(bytes(piece) for piece in broken.iscsi.take_output())
            assert len(stream) == whole
            broken.socket.sendall(stream[:cut])
            broken.socket.shutdown(socket.SHUT_WR)
            assert broken.ended()
        assert judge.read(0, blocks) == (new if cut == whole else old), f"cut at byte {cut}"


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


def test_a_thousand_connections_that_do_not_log_in(serving: Serving) -> None:
    """With the limit as it is: each costs a thread and a buffer, and only so many live at a time."""
    port = serving.add()
    session = serving.connect(port)
    with ExitStack() as stack:
        for number in range(1000):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            connection.sendall(bytes((0x43, 0x87)) if number % 2 else b"")
        alive = [thread for thread in threading.enumerate() if thread.name == "midlayer-iscsi"]
        serving.eventually(lambda: sum(thread.is_alive() for thread in alive) <= server.MAX_HALF_OPEN + 1)
        assert session.run(bytes(6)).status == 0
        stack.enter_context(closing(Initiator(port)))
        serving.clock.advance(LOGIN_S)
        serving.eventually(lambda: sum(thread.is_alive() for thread in alive) == 1)


def test_a_login_of_one_byte_a_second(serving: Serving) -> None:
    port = serving.add()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        serving.eventually(lambda: LOGIN_S in serving.clock.pending())
        for byte in bytes.fromhex("43870000000000ff000000000000"):
            connection.sendall(bytes((byte,)))
            serving.clock.advance(1)
        connection.settimeout(0.01)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(20)
        serving.clock.advance(1)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_command_of_one_byte_a_second(serving: Serving) -> None:
    """It is served, however long it takes, as its initiator is there; and others do not wait for it."""
    port = serving.add()
    slow, other = serving.connect(port), serving.connect(port)
    task = InitiatorTask(LUN_0, write_10(1), b"s" * BLOCK)
    slow.iscsi.submit(task)
    (session,) = [one for one in serving.server.sessions() if one.nexus.initiator_port == slow.name]
    for byte in b"".join(map(bytes, slow.iscsi.take_output())):
        before = session.heard
        slow.socket.sendall(bytes((byte,)))
        serving.eventually(lambda: session.heard > before)  # noqa: B023
        serving.clock.advance(1)
        assert other.run(bytes(6)).status == 0
    slow.until(lambda event: isinstance(event, TaskEnded) and event.task is task)
    assert task.status == 0
    assert other.read(0, 1) == b"s" * BLOCK


@pytest.mark.parametrize("length", [8193, 0xFFFFFF])
def test_a_data_segment_longer_than_agreed_on(serving: Serving, length: int) -> None:
    """Nothing is set aside for what a header promises: the connection ends with the header."""
    initiator = serving.connect(
        serving.add(), Wishes(INITIATOR, TARGET, wanted={"MaxRecvDataSegmentLength": 8192})
    )
    initiator.iscsi.submit(InitiatorTask(LUN_0, bytes(6)))
    header = bytearray(b"".join(map(bytes, initiator.iscsi.take_output())))
    header[5:8] = max(
        length, initiator.iscsi.parameters.peer_number("MaxRecvDataSegmentLength") + 1
    ).to_bytes(3, "big")
    initiator.socket.sendall(header)
    assert initiator.ended()
