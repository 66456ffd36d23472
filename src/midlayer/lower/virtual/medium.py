"""What a virtual disk keeps its blocks in: sparse memory or a file."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from pathlib import Path
from typing import Protocol

from midlayer.errors import NodeError

_PAGE = mmap.PAGESIZE
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE needs FALLOC_FL_KEEP_SIZE beside it
_ZEROS = bytes(1 << 20)


class Medium(Protocol):
    """Bytes at offsets. The caller keeps offsets inside of `size_bytes`.

    All methods but `close` raise OSError, after `close` ENODEV. A medium may be closed while other threads
    use it: they end as if they had come before.
    """

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
        self._view: memoryview | None = None
        self._closed = False
        self._lock = threading.Lock()

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        view = self._view
        if view is None:
            view = self._open()
        buffer[:] = view[offset_bytes : offset_bytes + len(buffer)]

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        view = self._view
        if view is None:
            view = self._open()
        view[offset_bytes : offset_bytes + len(data)] = data

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        mapped, view = self._map, self._view
        if mapped is None or view is None:
            if self._closed:
                raise _gone()
            return  # nothing was ever written
        end = offset_bytes + length_bytes
        first_page = -(-offset_bytes // _PAGE) * _PAGE
        last_page = end // _PAGE * _PAGE
        if first_page >= last_page:
            view[offset_bytes:end] = bytes(length_bytes)
            return
        view[offset_bytes:first_page] = bytes(first_page - offset_bytes)
        view[last_page:end] = bytes(end - last_page)
        mapped.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)

    def flush(self) -> None:
        """Nothing to do: the memory is gone with the process."""

    def close(self) -> None:
        # A reader in another thread may still have the view: the memory goes with its last user.
        with self._lock:
            self._map, self._view, self._closed = None, None, True

    def _open(self) -> memoryview:
        with self._lock:
            if self._closed:
                raise _gone()
            if self._view is None:
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
                self._map = mmap.mmap(-1, self.size_bytes, flags=flags)
                self._view = memoryview(self._map)
            return self._view


def _gone() -> OSError:
    return OSError(errno.ENODEV, "the medium was taken away")


class _Descriptor:
    """A file descriptor that is closed with its last user.

    Closing it at once would hand its number, and the writes of a thread that still uses it, to whatever
    file is opened next.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class FileMedium:
    """A file, made sparse if it is not there or empty.

    Args:
        path: The file.
        size_bytes: Its size; 0 to take the size that it has.
        writable: False to open it for reading only.

    Raises:
        NodeError: If the file can not be opened or is smaller than `size_bytes`.
    """

    def __init__(self, path: Path, size_bytes: int, *, writable: bool = True) -> None:
        flags = os.O_RDONLY if not writable else os.O_RDWR | (os.O_CREAT if size_bytes else 0)
        try:
            opened = _Descriptor(os.open(path, flags | os.O_CLOEXEC, 0o600))
            present = os.fstat(opened.number).st_size
            if writable and not present:
                os.ftruncate(opened.number, size_bytes)
                present = size_bytes
        except OSError as error:
            raise NodeError(error.errno, f"{path}: {error.strerror}") from error
        needed = max(size_bytes, 1)
        if present < needed:
            raise NodeError(errno.EINVAL, f"{path}: the file has {present} bytes, the disk needs {needed}")
        self.size_bytes = size_bytes or present
        self._file: _Descriptor | None = opened

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        file = self._use()
        filled = os.preadv(file.number, [buffer], offset_bytes)
        while filled < len(buffer):
            more = os.preadv(file.number, [buffer[filled:]], offset_bytes + filled)
            if more == 0:
                raise OSError(errno.EIO, "the file has become shorter than the disk")
            filled += more

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        file = self._use()
        written = os.pwrite(file.number, data, offset_bytes)
        while written < len(data):
            written += os.pwrite(file.number, memoryview(data)[written:], offset_bytes + written)

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        if not length_bytes or _punch_hole(self._use().number, offset_bytes, length_bytes):
            return
        for at in range(offset_bytes, offset_bytes + length_bytes, len(_ZEROS)):
            self.write(at, memoryview(_ZEROS)[: offset_bytes + length_bytes - at])

    def flush(self) -> None:
        os.fdatasync(self._use().number)

    def close(self) -> None:
        self._file = None

    def _use(self) -> _Descriptor:
        file = self._file
        if file is None:
            raise _gone()
        return file


_libc = ctypes.CDLL(None, use_errno=True)
_CAN_NOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.ENODEV})


def _punch_hole(number: int, offset_bytes: int, length_bytes: int) -> bool:
    """Give back the room of a range, which reads as zeros then; False where that can not be done."""
    fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
    if fallocate is None:
        return False
    while fallocate(number, _PUNCH_HOLE, ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)):
        code = ctypes.get_errno()
        if code in _CAN_NOT:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True
