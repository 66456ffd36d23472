"""``/dev/scsimon``: what each call says, errno by errno, and that the header says the same as we do."""

from __future__ import annotations

import errno
import os
import re
import select
import struct
import threading
from collections.abc import Callable

import pytest

from midlayer.mid.logical_unit import DeviceState
from midlayer.testing import FakeClock
from midlayer.testing.scripted import inquiry_data
from midlayer.upper.scsimon import interface
from midlayer.upper.scsimon.interface import EVENT, GAP, Request
from midlayer.upper.scsimon.node import ScsimonFile, ScsimonNode
from midlayer.upper.sg.parameters import Caller

from .running import Run, Start

HEADER = interface.HEADER.read_text()
LETTERS = {"uint8_t": "B", "uint32_t": "I", "int32_t": "i", "uint64_t": "Q", "char": "s"}
STRUCTURES = {
    "scsimon_status": interface.STATUS, "scsimon_device": interface.DEVICE, "scsimon_host": interface.HOST,
    "scsimon_list": interface.LIST, "scsimon_wait": interface.WAIT, "scsimon_position": interface.POSITION,
    "scsimon_online": interface.ONLINE, "scsimon_host_ioctl": interface.HOST_IOCTL,
    "scsimon_lock": interface.LOCK, "scsimon_event": interface.EVENT,
}  # fmt: skip
AT = 0x1000


