"""What the table can not show: the proc files' view, signals, closing under a call, other header forms."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from midlayer.mid.host import HostState
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg.descriptor import SgFile
from midlayer.upper.sg.device import SgDevice, SgNodes
from midlayer.upper.sg.parameters import Caller
from midlayer.upper.sg.request import TRANSITIONS, Event, RequestView, State

SG_IO, TABLE = 0x2285, 0x2286
READ, QUICK = 0x28, 0x12


class Arena:
    """64 KiB at address 0x10000."""

    base = 0x10000

    def __init__(self) -> None:
        self.bytes = bytearray(1 << 16)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.view(address, length, writable=False))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self.view(address, len(data), writable=True)[:] = data

    def view(self, address: int, length: int, *, writable: bool) -> memoryview:
        at = address - self.base
        if not 0 <= at <= at + length <= len(self.bytes):
            raise OSError(errno.EFAULT, "wild")
        return memoryview(self.bytes)[at : at + length]


class Bench:
    """A scripted device, and a header for its commands."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.sg = SgNodes()
        self.driver = ScriptedDriver()
        unit = self.driver.unit(0, 0, 0)
        unit.on(READ, Answer(later=True))
        self.subsystem.register_upper(self.sg)
        self.host = self.driver.start(self.subsystem)
        self.memory = Arena()
        self.device: SgDevice = self.sg.device(0)

    def open(self, flags: int = os.O_RDWR, **options: Any) -> SgFile:
        return self.device.open(flags, **options)

    def header(self, opcode: int = READ, length: int = 512, flags: int = 0, pack_id: int = 7) -> bytes:
        at = self.memory.base
        self.memory.write(at, bytes((opcode, *bytes(9))))
        return struct.pack(
            "=iiBBHIQQQIIi4xQ24x", 83, -3, 10, 32, 0, length, at + 1024, at, at + 64, 5000, flags, pack_id, 99
        )

    def sg_io_address(self, **fields: int) -> int:
        at = self.memory.base + 256
        self.memory.write(at, self.header(**fields))
        return at


@pytest.fixture
def bench() -> Bench:
    return Bench()


def name_of(call: Callable[[], object]) -> str | None:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return None


class InThread:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.outcome: str | None = "never ended"
        self.thread = threading.Thread(target=lambda: setattr(self, "outcome", name_of(call)))
        self.thread.start()

    def interrupted(self, interrupt: Callable[[int | None], bool]) -> str | None:
        while not interrupt(self.thread.ident):
            self.thread.join(0.001)
        return self.ended()

    def ended(self) -> str | None:
        self.thread.join(60)
        return self.outcome


def test_the_table_of_states_has_no_way_back() -> None:
    order = list(State)
    for (before, _), after in TRANSITIONS.items():
        assert order.index(after) > order.index(before)
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.FREE}
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_requests_as_the_proc_file_shows_them(bench: Bench) -> None:
    file = bench.open()
    file.write(bench.header(pack_id=1), bench.memory)
    bench.clock.advance(0.25)
    file.write(bench.header(pack_id=2, length=40000), bench.memory)
    bench.driver.pending[0].complete()
    assert bench.device.files == (file,)
    assert file.requests == (
        RequestView("rb", "rcv", 1, 512, 250, 5000, 0, 1, READ),
        RequestView("", "act", 2, 40448, None, 5000, 0, 2, READ),
    )
    assert (file.timeout_ms, file.reserved_bytes, file.reserved_sgat) == (60000, 32768, 1)
    assert (file.cmd_q, file.force_pack_id, file.keep_orphan, file.closed) == (True, False, 0, False)


def test_mapped_and_direct_requests_are_told_apart(bench: Bench) -> None:
    file = bench.open()
    file.write(bench.header(flags=4), bench.memory)
    bench.sg.parameters.allow_dio = True
    file.write(bench.header(flags=1), bench.memory)
    assert [view.kind for view in file.requests] == ["mmap", "dio"]


