"""Whatever a program, or the kernel, sends to a server of nodes, it answers with an errno and goes on."""

from __future__ import annotations

import array
import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.frontends.nodes import wire
from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.connection import Connection
from midlayer.frontends.nodes.fuse.filesystem import NodeFilesystem
from midlayer.frontends.nodes.fuse.handles import Handles
from midlayer.frontends.nodes.fuse.protocol import Opcode
from midlayer.frontends.nodes.server import NodeServer
from midlayer.frontends.nodes.serving import make_directory, served
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem

EXAMPLES = int(os.environ.get("MIDLAYER_WIRE_EXAMPLES", "60"))
"""Sequences of messages for each protocol."""

TUR = bytes.fromhex("53000000ffffffff0620") + bytes(14) + (0x2000).to_bytes(8, "little") + bytes(56)
DOCUMENTED = {
    errno.EACCES, errno.EAGAIN, errno.EBADF, errno.EBUSY, errno.EDOM, errno.EFAULT, errno.EINVAL, errno.EIO,
    errno.EMSGSIZE, errno.ENAMETOOLONG, errno.ENODEV, errno.ENOENT, errno.ENOMEM, errno.ENOSYS, errno.ENOTTY,
    errno.ENXIO, errno.EOPNOTSUPP, errno.EPERM, errno.ERANGE,
}  # fmt: skip
TIMEOUT_S = 30