class Memory:
    """Memory of a program: what was put there, by address."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}

    def read(self, address: int, length: int) -> bytes:
        if address not in self.pieces:
            raise OSError(errno.EFAULT, "nothing there")
        return self.pieces[address][:length].ljust(length, b"\0")

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if not address:
            raise OSError(errno.EFAULT, "nothing there")
        self.pieces[address] = bytes(data)

    def view(self, address: int, length: int, *, writable: bool) -> None:
        return None


class Program:
    """Who has the node open."""

    def __init__(
        self, run: Run, flags: int = os.O_RDWR | os.O_NONBLOCK, caller: Caller | None = None
    ) -> None:
        self.node = ScsimonNode(run.subsystem, run.scsimon)
        self.file: ScsimonFile = (
            self.node.open(flags) if caller is None else self.node.open(flags, caller=caller)
        )
        self.memory = Memory()

    def call(self, request: int, given: bytes = b"") -> bytes:
        self.memory.pieces[AT] = given
        assert self.file.ioctl(request, AT, self.memory) == 0
        return self.memory.pieces[AT]

    def error(self, request: int, given: bytes = b"") -> int | None:
        with pytest.raises(OSError) as caught:
            self.call(request, given)
        return caught.value.errno

    def list(self, request: int, first: int = 0, room: int = 100, size: int = 480) -> tuple[list[int], bytes]:
        answer = self.call(request, interface.LIST.pack(99, 0x2000, size, first, room, 99, 99))
        return list(interface.LIST.unpack(answer)), self.memory.pieces.pop(0x2000, b"")

    def events(self, count: int = 4096) -> list[tuple[int, ...]]:
        return list(EVENT.iter_unpack(self.file.read(count, b"", self.memory)))


def members(name: str) -> str:
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", HEADER, re.DOTALL)
    assert body is not None
    found = ""
    for kind, _, count in re.findall(r"^    (\w+) (\w+)(?:\[(\d+)\])?;", body[1], re.MULTILINE):
        letter = "s" if count and kind in ("char", "uint8_t") else LETTERS[kind]
        found += f"{count}{letter}"
    return found


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_header_has_the_same_structures(name: str) -> None:
    ours = STRUCTURES[name].format.removeprefix("=")
    theirs = re.sub(r"I$|6s(?=12s)", "", members(name)) if "x" in ours else members(name)
    assert re.sub(r"\d+x", "", ours) == theirs
    # No hole, so that 32-bit and 64-bit programs agree.
    assert (
        struct.calcsize("=" + members(name)) == struct.calcsize("@" + members(name)) == STRUCTURES[name].size
    )


def test_the_header_has_the_same_numbers() -> None:
    found = re.findall(r"#define SCSIMON_(\w+) _IO(W?)R\('S', (0x\w+), struct (\w+)\)", HEADER)
    sizes = {name: one.size for name, one in STRUCTURES.items()}
    sizes |= {
        "scsimon_one_device": 8 + sizes["scsimon_device"],
        "scsimon_one_host": 8 + sizes["scsimon_host"],
    }
    numbers = {
        name: (3 if write else 2) << 30 | sizes[of] << 16 | 0x53 << 8 | int(number, 16)
        for name, write, number, of in found
    }
    assert numbers == {request.name: int(request) for request in Request}
    kinds = {name: int(value) for name, value in re.findall(r"SCSIMON_([A-Z_]+) = (\d+),", HEADER)}
    assert kinds == {kind.name: number for kind, number in interface.KINDS.items()} | {"GAP": GAP}


def test_lists_in_whole_and_in_parts(run: Run, clock: FakeClock) -> None:
    host = run.host(3)
    clock.advance(1.5)
    inquiry = inquiry_data(vendor="ACME", qualifier=1)
    for lun in range(3):
        run.plug(host, lun, inquiry=inquiry, names={"sg": f"sg{lun}", "sd": f"sd{'abc'[lun]}"})
    program = Program(run)
    head, data = program.list(Request.GET_ATTACHED)
    assert head == [4, 0x2000, 480, 0, 100, 3, 3]
    first, *_, last = interface.DEVICE.iter_unpack(data)
    assert (first[0], first[1], last[0]) == (2, 0, 4)
    assert first[2] == round(5001.5 * 1e6)
    assert first[6:10] == (0, 3, 0, 0)
    assert first[11:13] == (0, 1), "type and qualifier"
    texts = [one.rstrip(b"\0") for one in first[21:28]]
    assert texts[:2] == [b"ACME", b"Scripted disk"]
    assert texts[3:7] == [b"sg0", b"sda", b"reported HBA", b"reporting"]
    assert first[29][: first[28]] == inquiry
    head, data = program.list(Request.GET_ATTACHED, first=1, room=1)
    assert (head[5:], interface.DEVICE.unpack(data)[0]) == ([1, 3], 3)
    head, data = program.list(Request.GET_ATTACHED, first=3)
    assert (head[5:], data) == ([0, 3], b"")
    head, data = program.list(Request.GET_ATTACHED, room=0)
    assert (head[5:], data) == ([0, 3], b"")


def test_elements_of_another_length(run: Run) -> None:
    run.plug(run.host())
    program = Program(run)
    _, whole = program.list(Request.GET_ATTACHED)
    assert program.list(Request.GET_ATTACHED, size=8)[1] == whole[:8]
    assert program.list(Request.GET_ATTACHED, size=500)[1] == whole + bytes(20)
    given = interface.LIST.pack(0, 0x2000, 0, 0, 1, 0, 0)
    assert program.error(Request.GET_ATTACHED, given) == errno.EINVAL
    assert program.error(Request.GET_ATTACHED, interface.LIST.pack(0, 0, 480, 0, 1, 0, 0)) == errno.EFAULT


def test_detached_devices_and_hosts(run: Run) -> None:
    host = run.host(7)
    run.unplug(run.plug(host, inquiry=inquiry_data(vendor="GONE")))
    program = Program(run)
    head, data = program.list(Request.GET_DETACHED)
    assert head[5:] == [1, 1]
    gone = interface.DEVICE.unpack(data)
    assert gone[:2] == (2, 3)
    assert gone[21].rstrip(b"\0") == b"GONE"
    head, data = program.list(Request.GET_HOSTS, size=interface.HOST.size)
    (shown,) = interface.HOST.iter_unpack(data)
    assert (shown[0], shown[2], shown[5]) == (1, 7, 0)
    assert shown[6].rstrip(b"\0") == b"reported HBA"


def one(attach: int = 0, detach: int = 0, lun: int = 0, host: int = 0) -> bytes:
    key = interface.DEVICE_KEY.pack(attach, detach, lun, host, 0, 0)
    return bytes(8) + key.ljust(interface.DEVICE.size, b"\0")


def test_single_elements(run: Run) -> None:
    host = run.host(2)
    device = run.plug(host, 5)
    run.unplug(run.plug(host, 6))
    run.plug(host, 6)
    program = Program(run)
    by_event = program.call(Request.FIND_ATTACHED, one(attach=2))
    assert by_event == program.call(Request.FIND_ATTACHED, one(lun=5, host=2))
    assert interface.COUNT.unpack_from(by_event) == (5,)
    device.get()
    assert interface.DEVICE.unpack_from(program.call(Request.FIND_ATTACHED, one(attach=2)), 8)[10] == 1
    device.put()
    gone = program.call(Request.FIND_DETACHED, one(attach=3))
    assert gone == program.call(Request.FIND_DETACHED, one(detach=4))
    assert interface.DEVICE.unpack_from(gone, 8)[:2] == (3, 4)
    for request, wanted in (
        (Request.FIND_ATTACHED, one(attach=3)),
        (Request.FIND_ATTACHED, one(lun=1, host=2)),
        (Request.FIND_DETACHED, one(attach=2)),
        (Request.FIND_HOST, bytes(24) + (9).to_bytes(4, "little") + bytes(340)),
    ):
        assert program.error(request, wanted) == errno.ENODEV
        assert interface.COUNT.unpack_from(program.memory.pieces[AT]) == (5,), "the count comes all the same"


def test_events_are_read_from_the_open_on(run: Run) -> None:
    host = run.host()
    program = Program(run)
    assert program.file.poll() == 0
    with pytest.raises(BlockingIOError):
        program.events()
    device = run.plug(host, 4)
    assert program.file.poll() == select.POLLIN | select.POLLRDNORM
    run.unplug(device)
    (attach, detach) = program.events()
    assert (attach[0], attach[1], attach[5:10]) == (2, 2, (4, 1, 0, 0, 0))
    assert (detach[0], detach[1], detach[6]) == (3, 2, 2)
    assert program.file.poll() == 0
    with pytest.raises(OSError, match="Invalid"):
        program.events(EVENT.size - 1)


def test_the_position_can_be_set_and_a_gap_is_said(start: Start) -> None:
    run = start(keep_events=2)
    host = run.host()
    run.scsimon.scan_begins(host)  # so that there is one wait for the disk for many events
    for lun in range(2500):
        run.plug(host, lun)
    run.scsimon.scan_ends(host)
    program = Program(run)
    oldest, last = run.scsimon.oldest_count, run.scsimon.event_count
    assert oldest > 1
    assert program.error(Request.SET_POSITION, interface.POSITION.pack(0, last + 1)) == errno.EINVAL
    program.call(Request.SET_POSITION, interface.POSITION.pack(0, 0))
    gap, first = program.events(2 * EVENT.size)
    assert (gap[0], gap[1], gap[6]) == (oldest - 1, 1, GAP)
    assert first[0] == oldest
    program.call(Request.SET_POSITION, interface.POSITION.pack(0, 0))
    (gap,) = program.events(EVENT.size)
    assert gap[6] == GAP
    assert program.events(EVENT.size)[0][0] == oldest, "nothing is skipped"


def waiting(file: ScsimonFile, call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run a call in a thread until it blocks."""
    results: list[object] = []

    def work() -> None:
        try:
            results.append(call())
        except OSError as error:
            results.append(error.errno)

    thread = threading.Thread(target=work)
    thread.start()
    while not file._waiting.threads and thread.is_alive():
        pass
    return thread, results