def test_a_closed_descriptor_is_seen_until_its_last_request_ends(bench: Bench) -> None:
    file = bench.open()
    file.write(bench.header(), bench.memory)
    file.close()
    file.close()
    assert bench.device.files == (file,)
    assert file.closed
    bench.driver.pending[0].complete()
    assert bench.device.files == ()
    assert bench.device.device.references == 1


def test_sigio_for_each_end_and_for_the_end_of_the_device(bench: Bench) -> None:
    file, bands = bench.open(), []
    file.fasync(bands.append)
    file.write(bench.header(opcode=QUICK), bench.memory)
    bench.subsystem.remove_device(bench.device.device)
    assert bands == [1, 6]
    file.fasync(bands.append, on=False)
    assert bands == [1, 6]


def test_interrupted_sg_io_is_never_sent_again(bench: Bench) -> None:
    file = bench.open()
    bench.driver.commands.clear()
    address = bench.sg_io_address()
    call = InThread(lambda: file.ioctl(SG_IO, address, bench.memory))
    assert call.interrupted(file.interrupt) == "EINTR"
    assert len(bench.driver.commands) == 1
    (pending,) = bench.driver.pending
    pending.complete()
    assert file.requests == ()
    assert not file.interrupt()


def test_requests_go_before_those_that_wait_unless_they_say_at_the_tail(bench: Bench) -> None:
    """Rule SG-30."""
    device = bench.device.device
    bench.subsystem.adjust_queue_depth(device, 1)
    file = bench.open()
    for pack_id, flags in ((1, 0), (2, 0), (3, 0x10), (4, 0)):
        file.write(bench.header(flags=flags, pack_id=pack_id), bench.memory)
    waiting = [request.pack_id for command in device.queue for request in file.table if _is(command, request)]
    assert waiting == [4, 2, 3]
    while bench.driver.pending:
        bench.driver.pending[0].complete()
    assert [view.state for view in file.requests] == ["rcv"] * 4


def _is(command: Any, request: Any) -> bool:
    return command is request


def test_close_ends_calls_that_wait(bench: Bench) -> None:
    file = bench.open()
    address = bench.sg_io_address()
    sg_io = InThread(lambda: file.ioctl(SG_IO, address, bench.memory))
    read = InThread(lambda: file.read(88, bytes(88), bench.memory))
    while len(file.waiting.threads) < 2:
        pass
    file.close()
    assert (sg_io.ended(), read.ended()) == ("EINTR", "EBADF")
    bench.driver.pending[0].complete()
    assert bench.device.files == ()


def test_a_signal_ends_a_blocking_open(bench: Bench) -> None:
    first = bench.open(os.O_RDWR | os.O_EXCL)
    call = InThread(bench.open)
    assert call.interrupted(bench.device.interrupt) == "EINTR"
    call = InThread(bench.open)
    while not bench.device.waiting.threads:
        pass
    bench.device.detach()
    assert call.ended() == "ENODEV"
    first.close()
    assert name_of(bench.open) == "ENODEV"


def test_a_blocking_open_waits_for_error_recovery(bench: Bench) -> None:
    bench.host.set_state(HostState.RECOVERY)
    file = bench.open(os.O_RDWR | os.O_NONBLOCK)
    value = bench.memory.base
    assert name_of(lambda: file.ioctl(0x2284, value, bench.memory)) == "EAGAIN"
    call = InThread(lambda: bench.open().close())
    assert call.interrupted(bench.device.interrupt) == "EINTR"
    call = InThread(lambda: bench.open().close())
    bench.host.set_state(HostState.RUNNING)
    assert call.ended() is None


