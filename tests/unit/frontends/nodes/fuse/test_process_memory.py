"""Memory of another process, found by the number of a thread."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from midlayer.frontends.nodes.fuse.process_memory import ProcessMemory, buffer_of_read

CHILD = """
import ctypes, sys
room = ctypes.create_string_buffer(b"what is there", 64)
print(ctypes.addressof(room), flush=True)
ctypes.CDLL(None).read(0, room, 64)
print(room.value.decode(), flush=True)
"""


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that waits in read(2), and the address of its buffer."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_read_and_write(child: tuple[subprocess.Popen[str], int]) -> None:
    process, address = child
    memory = ProcessMemory(process.pid)
    assert memory.read(address, 13) == b"what is there"
    assert memory.read(0x10, 0) == b""
    for data in (b"bytes", bytearray(b"array"), memoryview(b"views"), memoryview(bytearray(b"rooms"))):
        memory.write(address, data)
        assert memory.read(address, 13) == bytes(data) + b"is there"
    large = memory.read(address & ~0xFFF, 4096)
    assert large[address & 0xFFF :][:13] == memory.read(address, 13)
    memory.write(address & ~0xFFF, large)
    memory.write(address & ~0xFFF, memoryview(bytearray(large)))
    assert memory.read(address & ~0xFFF, 4096) == large
    assert memory.view(address, 1, writable=True) is None


def test_wild_addresses_and_strangers(child: tuple[subprocess.Popen[str], int]) -> None:
    process, address = child
    cases = [
        (process.pid, 0x10, 4),
        (process.pid, (1 << 64) - 8, 16),
        (0, address, 4),
        (process.pid, 0, 1 << 40),
    ]
    for thread, at, length in cases:
        with pytest.raises(OSError) as raised:
            ProcessMemory(thread).read(at, length)
        assert raised.value.errno == errno.EFAULT
    for thread, at in ((process.pid, 0x10), (0, address)):
        with pytest.raises(OSError) as raised:
            ProcessMemory(thread).write(at, b"data")
        assert raised.value.errno == errno.EFAULT


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of read(2) is that of x86-64")
def test_the_buffer_of_a_read(child: tuple[subprocess.Popen[str], int]) -> None:
    process, address = child
    while not buffer_of_read(process.pid, 64):
        assert process.poll() is None
    assert buffer_of_read(process.pid, 64) == address
    assert buffer_of_read(process.pid, 63) == 0
    assert buffer_of_read(0, 64) == 0
    assert ctypes.sizeof(ctypes.c_void_p) == 8
