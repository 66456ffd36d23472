"""What a virtual tape keeps its blocks and filemarks in: memory, or a file in the format of SIMH.

A medium is a row of objects, blocks and filemarks, and ends where data ends. Writing in the middle cuts off
what came after.

The file is what SIMH and other emulators call a tape image (.tap): each block has its length, little-endian
in 32 bits, before and after its bytes, which are padded to an even number; a length of 0 alone is a filemark.
"""

from __future__ import annotations

import bisect
import errno
import os
import struct
from pathlib import Path
from typing import Protocol

from midlayer.errors import NodeError

_LENGTH = struct.Struct("<I")
_HEAD_BYTES = 2 * _LENGTH.size
_END_OF_MEDIUM = 0xFFFFFFFF
_GAP = 0xFFFFFFFE
LONGEST_BLOCK = 0xFFFFFF
MARK = -1
"""Length of a filemark in a medium's list of objects."""


class TapeMedium(Protocol):
    """Blocks and filemarks in a row. Its drive sees to it that one thread at a time uses it.

    Attributes:
        label: What is on the outside of the cartridge; empty if nothing is.
        writable: False if the medium is write-protected.
        lengths: Length of each object, `MARK` for a filemark.
        marks: Where the filemarks are, in order.
    """

    label: str
    writable: bool
    lengths: list[int]
    marks: list[int]

    def load(self) -> None:
        """Make the medium ready for a drive; `lengths` and the rest are true from now on.

        Raises:
            NodeError: It can not be read.
        """

    def read_into(self, index: int, buffer: memoryview) -> None:
        """Fill `buffer` with the beginning of a block, which is at least that long."""

    def put(self, index: int, data: bytes | bytearray | memoryview | None) -> None:
        """Write a block, or a filemark for None, at `index`; nothing is behind it then."""

    def cut(self, index: int) -> None:
        """Make `index` the end of data."""

    def used_bytes(self, index: int) -> int:
        """Return the room that the objects before `index` take."""

    def flush(self) -> None:
        """Return when everything written is safe."""

    def unload(self) -> None:
        """Let go of descriptors, until it is loaded again."""


def room(data: bytes | bytearray | memoryview | None) -> int:
    """Return the room that a block takes, or a filemark."""
    return _LENGTH.size if data is None else _HEAD_BYTES + len(data) + (len(data) & 1)


class _Row:
    """The list of objects, which is the same for both kinds of medium."""

    def __init__(self, label: str, *, writable: bool) -> None:
        self.label, self.writable = label, writable
        self.lengths: list[int] = []
        self.marks: list[int] = []
        self.offsets = [0]  # of each object, and of what would come next

    def used_bytes(self, index: int) -> int:
        return self.offsets[index]

    def _append(self, length: int, taken: int) -> None:
        if length == MARK:
            self.marks.append(len(self.lengths))
        self.lengths.append(length)
        self.offsets.append(self.offsets[-1] + taken)

    def _cut(self, index: int) -> None:
        del self.lengths[index:]
        del self.offsets[index + 1 :]
        del self.marks[bisect.bisect_left(self.marks, index) :]


class MemoryTape(_Row):
    """A medium that is gone with the process."""

    def __init__(self, label: str = "", *, writable: bool = True) -> None:
        super().__init__(label, writable=writable)
        self._blocks: list[bytes] = []

    def read_into(self, index: int, buffer: memoryview) -> None:
        buffer[:] = memoryview(self._blocks[index])[: len(buffer)]

    def put(self, index: int, data: bytes | bytearray | memoryview | None) -> None:
        self.cut(index)
        self._blocks.append(b"" if data is None else bytes(data))
        self._append(MARK if data is None else len(data), room(data))

    def cut(self, index: int) -> None:
        self._cut(index)
        del self._blocks[index:]

    def load(self) -> None:
        """Nothing to do."""

    def flush(self) -> None:
        """Nothing to do."""

    def unload(self) -> None:
        """Nothing to do: the blocks are in no other place."""


class FileTape(_Row):
    """A tape image, opened as long as it is loaded, and made if it is not there.

    Args:
        path: The file.
        label: On the outside of the cartridge.
        writable: False to open it for reading only.
    """

    def __init__(self, path: Path, label: str = "", *, writable: bool = True) -> None:
        super().__init__(label, writable=writable)
        self._path, self._number = path, -1

    def load(self) -> None:
        if self._number >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT if self.writable else os.O_RDONLY
        try:
            self._number = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
            self._cut(0)
            self._scan()
        except OSError as error:
            self.unload()
            raise NodeError(error.errno, f"{self._path}: {error.strerror}") from error
        except BaseException:
            self.unload()
            raise

    def _scan(self) -> None:
        """Find every object; what a crash has left of a block that was not whole yet is not seen."""
        end = os.fstat(self._number).st_size
        while (at := self.offsets[-1]) + _LENGTH.size <= end:
            (length,) = _LENGTH.unpack(os.pread(self._number, _LENGTH.size, at))
            if length == _END_OF_MEDIUM:
                return
            if not length:
                self._append(MARK, _LENGTH.size)
                continue
            taken = _HEAD_BYTES + length + (length & 1)
            if length > LONGEST_BLOCK:
                raise NodeError(errno.EINVAL, f"{self._path}: no tape image: {length:#x} at byte {at}")
            if at + taken > end:
                return
            if os.pread(self._number, _LENGTH.size, at + taken - _LENGTH.size) != _LENGTH.pack(length):
                raise NodeError(errno.EINVAL, f"{self._path}: no tape image: two lengths at byte {at}")
            self._append(length, taken)

    def read_into(self, index: int, buffer: memoryview) -> None:
        at, filled = self.offsets[index] + _LENGTH.size, 0
        while filled < len(buffer):
            more = os.preadv(self._number, [buffer[filled:]], at + filled)
            if more == 0:
                raise OSError(errno.EIO, "the file has become shorter than the tape")
            filled += more

    def put(self, index: int, data: bytes | bytearray | memoryview | None) -> None:
        at = self.offsets[index]
        if index < len(self.lengths):
            self.cut(index)
        if data is None:
            pieces = [bytes(_LENGTH.size)]
        else:
            length = _LENGTH.pack(len(data))
            pieces = [length, bytes(data), bytes(len(data) & 1) + length]
        image = b"".join(pieces)
        try:
            written = os.pwrite(self._number, image, at)
            while written < len(image):
                written += os.pwrite(self._number, memoryview(image)[written:], at + written)
        except OSError:
            os.ftruncate(self._number, at)
            raise
        self._append(MARK if data is None else len(data), len(image))

    def cut(self, index: int) -> None:
        os.ftruncate(self._number, self.offsets[index])
        self._cut(index)

    def flush(self) -> None:
        if self.writable:
            os.fdatasync(self._number)

    def unload(self) -> None:
        number, self._number = self._number, -1  # after this every use ends with EBADF
        if number >= 0:
            os.close(number)