def test_a_wait_ends_with_an_event_a_signal_or_its_time(run: Run, clock: FakeClock) -> None:
    host = run.host()
    program = Program(run, os.O_RDWR)

    def wait(since: int, timeout_ms: int) -> tuple[int, ...]:
        return interface.WAIT.unpack(program.call(Request.WAIT, interface.WAIT.pack(0, since, timeout_ms)))

    assert wait(0, 0) == (1, 0, 0)
    assert program.error(Request.WAIT, interface.WAIT.pack(0, 1, 0)) == errno.ETIMEDOUT
    thread, results = waiting(program.file, lambda: wait(1, -1))
    run.plug(host)
    thread.join()
    assert results == [(2, 1, -1)]
    thread, results = waiting(program.file, lambda: wait(2, 500))
    clock.advance(0.5)
    thread.join()
    assert results == [errno.ETIMEDOUT]
    assert interface.COUNT.unpack_from(program.memory.pieces[AT]) == (2,)
    thread, results = waiting(program.file, lambda: wait(2, -1))
    assert program.file.interrupt(thread.ident)
    thread.join()
    assert results == [errno.EINTR]
    thread, results = waiting(program.file, lambda: wait(2, -1))
    program.file.close()
    thread.join()
    assert results == [errno.EBADF]


def test_a_read_waits(run: Run) -> None:
    host = run.host()
    program = Program(run, os.O_RDWR)
    thread, results = waiting(program.file, program.events)
    run.plug(host)
    thread.join()
    assert [event[0] for event in results[0]] == [2]  # type: ignore[attr-defined]
    thread, results = waiting(program.file, program.events)
    assert program.file.interrupt(thread.ident)
    thread.join()
    assert results == [errno.EINTR]


def test_whoever_wants_to_hear_is_told(run: Run) -> None:
    host = run.host()
    program, told = Program(run), list[int]()
    program.file.fasync(told.append)
    run.plug(host)
    assert told == [1]
    program.file.fasync(told.append, on=False)
    run.plug(host, 1)
    assert told == [1]
    program.file.fasync(told.append)
    assert told == [1, 1], "there was something to read already"


