"""What a virtual disk keeps its blocks in: sparse memory or a file."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from midlayer.errors import NodeError
from midlayer.lower.virtual.mapping import Mapping

_PAGE = mmap.PAGESIZE
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE needs FALLOC_FL_KEEP_SIZE beside it
_ZEROS = bytes(1 << 20)


class Extent(NamedTuple):
    """A run of bytes that are all mapped, or all not.

    Attributes:
        offset_bytes, length_bytes: Where it is.
        mapped: False if it takes no room, and reads as zeros.
    """

    offset_bytes: int
    length_bytes: int
    mapped: bool


class Medium(Protocol):
    """Bytes at offsets. The caller keeps offsets inside of `size_bytes`.

    All methods but `close` raise OSError, after `close` ENODEV. A medium may be closed while other threads
    use it: they end as if they had come before.

    Attributes:
        size_bytes: How long it is.
        lends_from_bytes: How long a range has to be for `borrow` to be worth a try.
    """

    size_bytes: int
    lends_from_bytes: int

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill `buffer` with what is at `offset_bytes`."""

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `offset_bytes`."""

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        """Make a range read as zeros and give its space back where that is possible."""

    def flush(self) -> None:
        """Return when everything written is safe."""

    def borrow(self, offset_bytes: int, length_bytes: int) -> memoryview | None:
        """Return the medium's own memory, read-only; None if only `read_into` gives these bytes."""

    def resize(self, size_bytes: int) -> None:
        """Make the medium longer or shorter; what is new reads as zeros."""

    def extents(self, offset_bytes: int) -> Iterator[Extent]:
        """Say from `offset_bytes` to the end what takes room and what does not."""

    def used_bytes(self) -> int:
        """Return the room that the medium takes."""

    def close(self) -> None:
        """Let go of memory and descriptors."""


