"""What a virtual disk keeps its blocks in: sparse memory or a file."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import Protocol

from midlayer.errors import NodeError

_PAGE = mmap.PAGESIZE


class Medium(Protocol):
    """Bytes at offsets. The caller keeps offsets inside of `size_bytes`."""

    size_bytes: int

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill `buffer` with what is at `offset_bytes`."""

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `offset_bytes`."""

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        """Make a range read as zeros and give its space back where that is possible."""

    def flush(self) -> None:
        """Return when everything written is safe."""

    def close(self) -> None:
        """Let go of memory and descriptors."""


class MemoryMedium:
    """Anonymous memory, reserved at the first access; pages that were never written take no room."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._map: mmap.mmap | None = None
        self._view = memoryview(b"")
        self._lock = threading.Lock()

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        if self._map is None:
            self._open()
        buffer[:] = self._view[offset_bytes : offset_bytes + len(buffer)]

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        if self._map is None:
            self._open()
        self._view[offset_bytes : offset_bytes + len(data)] = data

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        if self._map is None:
            return
        end = offset_bytes + length_bytes
        first_page = -(-offset_bytes // _PAGE) * _PAGE
        last_page = end // _PAGE * _PAGE
        if first_page >= last_page:
            self._view[offset_bytes:end] = bytes(length_bytes)
            return
        self._view[offset_bytes:first_page] = bytes(first_page - offset_bytes)
        self._view[last_page:end] = bytes(end - last_page)
        self._map.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)

    def flush(self) -> None:
        """Nothing to do: the memory is gone with the process."""

    def close(self) -> None:
        # A reader in another thread may still have the view: the memory goes with its last user.
        with self._lock:
            self._map, self._view = None, memoryview(b"")

    def _open(self) -> None:
        with self._lock:
            if self._map is None:
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
                mapped = mmap.mmap(-1, self.size_bytes, flags=flags)
                self._view = memoryview(mapped)
                self._map = mapped


_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class FileMedium:
    """A file, made sparse if it is not there.

    Args:
        path: The file.
        size_bytes: Its size; 0 to take the size that it has.
        writable: False to open it for reading only.

    Raises:
        NodeError: If the file can not be opened or is smaller than `size_bytes`.
    """

    def __init__(self, path: Path, size_bytes: int, *, writable: bool = True) -> None:
        flags = (os.O_RDWR | os.O_CREAT) if writable else os.O_RDONLY
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
            present = os.fstat(self._fd).st_size
            if writable and present < size_bytes:
                os.ftruncate(self._fd, size_bytes)
                present = size_bytes
        except OSError as error:
            raise NodeError(error.errno, f"{path}: {error.strerror}") from error
        if present < max(size_bytes, 1):
            os.close(self._fd)
            raise NodeError(22, f"{path}: the file has {present} bytes, the disk needs {max(size_bytes, 1)}")
        self.size_bytes = size_bytes or present

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        filled = os.preadv(self._fd, [buffer], offset_bytes)
        while filled < len(buffer):
            more = os.preadv(self._fd, [buffer[filled:]], offset_bytes + filled)
            if more == 0:
                raise OSError(5, "the file has become shorter than the disk")
            filled += more

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        written = os.pwrite(self._fd, data, offset_bytes)
        while written < len(data):
            written += os.pwrite(self._fd, memoryview(data)[written:], offset_bytes + written)

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        step = 1 << 20
        zeros = bytes(min(step, length_bytes))
        for at in range(offset_bytes, offset_bytes + length_bytes, step):
            self.write(at, memoryview(zeros)[: offset_bytes + length_bytes - at])

    def flush(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
