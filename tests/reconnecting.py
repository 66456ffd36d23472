"""Sessions that are lost again and again, in the middle of writes: no command is lost, nothing leaks."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

import pytest

from midlayer.mid.clock import _SystemTimer
from midlayer.mid.command import Command, HostByte
from midlayer.mid.dispatch import submit
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.sbc import Read10, Write10
from midlayer.upper.sg import execute

RECONNECTS = int(os.environ.get("MIDLAYER_RECONNECTS", "100"))
"""Enough to see one that leaks; MIDLAYER_RECONNECTS=10000 takes some minutes."""

AT_ONCE = 8
WAIT_S = 60.0
BLOCKS, BLOCK_BYTES = 8, 512
_WARM_UP = 20
_COUNTED = frozenset({"midlayer", "threading", "_thread", "socket", "select"})
_ATTENTIONS = 40
_GOOD, _BUSY, _CHECK_CONDITION = 0x00, 0x08, 0x02


class Census(NamedTuple):
    """What a process has that could leak."""

    descriptors: int
    threads: int
    objects: int

    @classmethod
    def take(cls, host: Host) -> Self:
        """Count, once the rescan after a login, and sessions of before at a target of ours, are over."""
        host.hostdata.join()
        end_s = time.monotonic() + WAIT_S
        while sum(thread.name == "midlayer-iscsi" for thread in threading.enumerate()) > 1:
            assert time.monotonic() < end_s, "sessions of before do not end"
            time.sleep(0.001)
        gc.collect()
        objects = [each for each in gc.get_objects() if _could_leak(type(each))]
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count(), len(objects))


@pytest.fixture
def few_logs() -> Iterator[None]:
    """Keep warnings from pytest, which would keep them all: more with each reconnect."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Flight:
    """Commands that are under way together."""

    def __init__(self) -> None:
        self.ends: list[Command] = []
        self._all = threading.Semaphore(0)

    def send(self, device: LogicalUnit, cdb: bytes, data_out: bytes | None = None) -> None:
        """Send one command."""
        submit(Command(device, cdb, data_out, None, 60.0, 0, True, self._ended))

    def wait(self, count: int) -> None:
        """Wait for the end of that many commands; each has one end, and an honest one."""
        for _ in range(count):
            assert self._all.acquire(timeout=WAIT_S), "a command has no end"
        assert len(self.ends) == len({id(command) for command in self.ends}) == count
        for command in self.ends:
            lost = command.host_byte == HostByte.DID_TRANSPORT_DISRUPTED
            assert lost or (not command.host_byte and command.status in (_GOOD, _BUSY, _CHECK_CONDITION))

    def _ended(self, command: Command) -> None:
        self.ends.append(command)
        self._all.release()


def reconnect(host: Host, number: int) -> None:
    """Cut the connection; return when the session is there again."""
    assert host.hostdata.session.reconnect(f"number {number}", WAIT_S)


def write_through_reconnects(host: Host, device: LogicalUnit) -> None:
    """Cut the connection in the middle of writes; each block is then as it was or as it was written."""
    before = [b""] * AT_ONCE
    read_attentions_away(device)
    census = None
    for number in range(RECONNECTS):
        flight = Flight()
        data = [os.urandom(BLOCKS * BLOCK_BYTES) for _ in range(AT_ONCE)]
        for at, each in enumerate(data):
            flight.send(device, _write(at), each)
        reconnect(host, number)
        flight.wait(AT_ONCE)
        read_attentions_away(device)
        good = {command.cdb for command in flight.ends if not (command.host_byte or command.status)}
        for at, each in enumerate(data):
            there = _read(device, at)
            assert there == each or (_write(at) not in good and _whole(there, each, before[at]))
            before[at] = there
        del flight
        if number == _WARM_UP:
            census = Census.take(host)
    assert host.hostdata.session.logins == RECONNECTS + 1
    assert_no_leak(census, host)


def _could_leak(kind: type) -> bool:
    """Say whether objects of a type count: the clock keeps some cancelled timers, a thousand at most."""
    return str(kind.__module__).partition(".")[0] in _COUNTED and kind is not _SystemTimer


def assert_no_leak(census: Census | None, host: Host) -> None:
    """Compare what there is with what there was: not one object more for each reconnect."""
    assert census is not None
    after = Census.take(host)
    assert after.descriptors == census.descriptors
    assert after.threads <= census.threads + 1  # the rescan thread may be about to end
    assert after.objects - census.objects < (RECONNECTS - _WARM_UP) // 2


def read_attentions_away(device: LogicalUnit) -> None:
    """Read the unit attentions of a new session away."""
    assert any(execute(device, bytes(6)).ok for _ in range(_ATTENTIONS)), f"{device} is not ready"


def _write(at: int) -> bytes:
    return Write10(logical_block_address=at * BLOCKS, transfer_length=BLOCKS).encode()


def _read(device: LogicalUnit, at: int) -> bytes:
    cdb = Read10(logical_block_address=at * BLOCKS, transfer_length=BLOCKS).encode()
    return bytes(execute(device, cdb, data_in=BLOCKS * BLOCK_BYTES).raise_for_status().data)


def _whole(there: bytes, new: bytes, old: bytes) -> bool:
    """Say whether each block is whole: all new or all old."""
    for at in range(0, BLOCKS * BLOCK_BYTES, BLOCK_BYTES):
        block = there[at : at + BLOCK_BYTES]
        if old and block not in (new[at : at + BLOCK_BYTES], old[at : at + BLOCK_BYTES]):
            return False
    return True
