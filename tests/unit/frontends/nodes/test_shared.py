"""Memory that a program shares, and can not take away."""

from __future__ import annotations

import os

import pytest

from midlayer.frontends.nodes.shared import ReserveMemory, SharedMemory, text_descriptor


def test_nobody_can_shrink_it() -> None:
    memory = SharedMemory(4096)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 0)
    memory.close()


def test_growing_keeps_the_bytes_and_the_earlier_views() -> None:
    memory = SharedMemory(4096)
    before = memory.view[:4]
    memory.grow(5000)
    assert memory.length == 8192
    memory.view[:4] = b"seen"
    assert bytes(before) == b"seen"
    memory.close()


def test_a_reserved_buffer_is_what_its_descriptor_shows() -> None:
    reserve = ReserveMemory()
    buffer = reserve.allocate(33 * 512)
    buffer[:3] = b"abc"
    assert len(buffer) == 33 * 512
    assert os.pread(reserve.descriptor, 3, 0) == b"abc"
    reserve.allocate(4096)
    reserve.close()
    reserve.close()


def test_a_text_is_for_reading() -> None:
    descriptor = text_descriptor(b"text\n")
    assert os.read(descriptor, 100) == b"text\n"
    with pytest.raises(OSError):
        os.write(descriptor, b"x")
    os.close(descriptor)