def test_reset_climbs_the_ladder(bench: Bench) -> None:
    tried: list[str] = []
    for step, result in (("device", 0x2003), ("target", 0x2003), ("bus", 0x2002), ("host", 0x2002)):

        def handler(command: object, step: str = step, result: int = result) -> int:
            tried.append(step)
            return result

        setattr(bench.driver, f"eh_{step}_reset_handler", handler)
    file = bench.open()

    def reset(value: int) -> str | None:
        tried.clear()
        bench.memory.write(bench.memory.base, struct.pack("=i", value))
        return name_of(lambda: file.ioctl(0x2284, bench.memory.base, bench.memory))

    assert (reset(1), tried) == (None, ["device", "target", "bus"])
    assert (reset(0x101), tried) == ("EIO", ["device"])
    assert (reset(3), tried) == (None, ["host"])


def test_a_program_of_32_bits(bench: Bench) -> None:
    file = bench.open(caller=Caller(ilp32=True))
    at = bench.memory.base
    bench.memory.write(at, bytes((QUICK, *bytes(9))))
    header = struct.pack("=iiBBHIIIIIIiI20x", 83, -3, 10, 32, 0, 36, at + 1024, at, at + 64, 5000, 0, 5, 77)
    assert len(header) == 64
    assert file.write(header, bench.memory) == 64
    answer = file.read(64, header, bench.memory)
    assert answer[:44] == header[:44]
    assert (len(answer), answer.returned, answer[44]) == (64, 64, 0)
    assert bench.memory.read(at + 1032, 8) == b"SCRIPTED"


def version_4(bench: Bench, opcode: int = QUICK, **fields: int) -> bytes:
    at = bench.memory.base
    bench.memory.write(at, bytes((opcode, *bytes(9))))
    words = {"guard": 81, "protocol": 0, "sub": 0, "size": 10, "out": 0, "into": 36} | fields
    return struct.pack(
        "=iIIIQQIIIIQIIIIQQIIQI52x", words["guard"], words["protocol"], words["sub"], words["size"],
        at, 0, 0, 0, 0, 32, at + 64, 0, words["out"], 0, words["into"], at + 1024, at + 1024, 1000, 0, 0, 0,
    )  # fmt: skip


def test_version_4_on_a_bsg_node(bench: Bench) -> None:
    file, at = bench.open(bsg=True), bench.memory.base + 512

    def sg_io(**fields: int) -> str | None:
        bench.memory.write(at, version_4(bench, **fields))
        return name_of(lambda: file.ioctl(SG_IO, at, bench.memory))

    assert sg_io() is None
    assert bench.memory.read(bench.memory.base + 1032, 8) == b"SCRIPTED"
    assert sg_io(guard=83) == sg_io(sub=1) == sg_io(size=33) == "EINVAL"
    assert sg_io(out=1) == "ENOTSUP"
    assert name_of(lambda: file.ioctl(0x4711, 0, bench.memory)) == "ENOTTY"
    assert bench.device.files == ()
    file.close()
    assert bench.device.device.references == 1


def test_version_4_on_an_sg_node_is_an_option(bench: Bench) -> None:
    file, at = bench.open(), bench.memory.base + 512
    bench.memory.write(at, version_4(bench))
    assert name_of(lambda: file.ioctl(SG_IO, at, bench.memory)) == "ENOSYS"
    bench.sg.parameters.v4_on_sg = True
    assert file.ioctl(SG_IO, at, bench.memory) == 0


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_an_ioctl_that_only_the_driver_knows(bench: Bench) -> None:
    def ioctl(device: object, request: int, argument: int) -> int:
        return {0x4711: argument + 1, 0x4712: -errno.EXDEV}[request]

    bench.driver.ioctl = ioctl  # type: ignore[method-assign]
    file = bench.open()
    assert file.ioctl(0x4711, 41, bench.memory) == 42
    assert name_of(lambda: file.ioctl(0x4712, 0, bench.memory)) == "EXDEV"
    assert name_of(lambda: file.ioctl(0x4713, 0, bench.memory)) == "EIO"
