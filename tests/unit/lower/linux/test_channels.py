"""sg's write and read: a socket stands in for the node, and the test for the kernel behind it."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from midlayer.address import Address
from midlayer.lower.linux.channel import COMMANDS_PER_CHANNEL
from midlayer.lower.linux.channels import FAILED, SUCCESS, Channels
from midlayer.lower.linux.sg_io import IDLE_CLOSE_S
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host_template import DEVICE_BUSY
from midlayer.testing import FakeClock

CDB = bytes.fromhex("28 00 00 00 00 08 00 00 01 00")
_request = struct.Struct("=iiBBHIQQQIIi")


class FakeSg:
    """The kernel's side of each descriptor that was opened."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.ioctls: list[tuple[int, int]] = []
        self.refuses = 0

    def open(self) -> int:
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.ends.append(theirs)
        return ours.detach()

    def ioctl(self, fd: int, request: int, argument: object, mutate: bool) -> int:
        self.ioctls.append((fd, request))
        return 0

    def take(self, end: int = 0) -> bytearray:
        """Receive a header that was written."""
        return bytearray(self.ends[end].recv(200))

    def answer(
        self,
        header: bytearray,
        end: int = 0,
        *,
        data: bytes = b"",
        status: int = 0,
        sense: bytes = b"",
        host: int = 0,
    ) -> None:
        _, direction, _, _, _, count, at, _, sense_at, _, _, _ = _request.unpack_from(header)
        if direction == -3:
            ctypes.memmove(at, data, min(len(data), count))
        ctypes.memmove(sense_at, sense, len(sense))
        struct.pack_into("=BxxBHHi", header, 64, status, len(sense), host, 8 * bool(sense), count - len(data))
        self.ends[end].send(header)

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Done:
    """Commands that came back."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self._came = threading.Semaphore(0)

    def __call__(self, command: Command) -> None:
        self.commands.append(command)
        self._came.release()

    def wait(self, count: int = 1) -> list[Command]:
        for _ in range(count):
            assert self._came.acquire(timeout=60), "nothing came back"
        return self.commands


@pytest.fixture
def sg() -> Iterator[FakeSg]:
    made = FakeSg()
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def channels(sg: FakeSg, clock: FakeClock) -> Iterator[Channels]:
    made = Channels("0:0:0:0", sg.open, sg.ioctl, clock=clock, flags=1)
    yield made
    made.close()


def command(*, out: bytes | None = None, room: int | None = None, timeout_s: float = 2.5) -> Command:
    device = SimpleNamespace(address=Address(0, 0, 0, 0))
    data_in = None if room is None else memoryview(bytearray(room))
    return Command(device, CDB, out, data_in, timeout_s)  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s, "not within a minute"
        time.sleep(0.005)


def test_what_is_written_and_what_comes_back(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    sent = command(room=8)
    assert channels.submit(sent, done) == 0
    header = sg.take()
    kind, direction, cdb_length, sense_room, iovecs, count, _, cdb, _, timeout_ms, flags, _ = (
        _request.unpack_from(header)
    )
    assert (chr(kind), direction, iovecs, count, sense_room) == ("S", -3, 0, 8, 252)
    assert ctypes.string_at(cdb, cdb_length) == CDB
    assert (timeout_ms, flags) == (2500, 0x10 | 1)
    sg.answer(header, data=b"abcdef")
    assert done.wait() == [sent]
    assert (bytes(sent.data_in or b""), sent.residual, sent.status) == (b"abcdef\0\0", 2, 0)


def test_data_out_and_sense(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    sent = command(out=b"payload")
    sent.at_head = True
    channels.submit(sent, done)
    header = sg.take()
    _, direction, _, _, _, count, at, *_ = _request.unpack_from(header)
    flags = _request.unpack_from(header)[10]
    assert (direction, ctypes.string_at(at, count), flags) == (-2, b"payload", 1)
    sg.answer(header, status=2, sense=b"\x70\0\3")
    done.wait()
    assert (sent.status, sent.sense_data, sent.host_byte) == (2, b"\x70\0\3", 0)


def test_answers_come_in_any_order(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    sent = [command(room=1) for _ in range(5)]
    for one in sent:
        channels.submit(one, done)
    headers = [sg.take() for _ in sent]
    for at in (3, 1, 4, 0, 2):
        sg.answer(headers[at], data=bytes([at]))
    assert done.wait(5) == [sent[at] for at in (3, 1, 4, 0, 2)]
    assert [bytes(one.data_in or b"") for one in sent] == [bytes([at]) for at in range(5)]


def test_sixteen_in_a_channel_then_another_one(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    for _ in range(COMMANDS_PER_CHANNEL + 1):
        channels.submit(command(), done)
    assert channels.opened == 2
    for end, count in ((0, COMMANDS_PER_CHANNEL), (1, 1)):
        for _ in range(count):
            sg.answer(sg.take(end), end)
    done.wait(COMMANDS_PER_CHANNEL + 1)
    channels.submit(command(), done)
    assert channels.opened == 2, "places are used again"
    end = 0 if select.select([sg.ends[0]], [], [], 0)[0] else 1
    sg.answer(sg.take(end), end)
    done.wait()


@pytest.mark.parametrize("code", [errno.EDOM, errno.ENOMEM, errno.EAGAIN])
def test_no_room_in_the_kernel(
    sg: FakeSg, channels: Channels, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Done()
    first, second = command(), command()
    channels.submit(first, done)

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        assert channels.submit(second, done) == DEVICE_BUSY, "the first one's end makes room"
        assert second.timer is None
        sg.answer(sg.take())
        done.wait()
        with pytest.raises(OSError, match=os.strerror(code)):
            channels.submit(second, done)


def test_an_abandoned_answer_is_never_read(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    first, second = command(room=4), command(room=4)
    channels.submit(first, done)
    channels.submit(second, done)
    sg.take()
    header = sg.take()
    assert channels.abandon(first) == SUCCESS
    assert channels.abandon(first) == FAILED
    assert [request for _, request in sg.ioctls] == [0x227B]
    third = command()
    channels.submit(third, done)
    assert channels.opened == 2, "the first channel takes no more"
    sg.answer(sg.take(1), 1)
    sg.answer(header, data=b"abcd")
    done.wait(2)
    assert bytes(second.data_in or b"") == b"abcd"
    eventually(lambda: channels.opened == 1)
    assert sg.ends[0].recv(1) == b"", "it is closed"


def test_a_device_that_goes_away(sg: FakeSg, channels: Channels, caplog: pytest.LogCaptureFixture) -> None:
    done = Done()
    sent = command(room=4)
    channels.submit(sent, done)
    sg.ends[0].close()
    done.wait()
    assert (sent.host_byte, sent.residual) == (HostByte.DID_NO_CONNECT, 4)
    assert "sg's read failed" in caplog.text


def test_idle_channels_are_closed(sg: FakeSg, channels: Channels, clock: FakeClock) -> None:
    done = Done()
    channels.submit(command(), done)
    clock.advance(IDLE_CLOSE_S * 3)
    assert channels.opened == 1, "a command is on its way"
    sg.answer(sg.take())
    done.wait()
    clock.advance(IDLE_CLOSE_S)
    eventually(lambda: channels.opened == 0)
    assert clock.pending() == []
    channels.submit(command(), done)
    sg.answer(sg.take(1), 1)
    done.wait()


def test_closing_loses_no_result(sg: FakeSg, channels: Channels) -> None:
    done = Done()
    sent = command()
    channels.submit(sent, done)
    channels.close()
    sg.answer(sg.take())
    assert done.wait() == [sent]
    eventually(lambda: channels.opened == 0)
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        channels.submit(command(), done)


def test_a_node_that_can_not_be_opened(sg: FakeSg, channels: Channels) -> None:
    sg.refuses = errno.EBUSY
    sent = command()
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        channels.submit(sent, Done())
    assert sent.timer is None
