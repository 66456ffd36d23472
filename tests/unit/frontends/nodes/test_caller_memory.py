"""A program's memory, as far as the server has it, and what goes back."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from midlayer.frontends.nodes.caller_memory import CallerMemory, efault
from midlayer.frontends.nodes.shared import SharedMemory
from midlayer.frontends.nodes.wire import INLINE, MOST_FETCH, PIECE, REQUEST, Operation, RequestFlag

HEADER_AT, CDB_AT, WINDOW_AT = 0x1000, 0x2000, 0x3000


class Program:
    """Memory that is fetched from."""

    def __init__(self) -> None:
        self.fetched: list[tuple[int, int]] = []

    def fetch(self, address: int, length: int) -> bytes:
        self.fetched.append((address, length))
        if address < 0x100:
            raise efault()
        return b"f" * length


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    memory = SharedMemory(8192)
    yield memory
    memory.close()


@pytest.fixture
def program() -> Program:
    return Program()


def begun(shared: SharedMemory, program: Program, *, filled: bool, in_place: bool = True) -> CallerMemory:
    memory = CallerMemory(shared, program.fetch)
    operation = Operation.IOCTL if in_place else Operation.WRITE
    flags = RequestFlag.WINDOW_FILLED if filled else 0
    header, cdb = bytes(range(88)), b"\x12\0\0\0\x24\0"
    request = REQUEST.pack(operation, 7, 0, HEADER_AT, flags, 512, WINDOW_AT, len(header), len(cdb), CDB_AT)
    assert memory.begin(memoryview(request + header + cdb)) == (operation, 7, 0, HEADER_AT, flags)
    return memory


def pieces(memory: CallerMemory) -> list[tuple[int, int, int]]:
    count, raw = memory.answer()
    return [PIECE.unpack_from(raw, number * PIECE.size) for number in range(count)]


def test_what_came_along_is_not_fetched(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=True)
    shared.view[:4] = b"data"
    assert memory.read(HEADER_AT, 88) == bytes(range(88))
    assert memory.read(HEADER_AT + 4, 4) == bytes([4, 5, 6, 7])
    assert memory.read(CDB_AT, 6) == b"\x12\0\0\0\x24\0"
    assert memory.read(WINDOW_AT, 4) == b"data"
    assert program.fetched == []


def test_anything_else_is_fetched_piece_by_piece(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=False)
    assert memory.read(WINDOW_AT, 8) == b"f" * 8
    assert len(memory.read(0x9000, MOST_FETCH + 1)) == MOST_FETCH + 1
    assert program.fetched == [(WINDOW_AT, 8), (0x9000, MOST_FETCH), (0x9000 + MOST_FETCH, 1)]


def test_a_wild_pointer_is_efault(shared: SharedMemory, program: Program) -> None:
    with pytest.raises(OSError) as caught:
        begun(shared, program, filled=False).read(0x10, 8)
    assert caught.value.errno == errno.EFAULT


def test_the_window_goes_back_without_the_residual(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=False)
    view = memory.view(WINDOW_AT, 512, writable=True)
    assert view is not None
    view[:5] = b"hello"
    memory.write(HEADER_AT + 64, struct.pack("=BBBBHHiII", 0, 0, 0, 0, 0, 0, 500, 1, 0))
    assert memory.window_back == 12
    assert pieces(memory) == [(HEADER_AT + 64, 20, INLINE)]


def test_no_view_for_a_call_that_does_not_wait(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=True, in_place=False)
    assert memory.view(WINDOW_AT, 512, writable=False) is None
    assert memory.view(WINDOW_AT, 512, writable=True) is None


def test_no_view_of_what_is_not_there(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=False)
    assert memory.view(WINDOW_AT, 512, writable=False) is None
    assert memory.view(WINDOW_AT, 513, writable=True) is None
    assert memory.view(CDB_AT, 6, writable=True) is None


def test_much_goes_by_shared_memory_which_grows(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=False)
    memory.write(0x8000, b"x" * 20000)
    assert pieces(memory) == [(0x8000, 20000, 512)]
    assert bytes(shared.view[512:20512]) == b"x" * 20000
    assert shared.length == 32768


def test_the_next_request_begins_anew(shared: SharedMemory, program: Program) -> None:
    memory = begun(shared, program, filled=False)
    memory.write(HEADER_AT, b"abc")
    memory.begin(memoryview(REQUEST.pack(Operation.IOCTL, 7, 0, HEADER_AT, 0, 0, 0, 0, 0, 0)))
    assert memory.answer() == (0, b"")
    assert memory.window_back == 0


def test_more_shared_memory_than_there_is(shared: SharedMemory, program: Program) -> None:
    memory = CallerMemory(shared, program.fetch)
    request = REQUEST.pack(Operation.IOCTL, 7, 0, HEADER_AT, 0, shared.length + 1, WINDOW_AT, 0, 0, 0)
    with pytest.raises(OSError, match="Bad address"):
        memory.begin(memoryview(request))
    assert memory.view(WINDOW_AT, 512, writable=True) is None
