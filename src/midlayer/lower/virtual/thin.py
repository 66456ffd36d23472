"""Thin provisioning: which blocks take room, and how much room there is."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from midlayer.lower.virtual.medium import Extent, FileMedium, MemoryMedium

_CHUNK = 2048  # blocks that one bytearray of the map stands for


class BlockMap:
    """Which blocks of a medium are mapped. The caller sees to it that one thread at a time is here.

    Memory that was never written takes no room, but nobody can ask the kernel about a single block, so the
    map is kept here: a byte for each block, in chunks that are there only if a block in them is mapped.
    """

    def __init__(self) -> None:
        self.mapped = 0
        self._chunks: dict[int, bytearray] = {}

    def unmapped_in(self, first: int, count: int) -> int:
        """Return how many blocks of a range are not mapped."""
        missing = 0
        for index, start, end in _parts(first, count):
            chunk = self._chunks.get(index)
            missing += end - start if chunk is None else chunk.count(0, start, end)
        return missing

    def map(self, first: int, count: int) -> None:
        """Map a range."""
        for index, start, end in _parts(first, count):
            chunk = self._chunks.get(index)
            if chunk is None:
                chunk = self._chunks[index] = bytearray(_CHUNK)
            self.mapped += chunk.count(0, start, end)
            chunk[start:end] = b"\1" * (end - start)

    def unmap(self, first: int, count: int) -> None:
        """Unmap a range. A range longer than the map is as cheap as the map."""
        if count > _CHUNK * (len(self._chunks) + 2):
            inside = range(first, first + count)
            low, high = inside.start // _CHUNK, (inside.stop - 1) // _CHUNK
            for index in [index for index in self._chunks if low <= index <= high]:
                start = max(first - index * _CHUNK, 0)
                self._unmap(index, start, min(first + count - index * _CHUNK, _CHUNK))
            return
        for index, start, end in _parts(first, count):
            self._unmap(index, start, end)

    def run(self, first: int, end: int) -> tuple[int, bool]:
        """Return how many blocks from `first` and before `end` are alike, and if they are mapped."""
        mapped = self._is_mapped(first)
        at = first
        while at < end:
            index, start = divmod(at, _CHUNK)
            chunk = self._chunks.get(index)
            if chunk is None:
                if mapped:
                    break
                at = min((one for one in self._chunks if one > index), default=end) * _CHUNK
                continue
            found = chunk.find(0 if mapped else 1, start)
            if found >= 0:
                at = index * _CHUNK + found
                break
            at = (index + 1) * _CHUNK
        return min(at, end) - first, mapped

    def _is_mapped(self, block: int) -> bool:
        index, at = divmod(block, _CHUNK)
        chunk = self._chunks.get(index)
        return chunk is not None and chunk[at] == 1

    def _unmap(self, index: int, start: int, end: int) -> None:
        chunk = self._chunks.get(index)
        if chunk is None:
            return
        self.mapped -= chunk.count(1, start, end)
        chunk[start:end] = bytes(end - start)
        if not chunk.count(1):
            del self._chunks[index]


def _parts(first: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield chunk number, first and end place in the chunk for each chunk of a range."""
    at, end = first, first + count
    while at < end:
        index, start = divmod(at, _CHUNK)
        stop = min(_CHUNK, start + end - at)
        yield index, start, stop
        at += stop - start


class Pool:
    """The room that a thin disk may take.

    Args:
        limit_bytes: Most bytes; 0 for no limit.
        threshold_percent: Part of the limit at which `on_threshold` is called, once for each time that the
            use gets there; 0 for none.
    """

    def __init__(self, limit_bytes: int = 0, threshold_percent: int = 0) -> None:
        self.limit_bytes = limit_bytes
        self.threshold_bytes = limit_bytes * threshold_percent // 100
        self.on_threshold: Callable[[], None] = _nothing
        self._above = False

    def check(self, bytes_after: int) -> None:
        """Raise OSError ENOSPC if that much is more than there is."""
        if self.limit_bytes and bytes_after > self.limit_bytes:
            raise OSError(errno.ENOSPC, "the thin pool is full")

    def used(self, used_bytes: int) -> None:
        """Note how much is used now."""
        if not self.threshold_bytes:
            return
        above = used_bytes >= self.threshold_bytes
        if above and not self._above:
            self._above = True
            self.on_threshold()
        self._above = above


def _nothing() -> None:
    """What is called where nobody wants to know."""


class ThinMemoryMedium(MemoryMedium):
    """Memory that knows which of its blocks were written."""

    def __init__(self, size_bytes: int, block_size: int, pool: Pool) -> None:
        super().__init__(size_bytes)
        self._block_size = block_size
        self._blocks = BlockMap()
        self._pool = pool
        self._map_lock = threading.Lock()

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        size = self._block_size
        first, count = offset_bytes // size, len(data) // size
        with self._map_lock:
            missing = self._blocks.unmapped_in(first, count)
            if missing:
                self._pool.check((self._blocks.mapped + missing) * size)
                self._blocks.map(first, count)
            super().write(offset_bytes, data)
        if missing:
            self._pool.used(self.used_bytes())

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        size = self._block_size
        with self._map_lock:
            super().zero(offset_bytes, length_bytes)
            self._blocks.unmap(offset_bytes // size, length_bytes // size)
        self._pool.used(self.used_bytes())

    def extents(self, offset_bytes: int) -> Iterator[Extent]:
        size = self._block_size
        at, end = offset_bytes // size, self.size_bytes // size
        while at < end:
            with self._map_lock:
                count, mapped = self._blocks.run(at, end)
            yield Extent(at * size, count * size, mapped)
            at += count

    def used_bytes(self) -> int:
        return self._blocks.mapped * self._block_size


class ThinFileMedium(FileMedium):
    """A sparse file with a limit to the room that it may take."""

    def __init__(self, path: Path, size_bytes: int, pool: Pool, *, writable: bool = True) -> None:
        super().__init__(path, size_bytes, writable=writable)
        self._pool = pool

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        limit = self._pool.limit_bytes
        if not limit:
            super().write(offset_bytes, data)
            return
        used = self.used_bytes()
        if used + len(data) > limit:
            self._pool.check(used + self._holes(offset_bytes, offset_bytes + len(data)))
        super().write(offset_bytes, data)
        self._pool.used(self.used_bytes())

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        super().zero(offset_bytes, length_bytes)
        self._pool.used(self.used_bytes())

    def _holes(self, start: int, end: int) -> int:
        """Return how many bytes of a range take no room yet."""
        holes = 0
        for extent in self.extents(start):
            if extent.offset_bytes >= end:
                break
            if not extent.mapped:
                holes += min(extent.offset_bytes + extent.length_bytes, end) - extent.offset_bytes
        return holes
