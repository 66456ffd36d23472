"""A command that reads blocks and writes what depends on them, while another one writes (SBC-3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import sbc

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

BLOCK = b"w" * 512
UNMAP_FIRST = sbc.encode_unmap_list(
    [sbc.UnmapBlockDescriptor(unmap_logical_block_address=0, number_of_logical_blocks=1)]
)
WRITERS: dict[str, tuple[bytes, bytes | None, bytes]] = {
    "WRITE(6)": (bytes.fromhex("0a0000000100"), BLOCK, BLOCK),
    "WRITE(10)": (bytes.fromhex("2a000000000000000100"), BLOCK, BLOCK),
    "WRITE(12)": (bytes.fromhex("aa0000000000000000010000"), BLOCK, BLOCK),
    "WRITE(16)": (bytes.fromhex("8a000000000000000000000000010000"), BLOCK, BLOCK),
    "WRITE SAME(10)": (bytes.fromhex("41000000000000000100"), BLOCK, BLOCK),
    "WRITE SAME(16), UNMAP": (bytes.fromhex("93080000000000000000000000010000"), bytes(512), bytes(512)),
    "WRITE AND VERIFY(10)": (bytes.fromhex("2e020000000000000100"), BLOCK, BLOCK),
    "WRITE ATOMIC(16)": (bytes.fromhex("9c000000000000000000000000010000"), BLOCK, BLOCK),
    "COMPARE AND WRITE": (bytes.fromhex("89000000000000000000000000010000"), b"o" * 512 + BLOCK, BLOCK),
    "UNMAP": (sbc.Unmap(parameter_list_length=len(UNMAP_FIRST)).encode(), UNMAP_FIRST, bytes(512)),
    "FORMAT UNIT": (bytes.fromhex("040000000000"), None, bytes(512)),
    "SANITIZE, block erase": (bytes.fromhex("48020000000000000000"), None, bytes(512)),
}
READERS = {
    "COMPARE AND WRITE": (bytes.fromhex("89000000000000000000000000010000"), b"i" * 512 + b"o" * 512),
    "ORWRITE": (bytes.fromhex("8b000000000000000000000000010000"), bytes(b"o"[0] & ~b"i"[0] for _ in BLOCK)),
    "WRITE AND VERIFY": (bytes.fromhex("2e020000000000000100"), b"o" * 512),
}


class WatchedLock:
    """A lock that says when somebody wants it."""

    def __init__(self, lock: Any, wanted: threading.Event) -> None:
        self._lock = lock
        self._wanted = wanted

    def __enter__(self) -> None:
        if self._lock.locked():
            self._wanted.set()
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


class Interrupted:
    """A medium at whose first read, before or after it, another command comes along."""

    def __init__(self, medium: Any, interrupt: Callable[[], None], *, before: bool) -> None:
        self._medium = medium
        self._before = before
        self._interrupt: Callable[[], None] | None = interrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._medium, name)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        interrupt, self._interrupt = self._interrupt or _nothing, None
        if self._before:
            interrupt()
        self._medium.read_into(offset_bytes, buffer)
        if not self._before:
            interrupt()


def _nothing() -> None:
    """What comes along at later reads."""


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize("writer", list(WRITERS))
def test_nothing_is_written_in_between(
    unit: MakeUnit, initiators: Initiators, reader: str, writer: str
) -> None:
    device = unit(thin=True)
    alice, bob, _ = initiators(device)
    alice("2a000000000000000100", b"i" * 512)
    virtual = device.hostdata
    seen = threading.Event()  # the writer waits, or it has written
    outcome: list[str] = []

    def write() -> None:
        cdb, data, _ = WRITERS[writer]
        outcome.append(bob.code(cdb, data))
        seen.set()

    thread = threading.Thread(target=write)

    def interrupt() -> None:
        thread.start()
        assert seen.wait(60)

    virtual.exclusive = WatchedLock(virtual.exclusive, seen)
    virtual.medium = Interrupted(virtual.medium, interrupt, before=reader == "WRITE AND VERIFY")
    cdb, data = READERS[reader]
    assert alice.code(cdb, data) == "ok"
    thread.join(60)
    assert outcome == ["ok"]
    # As if the writer had come afterwards: that is the only order in which its blocks are there at the end.
    assert alice("28000000000000000100", data_in=512).data == WRITERS[writer][2]