def test_online_state_by_attach_event(run: Run) -> None:
    host = run.host()
    device = run.plug(host)
    program = Program(run)

    def switch(attach: int, online: int) -> bytes:
        return interface.ONLINE.pack(0, attach, online)

    answer = program.call(Request.SET_ONLINE_STATE, switch(2, 0))
    assert (device.state, interface.ONLINE.unpack(answer)) == (DeviceState.OFFLINE, (3, 2, 0))
    _, data = program.list(Request.GET_ATTACHED)
    assert interface.DEVICE.unpack(data)[19] == 0
    program.call(Request.SET_ONLINE_STATE, switch(2, 1))
    assert device.state is DeviceState.RUNNING
    assert program.error(Request.SET_ONLINE_STATE, switch(2, 2)) == errno.EINVAL
    run.unplug(device)
    again = run.plug(host)
    assert program.error(Request.SET_ONLINE_STATE, switch(2, 0)) == errno.ENODEV
    assert again.state is DeviceState.RUNNING, "another stay, another count"


def test_ioctls_of_a_host(run: Run) -> None:
    run.host(4)
    program = Program(run)

    def given(host: int, command: int, argument: int = 0) -> bytes:
        return interface.HOST_IOCTL.pack(0, argument, host, command, 0)

    program.memory.pieces[0x3000] = (8).to_bytes(4, "little")
    answer = program.call(Request.SEND_HOST_IOCTL, given(4, 0x5385, 0x3000))
    assert interface.HOST_IOCTL.unpack(answer)[4] == 1
    assert program.memory.pieces[0x3000] == b"reported"
    program.call(Request.SEND_HOST_IOCTL, given(4, 0x5386, 0x3000))
    assert program.memory.pieces[0x3000] == (4).to_bytes(4, "little")
    assert program.error(Request.SEND_HOST_IOCTL, given(5, 0x5385)) == errno.ENODEV
    assert program.error(Request.SEND_HOST_IOCTL, given(4, 0x1234)) == errno.ENODEV, (
        "no device for the driver"
    )
    run.plug(run.subsystem.host(4))
    seen = []
    run.driver.ioctl = lambda device, command, argument: seen.append((command, argument)) or 17  # type: ignore
    answer = program.call(Request.SEND_HOST_IOCTL, given(4, 0x1234, 5))
    assert (seen, interface.HOST_IOCTL.unpack(answer)[4]) == ([(0x1234, 5)], 17)
    run.driver.ioctl = lambda *_: -errno.EPROTO  # type: ignore[method-assign]
    assert program.error(Request.SEND_HOST_IOCTL, given(4, 0x1234)) == errno.EPROTO


def test_the_lock_outlives_the_file(run: Run) -> None:
    first = Program(run)
    assert interface.LOCK.unpack(first.call(Request.LOCK_MOD, interface.LOCK.pack(0, 1, 0))) == (0, 1, 1)
    first.file.close()
    second = Program(run)
    assert interface.STATUS.unpack(second.call(Request.GET_STATUS))[3] == 1
    second.call(Request.LOCK_MOD, interface.LOCK.pack(0, 0, 0))
    for lock in (0, 2):
        assert second.error(Request.LOCK_MOD, interface.LOCK.pack(0, lock, 0)) == errno.EINVAL


def test_rights(run: Run) -> None:
    run.plug(run.host())
    stranger = Program(run, caller=Caller(uid=1000))
    reader = Program(run, os.O_RDONLY)
    for program in (stranger, reader):
        program.list(Request.GET_ATTACHED)
        for request in (Request.SET_ONLINE_STATE, Request.SEND_HOST_IOCTL, Request.LOCK_MOD):
            assert program.error(request, bytes(64)) == errno.EPERM
    writer = Program(run, os.O_WRONLY)
    with pytest.raises(OSError, match="Bad file"):
        writer.events()
    for program, number in ((writer, errno.EINVAL), (reader, errno.EBADF)):
        with pytest.raises(OSError) as caught:
            program.file.write(b"x", program.memory)
        assert caught.value.errno == number
    assert reader.error(0x2285) == errno.ENOTTY
    with pytest.raises(OSError) as caught:
        reader.file.ioctl(Request.GET_STATUS, 0, reader.memory)
    assert caught.value.errno == errno.EFAULT


def test_closed_files_hear_nothing(run: Run) -> None:
    program = Program(run)
    before = len(run.scsimon._listeners)
    program.file.close()
    program.file.close()
    assert len(run.scsimon._listeners) == before - 1
