"""Who opens a node after a close finds it closed, whatever the server is at."""

from __future__ import annotations

import os
import select
import socket
import threading
from array import array
from pathlib import Path

import pytest

from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes import wire
from midlayer.frontends.nodes.server import NodeServer
from midlayer.frontends.nodes.serving import make_directory, served

SG = b"/dev/sg0"
TIMEOUT_S = 30
ANSWERS_AT_ONCE_S = 0.2
"""What an answer has time for that should not come yet."""


def test_an_open_waits_for_the_close_that_is_being_seen_to(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with served(daemon.subsystem, make_directory()) as server, program:
        program.settimeout(TIMEOUT_S)
        program.connect(str(Path(server.directory, "socket")))
        token = _open(program)
        closing = _hold_up_closing(server, program, monkeypatch)
        os.close(token)
        assert closing.wait(TIMEOUT_S)
        os.close(_open(program))


def test_news_of_a_connection_before_it_are_not_for_the_next_one(daemon: Daemon) -> None:
    """Its descriptor may have the number of one that was closed after the server had heard of its end."""
    program = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with served(daemon.subsystem, make_directory()) as server, program:
        program.settimeout(TIMEOUT_S)
        program.connect(str(Path(server.directory, "socket")))
        os.close(_open(program))
        (descriptor,) = server._channels
        server._channel_hung_up(descriptor)
        assert not server._dying


def _open(program: socket.socket) -> int:
    """Open the node for oneself, and return the token."""
    flags = os.O_RDWR | os.O_EXCL | os.O_NONBLOCK
    program.send(wire.REQUEST.pack(wire.Operation.OPEN, 0, flags, 0x3000, 0, 0, 0, len(SG), 0, 0) + SG)
    answer, ancillary, _, _ = program.recvmsg(wire.MOST_MESSAGE, socket.CMSG_SPACE(4))
    kind, error, *_ = wire.REPLY.unpack_from(answer)
    assert (kind, error) == (wire.ReplyKind.DONE, 0)
    ((_, _, descriptor),) = ancillary
    return array("i", descriptor)[0]


def _hold_up_closing(
    server: NodeServer, program: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> threading.Event:
    """Have the server take its time to close the first file; the event is set when it has begun to."""
    begun, remove = threading.Event(), server.files.remove

    def slowly(number: int) -> None:
        if not begun.is_set():
            begun.set()
            select.select([program], [], [], ANSWERS_AT_ONCE_S)
        remove(number)

    monkeypatch.setattr(server.files, "remove", slowly)
    return begun