class MemoryMedium:
    """Anonymous memory, reserved at the first access; pages that were never written take no room.

    Memory that was added by `resize` is a segment of its own. All but the first are looked for only when
    a slice of the first one comes out too short, so that a disk that never grew does not pay for them.
    """

    lends_from_bytes = 16384  # less is copied as quickly, and can not change on its way

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._segments: list[_Segment] = []
        self._view: memoryview | None = None
        self._closed = False
        self._lock = threading.Lock()

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        view = self._view
        if view is None:
            view = self._open()
        try:
            buffer[:] = view[offset_bytes : offset_bytes + len(buffer)]
        except ValueError:
            at = 0
            for piece in self._pieces(offset_bytes, len(buffer)):
                buffer[at : at + len(piece)] = piece
                at += len(piece)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        view = self._view
        if view is None:
            view = self._open()
        try:
            view[offset_bytes : offset_bytes + len(data)] = data
        except ValueError:
            at, whole = 0, memoryview(data)
            for piece in self._pieces(offset_bytes, len(data)):
                piece[:] = whole[at : at + len(piece)]
                at += len(piece)

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        if self._view is None:
            if self._closed:
                raise _gone()
            return  # nothing was ever written
        end = offset_bytes + length_bytes
        for segment in list(self._segments):
            first = max(offset_bytes - segment.offset_bytes, 0)
            last = min(end - segment.offset_bytes, len(segment.view))
            if first < last:
                segment.zero(first, last)

    def borrow(self, offset_bytes: int, length_bytes: int) -> memoryview | None:
        view = self._view
        if view is None:
            view = self._open()
        piece = view[offset_bytes : offset_bytes + length_bytes]
        return piece.toreadonly() if len(piece) == length_bytes else None

    def resize(self, size_bytes: int) -> None:
        if size_bytes < self.size_bytes:
            self.zero(size_bytes, self.size_bytes - size_bytes)  # so that it is blank if it comes back
        with self._lock:
            reserved = sum(len(segment.view) for segment in self._segments)
            if self._view is not None and size_bytes > reserved:
                self._segments.append(_Segment(reserved, size_bytes - reserved))
            self.size_bytes = size_bytes

    def extents(self, offset_bytes: int) -> Iterator[Extent]:
        if offset_bytes < self.size_bytes:
            yield Extent(offset_bytes, self.size_bytes - offset_bytes, True)

    def used_bytes(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        """Nothing to do: the memory is gone with the process."""

    def close(self) -> None:
        # A reader in another thread may still have the view: the memory goes with its last user.
        with self._lock:
            self._segments, self._view, self._closed = [], None, True

    def _pieces(self, offset_bytes: int, length_bytes: int) -> Iterator[memoryview]:
        """Yield the parts of a range that segments hold, in order."""
        end = offset_bytes + length_bytes
        for segment in list(self._segments):
            piece = segment.view[
                max(offset_bytes - segment.offset_bytes, 0) : max(end - segment.offset_bytes, 0)
            ]
            if piece:
                yield piece

    def _open(self) -> memoryview:
        with self._lock:
            if self._closed:
                raise _gone()
            if self._view is None:
                self._segments.append(_Segment(0, self.size_bytes))
                self._view = self._segments[0].view
            return self._view


class _Segment:
    """One anonymous mapping, at an offset of the medium."""

    __slots__ = ("_map", "offset_bytes", "view")

    def __init__(self, offset_bytes: int, size_bytes: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = mmap.mmap(-1, size_bytes, flags=flags)
        self.view = memoryview(self._map)
        self.offset_bytes = offset_bytes

    def zero(self, first: int, last: int) -> None:
        """Make a part of it zeros, and give whole pages back."""
        first_page, last_page = -(-first // _PAGE) * _PAGE, last // _PAGE * _PAGE
        if first_page >= last_page:
            self.view[first:last] = bytes(last - first)
            return
        self.view[first:first_page] = bytes(first_page - first)
        self.view[last_page:last] = bytes(last - last_page)
        self._map.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)


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

    lends_from_bytes = 4096

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
        self._mapping: Mapping | None = None
        self._lends = writable

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        file = self._file
        if file is None:
            raise _gone()
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
        if length_bytes and not _punch_hole(self._use().number, offset_bytes, length_bytes):
            for at in range(offset_bytes, offset_bytes + length_bytes, len(_ZEROS)):
                self.write(at, memoryview(_ZEROS)[: offset_bytes + length_bytes - at])
        mapping = self._mapping
        if mapping is not None:
            mapping.forget()  # to lend a page of the hole would fill it again

    def flush(self) -> None:
        os.fdatasync(self._use().number)

    def borrow(self, offset_bytes: int, length_bytes: int) -> memoryview | None:
        file, mapping = self._file, self._mapping
        if file is None:
            raise _gone()
        if mapping is None:
            mapping = self._map()
        # To touch a page that somebody has cut off would kill the process. fstat takes twice as long.
        if mapping is None or os.lseek(file.number, 0, os.SEEK_END) < offset_bytes + length_bytes:
            return None
        return mapping.lend(offset_bytes, length_bytes)

    def resize(self, size_bytes: int) -> None:
        self._mapping = None
        os.ftruncate(self._use().number, size_bytes)
        self.size_bytes = size_bytes
        self._mapping = None  # a reader may have made one meanwhile

    def extents(self, offset_bytes: int) -> Iterator[Extent]:
        file = self._use()
        at = offset_bytes
        while at < self.size_bytes:
            try:
                data = min(os.lseek(file.number, at, os.SEEK_DATA), self.size_bytes)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                data = self.size_bytes  # no data up to the end
            if data > at:
                yield Extent(at, data - at, False)
            if data >= self.size_bytes:
                return
            at = min(os.lseek(file.number, data, os.SEEK_HOLE), self.size_bytes)
            yield Extent(data, at - data, True)

    def used_bytes(self) -> int:
        return os.fstat(self._use().number).st_blocks * 512

    def close(self) -> None:
        self._file = self._mapping = None

    def _map(self) -> Mapping | None:
        if not self._lends:
            return None
        try:
            mapping = self._mapping = Mapping(self._use().number, self.size_bytes)
        except (OSError, ValueError, OverflowError):  # of a kind, or a size, that can not be mapped
            self._lends = False
            return None
        return mapping

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
