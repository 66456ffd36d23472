"""Sparse memory and files."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest

from midlayer.errors import NodeError
from midlayer.lower.virtual import medium as medium_module
from midlayer.lower.virtual.medium import FileMedium, Medium, MemoryMedium

SIZE = 1 << 20


@pytest.fixture(params=["memory", "file", "file without holes"])
def medium(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Medium:
    if request.param == "memory":
        return MemoryMedium(SIZE)
    if request.param == "file without holes":
        monkeypatch.setattr(medium_module, "_punch_hole", lambda number, offset, length: False)
    return FileMedium(tmp_path / "disk", SIZE)


def read(medium: Medium, offset: int, length: int) -> bytes:
    buffer = bytearray(b"\xee" * length)
    medium.read_into(offset, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.parametrize(
    ("at", "length"),
    [(0, 0), (0, 1), (5, 100), (4090, 10), (4096, 4096), (100, 9000), (0, SIZE), (SIZE - 1, 1)],
)
def test_zero(medium: Medium, at: int, length: int) -> None:
    medium.zero(at, length)
    assert not any(read(medium, 0, SIZE))
    medium.write(0, b"x" * SIZE)
    medium.zero(at, length)
    assert read(medium, 0, SIZE) == b"x" * at + bytes(length) + b"x" * (SIZE - at - length)
    medium.flush()
    medium.close()


def test_a_closed_medium_says_so(medium: Medium) -> None:
    medium.write(0, b"x")
    medium.close()
    medium.close()
    for use in (
        lambda: read(medium, 0, 1),
        lambda: medium.write(0, b"x"),
        lambda: medium.zero(0, 1),
    ):
        with pytest.raises(OSError, match="taken away") as caught:
            use()
        assert caught.value.errno == errno.ENODEV


def test_a_file_is_sparse_and_gives_room_back(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    medium = FileMedium(path, 1 << 30)
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (1 << 30, 0o600)
    assert path.stat().st_blocks < 64
    medium.write(0, b"x" * SIZE)
    medium.flush()
    used = path.stat().st_blocks
    number = os.open(path, os.O_RDWR)
    punched = medium_module._punch_hole(number, 0, 0x1000)
    os.close(number)
    medium.zero(0, SIZE)
    assert not any(read(medium, 0, SIZE))
    if punched:
        assert path.stat().st_blocks < used
    medium.close()


def test_a_file_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    first = FileMedium(path, SIZE)
    first.write(SIZE - 3, b"end")
    first.close()
    second = FileMedium(path, 0)
    assert (second.size_bytes, read(second, SIZE - 3, 3)) == (SIZE, b"end")
    second.close()
    third = FileMedium(path, SIZE // 2, writable=False)
    assert third.size_bytes == SIZE // 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        third.write(0, b"x")
    third.close()


def test_files_that_will_not_do(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x" * 100)
    with pytest.raises(NodeError, match="the file has 100 bytes, the disk needs 1048576"):
        FileMedium(small, SIZE)
    assert small.stat().st_size == 100  # somebody's file is not made larger
    with pytest.raises(NodeError, match=r"^/.*: No such file or directory$"):
        FileMedium(tmp_path / "missing", SIZE, writable=False)
    with pytest.raises(NodeError, match="No such file"):
        FileMedium(tmp_path / "missing", 0)
    with pytest.raises(NodeError, match="Is a directory"):
        FileMedium(tmp_path, SIZE)
    (tmp_path / "empty").touch()
    with pytest.raises(NodeError, match="0 bytes"):
        FileMedium(tmp_path / "empty", 0, writable=False)
    with pytest.raises(NodeError):
        FileMedium(tmp_path / "huge", (1 << 63) - 512)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty", "huge", "small"]


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    medium = FileMedium(tmp_path / "disk", SIZE)
    os.truncate(tmp_path / "disk", 1000)
    with pytest.raises(OSError, match="shorter than the disk") as caught:
        read(medium, 512, 1024)
    assert caught.value.errno == errno.EIO
    medium.close()


def test_a_descriptor_lives_as_long_as_its_last_user(tmp_path: Path) -> None:
    medium = FileMedium(tmp_path / "disk", SIZE)
    user = medium._use()
    medium.close()
    assert os.fstat(user.number).st_size == SIZE
    number = user.number
    del user
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