words = st.one_of(
    st.sampled_from([0, 1, 4, 36, 88, 4096, 1 << 20, 1 << 31, (1 << 32) - 1]), st.integers(0, (1 << 32) - 1)
)
longs = st.one_of(
    words,
    st.sampled_from([0x1000, 0x2000, 1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
)
ioctls = st.sampled_from(
    [0x2285, 0x2201, 0x2272, 0x2275, 0x227B, 0x2282, 0x2284, 0x2286, 0x2287, 0x1, 0x5382, 0x9999]
)
paths = st.sampled_from(
    [
        b"/dev/sg0", b"/dev/sg7", b"/dev/bsg/0:0:0:0", b"/dev/scsimon", b"/proc/scsi/sg/debug",
        b"/proc/scsi/scsi", b"/proc/../etc/passwd", b"/sys/../../../../etc/passwd", b"\xff\xfe", b"/" * 5000,
        b"/sys/class/scsi_host/host0/scan", b"/dev/sg0\0x", b"",
    ]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request with some sense in it, damaged now and then."""
    operation = draw(st.one_of(st.sampled_from(list(map(int, wire.Operation))), words))
    body, header_length, number = TUR + bytes(6), len(TUR), draw(longs)
    if operation == wire.Operation.OPEN:
        path = draw(paths)
        body, header_length, number = (
            path,
            len(path),
            os.O_NONBLOCK | draw(st.sampled_from([0, 1, 2, os.O_EXCL | 2])),
        )
    elif operation == wire.Operation.IOCTL:
        number = draw(ioctls)
    elif operation == wire.Operation.GROW:
        number = draw(st.sampled_from([0, 1 << 20, 3 << 20, (1 << 30) + 1, (1 << 64) - 1]))
    request = wire.REQUEST.pack(
        operation, draw(st.integers(0, 4)), number, draw(longs), draw(st.sampled_from([1, 3])), draw(words),
        draw(longs), draw(st.sampled_from([header_length, 0, 4, 1 << 31])),
        draw(st.sampled_from([6, 0, 252, 253, 1 << 31])), 0x2000,
    )  # fmt: skip
    message = request + body
    cut = draw(st.one_of(st.none(), st.integers(wire.REQUEST.size, len(message))))
    return message[:cut]


@pytest.fixture(scope="module")
def server() -> Iterator[NodeServer]:
    subsystem = Subsystem()
    with served(subsystem, make_directory()) as running:
        VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(size=1 << 20),)))
        yield running


@contextmanager
def connected(server: NodeServer) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as program:
        program.settimeout(TIMEOUT_S)
        program.connect(str(Path(server.directory, "socket")))
        yield program


def ask(program: socket.socket, message: bytes, memory: bytes) -> tuple[int, int]:
    """Send a request, answer what it asks for, and return its error and its result."""
    program.send(message)
    while True:
        answer, ancillary, _, _ = program.recvmsg(wire.MOST_MESSAGE, socket.CMSG_SPACE(16))
        for _, _, data in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(data[: len(data) - len(data) % 4])
            for descriptor in descriptors:
                os.close(descriptor)
        kind, error, result, count, _, _, _ = wire.REPLY.unpack_from(answer)
        if kind == wire.ReplyKind.DONE:
            return error, result
        there = memory[:count]
        program.send(wire.REQUEST.pack(10, 0, 0, 0, 0, 0, 0, len(there), 0, 0) + there)


@given(messages=st.lists(requests(), max_size=8), memory=st.binary(max_size=200))
@settings(max_examples=EXAMPLES)
def test_a_program_may_send_anything(
    server: NodeServer, caplog: pytest.LogCaptureFixture, messages: list[bytes], memory: bytes
) -> None:
    with connected(server) as program:
        for message in messages:
            error, _ = ask(program, message, memory)
            assert error == 0 or error in DOCUMENTED, (errno.errorcode.get(error), message.hex())
    assert_it_works(server)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@given(message=st.binary(max_size=300))
@settings(max_examples=EXAMPLES)
def test_a_program_may_send_any_bytes(server: NodeServer, message: bytes) -> None:
    with connected(server) as program:
        program.send(message or b"\0")
        program.shutdown(socket.SHUT_WR)
        while program.recv(wire.MOST_MESSAGE):
            pass
    assert_it_works(server)


def assert_it_works(server: NodeServer) -> None:
    with connected(server) as program:
        path = b"/dev/bsg/0:0:0:0"
        opened = wire.REQUEST.pack(wire.Operation.OPEN, 0, 2, 0x3000, 0, 0, 0, len(path), 0, 0) + path
        error, number = ask(program, opened, b"")
        assert error == 0
        assert number


OPCODES = [int(opcode) for opcode in Opcode if opcode not in (Opcode.CUSE_INIT, Opcode.INIT)]
FLAGS_AT = 32  # of a read, behind the header


@st.composite
def kernel_messages(draw: st.DrawFn) -> bytes:
    """What no kernel sends, and now and then what one does."""
    opcode = draw(st.one_of(st.sampled_from(OPCODES), words))
    body = bytearray(draw(st.binary(max_size=80)))
    if draw(st.booleans()):
        body[:8] = draw(st.integers(0, 4)).to_bytes(8, "little")  # an open file
    if opcode == Opcode.OPEN:
        body[:4] = os.O_NONBLOCK.to_bytes(4, "little")
    if opcode == Opcode.READ and len(body) > FLAGS_AT + 4:
        body[FLAGS_AT : FLAGS_AT + 4] = os.O_NONBLOCK.to_bytes(4, "little")
    uid = draw(st.sampled_from([os.geteuid(), 12345]))
    thread = draw(st.sampled_from([0, os.getpid()]))
    header = protocol.IN_HEADER.pack(
        draw(words), opcode, draw(longs), draw(st.one_of(st.integers(0, 20), longs)), uid, 0, thread
    )
    message = header + bytes(body)
    return message[: draw(st.one_of(st.none(), st.integers(0, len(message))))]


@given(messages=st.lists(kernel_messages(), max_size=12))
@settings(max_examples=EXAMPLES)
def test_a_connection_of_fuse_takes_anything(
    server: NodeServer, caplog: pytest.LogCaptureFixture, messages: list[bytes]
) -> None:
    caplog.set_level(
        logging.CRITICAL, "midlayer.nodes"
    )  # what no kernel sends is a defect, and said to be one
    handles = Handles()
    handlers = NodeFilesystem(server, handles).handlers
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel.settimeout(TIMEOUT_S)
    connection = Connection(ours.detach(), handlers, name="test")
    connection.start()
    try:
        for message in messages:
            if message:  # nothing at all would be the end
                kernel.send(message)
        kernel.send(
            protocol.IN_HEADER.pack(0, Opcode.GETATTR, 1 << 62, 1, os.geteuid(), 0, os.getpid()) + bytes(16)
        )
        while True:
            length, error, unique = protocol.OUT_HEADER.unpack_from(answer := kernel.recv(1 << 21))
            assert length == len(answer)
            assert -4095 <= error <= 0
            if unique == 1 << 62:
                assert error == 0
                break
    finally:
        kernel.close()
        connection.close()
        handles.close()
