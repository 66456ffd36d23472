"""The cable: nothing blocks in a send, nothing is lost, and an end is an end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from midlayer.iscsi.errors import ProtocolError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorEvent, PingAnswered
from midlayer.iscsi.initiator_login import Wishes
from midlayer.lower.iscsi.cable import Cable, CableCut, _rest


@pytest.fixture
def ends() -> Iterator[tuple[Cable, socket.socket]]:
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection = InitiatorConnection(Wishes("iqn.2026-11.io.midlayer:a"), os.urandom)
    connection.take_output()
    cable = Cable(near, connection, threading.Lock())
    yield cable, far
    cable.close()
    far.close()


def receive_until_cut(cable: Cable) -> None:
    with pytest.raises(CableCut):
        cable.receive()


def test_a_full_socket_blocks_nobody_and_everything_arrives(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends
    data = [bytes((number,)) * 10_000 for number in range(200)]
    for piece in data:
        cable.connection.output.append(piece)
        cable.flush()
    receiving = threading.Thread(target=receive_until_cut, args=(cable,))
    receiving.start()
    got = bytearray()
    while len(got) < 2_000_000:
        got += far.recv(1 << 16)
    cable.cut("enough")
    receiving.join()
    assert bytes(got) == b"".join(data)


def test_many_threads_send_in_whole_pieces(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends
    lock = cable._lock

    def send(number: int) -> None:
        for _ in range(50):
            with lock:
                cable.connection.output.append(bytes((number,)) * 999)
            cable.flush()

    receiving = threading.Thread(target=receive_until_cut, args=(cable,))
    receiving.start()
    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for sender in senders:
        sender.start()
    got = bytearray()
    while len(got) < 8 * 50 * 999:
        got += far.recv(1 << 16)
    for sender in senders:
        sender.join()
    cable.cut("enough")
    receiving.join()
    pieces = [bytes(got[at : at + 999]) for at in range(0, len(got), 999)]
    assert all(len(set(piece)) == 1 for piece in pieces)
    assert {piece[0]: pieces.count(piece) for piece in pieces} == dict.fromkeys(range(8), 50)


def test_the_other_end_goes(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends
    far.close()
    with pytest.raises(CableCut, match=r"the target closed the connection|receive: "):
        cable.receive(1.0)


def test_who_waits_learns_why_it_was_cut(ends: tuple[Cable, socket.socket]) -> None:
    cable, _ = ends
    cable.cut("the error handler wants it")
    with pytest.raises(CableCut, match="the error handler wants it"):
        cable.receive(1.0)


def test_nothing_comes_in_time(ends: tuple[Cable, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        ends[0].receive(0.0)


def test_cut_after_close_harms_nobody(ends: tuple[Cable, socket.socket]) -> None:
    cable, _ = ends
    cable.close()
    cable.cut("late")
    cable.close()


def test_what_came_before_a_broken_pdu_counts(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends
    cable.connection = Broken(os.urandom)
    far.send(b"anything")
    assert cable.receive(1.0) == [PingAnswered(1, b""), PingAnswered(2, b"")]
    with pytest.raises(ProtocolError, match="the third is wrong"):
        cable.receive(1.0)


class Broken(InitiatorConnection):
    """Whatever comes: two answers, then something that breaks the rules."""

    __slots__ = ("_coming",)

    def __init__(self, random: Callable[[int], bytes]) -> None:
        super().__init__(Wishes("iqn.2026-11.io.midlayer:a"), random)
        self.take_output()
        self._coming = iter([PingAnswered(1, b""), PingAnswered(2, b"")])

    def next_event(self) -> InitiatorEvent | None:
        for event in self._coming:
            return event
        raise ProtocolError("the third is wrong")


def test_commands_that_are_held_go_out_together(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends

    def send(number: int) -> None:
        cable.connection.output.append(bytes((number,)))
        cable.flush()

    cable.hold()
    for number in range(7):
        send(number)
    with pytest.raises(BlockingIOError):
        far.recv(100, socket.MSG_DONTWAIT)
    send(7)
    assert far.recv(100) == bytes(range(8))
    send(8)
    cable.let_go()
    assert far.recv(100) == bytes([8])


def test_what_others_send_is_not_held(ends: tuple[Cable, socket.socket]) -> None:
    cable, far = ends
    cable.hold()
    cable.connection.output.append(b"held")
    other = threading.Thread(target=cable.flush)
    other.start()
    other.join()
    assert far.recv(100) == b"held"


@pytest.mark.parametrize("sent", range(11))
def test_what_is_left_after_a_partial_send(sent: int) -> None:
    assert b"".join(_rest([b"abc", bytearray(b"de"), memoryview(b"fghij")], sent)) == b"abcdefghij"[sent:]
