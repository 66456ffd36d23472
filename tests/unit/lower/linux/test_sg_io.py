"""SG_IO: what the kernel would read and write, and the pool of descriptors."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from midlayer.address import Address
from midlayer.lower.linux.sg_io import IDLE_CLOSE_S, Pool, Slot, address_of
from midlayer.mid.command import Command, HostByte
from midlayer.testing.clock import FakeClock

from .fake_kernel import FakeIoctl, SgAnswer

CDB = bytes.fromhex("12 00 00 00 60 00")
SENSE = bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 00 00 00")


def open_null() -> int:
    return os.open("/dev/null", os.O_RDWR)


def command(
    cdb: bytes = CDB, *, out: object = None, room: bytearray | None = None, timeout_s: float = 60.0
) -> Command:
    device = SimpleNamespace(address=Address(0, 0, 0, 0))
    data_in = None if room is None else memoryview(room)
    return Command(device, cdb, out, data_in, timeout_s)  # type: ignore[arg-type]


@pytest.fixture
def slot(ioctl: FakeIoctl) -> Iterator[Slot]:
    made = Slot(open_null(), ioctl)
    yield made
    made.close()


def test_no_data(slot: Slot, ioctl: FakeIoctl) -> None:
    sent = command(bytes(6), timeout_s=1.5)
    slot.execute(sent)
    expected = {"cdb": bytes(6), "direction": -1, "count": 0, "out": b"", "timeout_ms": 1500, "fd": slot.fd}
    assert ioctl.seen == [expected]
    assert (sent.status, sent.host_byte, sent.sense_data, sent.residual) == (0, 0, b"", 0)


def test_a_cdb_that_is_changed_in_place_is_sent_as_it_is_now(slot: Slot, ioctl: FakeIoctl) -> None:
    cdb = bytearray(6)
    slot.execute(command(cdb))  # type: ignore[arg-type]
    cdb[4] = 9
    slot.execute(command(cdb))  # type: ignore[arg-type]
    assert [seen["cdb"] for seen in ioctl.seen] == [bytes(6), bytes((0, 0, 0, 0, 9, 0))]


def test_data_in_goes_straight_to_the_callers_buffer(slot: Slot, ioctl: FakeIoctl) -> None:
    ioctl.answer = SgAnswer(data=b"0123456789")
    room = bytearray(16)
    sent = command(room=room)
    slot.execute(sent)
    assert room == b"0123456789" + bytes(6)
    assert sent.residual == 6
    del sent
    room.append(0)  # nobody holds the buffer any more


@pytest.mark.parametrize(
    "out",
    [b"payload", bytearray(b"payload"), memoryview(bytearray(b"payload")), memoryview(b"a payload")[2:]],
    ids=["bytes", "bytearray", "writable view", "read-only view"],
)
def test_data_out_is_read_where_it_is(slot: Slot, ioctl: FakeIoctl, out: object) -> None:
    sent = command(out=out)
    slot.execute(sent)
    assert ioctl.seen[0]["out"] == b"payload"
    assert ioctl.seen[0]["direction"] == -2


def test_address_of_a_read_only_view_is_that_of_its_bytes() -> None:
    whole = b"some bytes"
    at, _ = address_of(whole)
    view = memoryview(whole)[5:]
    part, pinned = address_of(view)
    assert part == at + 5
    with pytest.raises(BufferError):
        view.release()
    del pinned
    view.release()


@pytest.mark.parametrize(("out", "room"), [(b"", None), (None, bytearray())])
def test_an_empty_buffer_is_no_data(
    slot: Slot, ioctl: FakeIoctl, out: object, room: bytearray | None
) -> None:
    slot.execute(command(out=out, room=room))
    assert (ioctl.seen[0]["direction"], ioctl.seen[0]["count"]) == (-1, 0)


@pytest.mark.parametrize("refused", [0, errno.EBUSY])
def test_sg_keeps_a_buffer_for_large_transfers(slot: Slot, ioctl: FakeIoctl, refused: int) -> None:
    ioctl.reserve_error = refused
    for size in (32 << 10, 64 << 10, 48 << 10, 64 << 10, 96 << 10):
        slot.execute(command(out=bytes(size)))
        slot.execute(command(room=bytearray(size)))
    assert ioctl.reserved == [(slot.fd, 64 << 10), (slot.fd, 96 << 10)], "it is asked once for each size"
    assert [seen["count"] for seen in ioctl.seen[-2:]] == [96 << 10] * 2


def test_check_condition(slot: Slot, ioctl: FakeIoctl) -> None:
    ioctl.answer = SgAnswer(status=2, sense=SENSE, driver_status=8)
    sent = command(room=bytearray(96))
    slot.execute(sent)
    assert (sent.status, sent.host_byte, sent.sense_data, sent.residual) == (2, 0, SENSE, 96)


def test_the_answer_of_one_command_is_not_that_of_the_next(slot: Slot, ioctl: FakeIoctl) -> None:
    ioctl.answer = SgAnswer(status=2, sense=SENSE)
    slot.execute(command())
    ioctl.answer = SgAnswer()
    sent = command(bytes(16))
    slot.execute(sent)
    assert (sent.status, sent.sense_data) == (0, b"")
    assert ioctl.seen[-1]["cdb"] == bytes(16)


@pytest.mark.parametrize(
    ("host_status", "driver_status", "host_byte"),
    [
        (1, 0, HostByte.DID_NO_CONNECT),
        (3, 6, HostByte.DID_TIME_OUT),
        (0, 6, HostByte.DID_TIME_OUT),
        (0, 0x28, HostByte.DID_OK),
        (0, 7, HostByte.DID_ERROR),
    ],
)
def test_host_and_driver_byte(
    slot: Slot, ioctl: FakeIoctl, host_status: int, driver_status: int, host_byte: HostByte
) -> None:
    ioctl.answer = SgAnswer(host_status=host_status, driver_status=driver_status)
    sent = command()
    slot.execute(sent)
    assert sent.host_byte == host_byte


@pytest.mark.parametrize(("timeout_s", "timeout_ms"), [(0.0001, 1), (1e9, 0xFFFFFFFF), (0.25, 250)])
def test_timeouts(slot: Slot, ioctl: FakeIoctl, timeout_s: float, timeout_ms: int) -> None:
    slot.execute(command(timeout_s=timeout_s))
    assert ioctl.seen[0]["timeout_ms"] == timeout_ms


def test_the_longest_cdb(slot: Slot, ioctl: FakeIoctl) -> None:
    cdb = bytes(range(252))
    slot.execute(command(cdb))
    assert ioctl.seen[0]["cdb"] == cdb


def test_pool_is_last_in_first_out_and_lazy(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl)
    assert pool.opened == 0
    first, second = pool.take(), pool.take()
    pool.give_back(first)
    pool.give_back(second)
    assert pool.take() is second
    assert pool.opened == 2
    pool.give_back(second)
    pool.close()
    assert (first.fd, second.fd, pool.opened) == (-1, -1, 0)


def test_a_slot_in_use_is_closed_when_it_comes_back(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl)
    slot = pool.take()
    pool.close()
    assert slot.fd >= 0
    pool.give_back(slot)
    assert slot.fd == -1


def test_a_closed_pool_says_that_the_device_is_gone(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl)
    pool.close()
    with pytest.raises(OSError, match="No such device") as caught:
        pool.take()
    assert caught.value.errno == errno.ENODEV


def test_an_open_that_fails_takes_no_place(ioctl: FakeIoctl) -> None:
    answers = iter([OSError(errno.EMFILE, "too many"), None])

    def open_fd() -> int:
        error = next(answers)
        if error is not None:
            raise error
        return open_null()

    pool = Pool(open_fd, ioctl, limit=1)
    with pytest.raises(OSError, match="too many"):
        pool.take()
    pool.give_back(pool.take())
    assert pool.opened == 1
    pool.close()


def test_a_bounded_pool_makes_callers_wait(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl, limit=2)
    held: list[int] = []
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        for _ in range(300):
            slot = pool.take()
            with lock:
                held.append(slot.fd)
                most = max(most, len(held))
                assert len(set(held)) == len(held)
            with lock:
                held.remove(slot.fd)
            pool.give_back(slot)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert most <= 2
    assert pool.opened <= 2
    pool.close()


def test_idle_slots_are_closed(ioctl: FakeIoctl) -> None:
    clock = FakeClock()
    pool = Pool(open_null, ioctl, clock=clock)
    busy, idle = pool.take(), pool.take()
    pool.give_back(idle)
    clock.advance(IDLE_CLOSE_S)
    assert idle.fd >= 0  # it was used since the timer was set
    clock.advance(IDLE_CLOSE_S)
    assert idle.fd == -1
    assert busy.fd >= 0
    pool.give_back(busy)
    clock.advance(2 * IDLE_CLOSE_S)
    assert (busy.fd, pool.opened, clock.pending()) == (-1, 0, [])
    pool.give_back(pool.take())  # opens again
    assert clock.pending()
    pool.close()
    assert clock.pending() == []


def test_who_waits_gets_what_comes_back(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl, limit=1)
    slot = pool.take()
    got: list[Slot] = []
    thread = threading.Thread(target=lambda: got.append(pool.take()))
    thread.start()
    while not pool._waiting:
        pass
    pool.give_back(slot)
    thread.join(60)
    assert got == [slot]
    pool.give_back(slot)
    pool.close()


def test_who_waits_is_woken_by_close(ioctl: FakeIoctl) -> None:
    pool = Pool(open_null, ioctl, limit=1)
    slot = pool.take()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            pool.take()
        except OSError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    pool.close()
    thread.join(60)
    assert [error.errno for error in caught] == [errno.ENODEV]  # type: ignore[attr-defined]
    pool.give_back(slot)
    assert slot.fd == -1


def test_a_slot_that_is_dropped_closes_its_descriptor(ioctl: FakeIoctl) -> None:
    fd = open_null()
    slot = Slot(fd, ioctl)
    del slot
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
