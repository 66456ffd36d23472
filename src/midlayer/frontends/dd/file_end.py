"""A file as an end of a copy: a regular file, a block device, a pipe, standard input or output."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading

from midlayer.errors import UsageError
from midlayer.frontends.dd.ends import Chunk, Ended
from midlayer.frontends.dd.errors import FileDiffers, LockHeld, file_error
from midlayer.frontends.dd.operands import MAX_TRANSFER_BYTES, Operands

_STDIN, _STDOUT = 0, 1


def open_source(operands: Operands) -> FileEnd:
    """Open the file to read from.

    Raises:
        NodeError: If that can not be done.
    """
    flags = operands.input_flags
    if flags & {"00", "ff"}:
        return PatternEnd(operands)
    if operands.source == "-":
        return FileEnd("-", _STDIN, operands.skip, flags, borrowed=True)
    return FileEnd(operands.source, _open(operands.source, os.O_RDONLY, flags), operands.skip, flags)


def open_target(operands: Operands) -> FileEnd:
    """Open the file to write to; it is made if it is not there, and cut where the copy begins.

    Raises:
        NodeError: If that can not be done.
    """
    flags = operands.output_flags
    name = os.devnull if operands.target == "." or "null" in flags else operands.target
    if name == "-":
        return FileEnd("-", _STDOUT, operands.seek, flags, borrowed=True, writes=True)
    mode = (os.O_RDWR if operands.verify else os.O_WRONLY) | os.O_CREAT
    mode |= os.O_APPEND if "append" in flags else 0
    fd = _open(name, mode, flags)
    kind = NullEnd if name == os.devnull else FileEnd
    end = kind(name, fd, operands.seek, flags, writes=True)
    end.truncates = operands.resume is None and "append" not in flags
    return end


def _open(name: str, mode: int, flags: frozenset[str]) -> int:
    mode |= os.O_CLOEXEC
    mode |= os.O_DIRECT if "direct" in flags else 0
    mode |= os.O_DSYNC if "dsync" in flags else 0
    try:
        fd = os.open(name, mode, 0o666)
    except OSError as error:
        raise file_error(name, error) from None
    if "flock" in flags:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise LockHeld(f"{name}: another program holds a lock on it") from None
    return fd


class FileEnd:
    """A file. What is asked for has ended when the call returns; see `ends.End`.

    Args:
        name: For people.
        fd: Closed at the end, unless it is borrowed.
        skip: Blocks to leave out at the beginning.
        flags: Of the operands.
        borrowed: True for standard input and output.
        writes: True for the target.
    """

    block_size = 0
    most_bytes = MAX_TRANSFER_BYTES
    waits = False

    def __init__(
        self,
        name: str,
        fd: int,
        skip: int,
        flags: frozenset[str],
        *,
        borrowed: bool = False,
        writes: bool = False,
    ) -> None:
        self.name = name
        self.capacity: int | None = None
        self.truncates = False
        self._fd = fd
        self._skip = skip
        self._flags = flags
        self._borrowed = borrowed
        self._writes = writes
        self._status = os.fstat(fd)
        self._block = 0
        self._begin = 0
        self._positioned = stat.S_ISREG(self._status.st_mode) or stat.S_ISBLK(self._status.st_mode)
        if "append" in flags:
            self._positioned = False
        self._next = 0  # index of the chunk that a pipe gets next
        self._held: dict[int, Chunk] = {}
        self._order = threading.Lock()
        self.reads_in_order = not self._positioned

    def prepare(self, block_size: int) -> None:
        self._block, self._begin = block_size, self._skip * block_size
        if self._positioned and not self._writes:
            size = os.lseek(self._fd, 0, os.SEEK_END)
            self.capacity = max(0, -(-(size - self._begin) // block_size))
        elif self._skip and not self._positioned:
            self._pass_over(self._begin)
        if self.truncates and stat.S_ISREG(self._status.st_mode):
            os.ftruncate(self._fd, self._begin)

    def plan(self, count: int, most_blocks: int, *, at_once: bool) -> None:
        """A file needs no plan."""

    def _pass_over(self, count: int) -> None:
        if self._writes:
            raise UsageError(f"dd: {self.name}: seek needs a target that can be written anywhere")
        while count and (data := os.read(self._fd, min(count, 1 << 20))):
            count -= len(data)

    def read(self, chunk: Chunk) -> list[Ended]:
        filled, wanted = 0, chunk.room[: chunk.length]
        while filled < len(wanted):
            at = self._begin + chunk.at * self._block + filled
            try:
                count = (
                    os.preadv(self._fd, [wanted[filled:]], at)
                    if self._positioned
                    else os.readv(self._fd, [wanted[filled:]])
                )
            except OSError as error:
                raise file_error(self.name, error) from None
            if not count:
                break
            filled += count
        chunk.length = filled
        return [(chunk, None)]

    def write(self, chunk: Chunk) -> list[Ended]:
        if self._positioned:
            self._put(chunk.data, self._begin + chunk.at * self._block)
            return [(chunk, None)]
        written: list[Ended] = []
        with self._order:
            self._held[chunk.index] = chunk
            while (following := self._held.pop(self._next, None)) is not None:
                self._put(following.data, None)
                written.append((following, None))
                self._next += 1
        return written

    def _put(self, data: memoryview, at: int | None) -> None:
        written = 0
        while written < len(data):
            try:
                piece = data[written:]
                written += (
                    os.write(self._fd, piece) if at is None else os.pwrite(self._fd, piece, at + written)
                )
            except BrokenPipeError:
                raise
            except OSError as error:
                raise file_error(self.name, error) from None

    def skip(self, chunk: Chunk) -> list[Ended]:
        if not stat.S_ISREG(self._status.st_mode) or not self._positioned:
            return self.write(chunk)  # nothing is left out of what can not have holes
        return [(chunk, None)]

    def verify(self, chunk: Chunk) -> list[Ended]:
        begin = self._begin + chunk.at * self._block
        there = b""
        while len(there) < chunk.length:
            piece = os.pread(self._fd, chunk.length - len(there), begin + len(there))
            if not piece:
                break
            there += piece
        if there != bytes(chunk.data):
            end = begin + chunk.length - 1
            raise FileDiffers(f"{self.name}: bytes {begin} to {end} are not what was written")
        return [(chunk, None)]

    def ended(self) -> list[Ended]:
        return []

    def salvage(self, chunk: Chunk) -> list[int]:
        raise AssertionError("a file's errors are raised")

    def flush(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe has nothing to make durable
                raise file_error(self.name, error) from None

    def finish(self, length_bytes: int) -> None:
        if stat.S_ISREG(self._status.st_mode) and self._positioned:
            end = self._begin + length_bytes
            if os.fstat(self._fd).st_size < end:
                os.ftruncate(self._fd, end)

    def close(self, *, abort: bool) -> None:
        fd, self._fd = self._fd, -1
        if not self._borrowed and fd >= 0:
            os.close(fd)


class NullEnd(FileEnd):
    """Nothing at all: ``of=.`` and ``oflag=null``."""

    def write(self, chunk: Chunk) -> list[Ended]:
        return [(chunk, None)]


class PatternEnd(FileEnd):
    """Zeros or ones without end: ``iflag=00`` and ``iflag=ff``."""

    def __init__(self, operands: Operands) -> None:
        super().__init__(
            operands.source, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0, operands.input_flags
        )
        self._byte = b"\0" if "00" in operands.input_flags else b"\xff"
        self.reads_in_order = False

    def prepare(self, block_size: int) -> None:
        self._block = block_size

    def read(self, chunk: Chunk) -> list[Ended]:
        chunk.data[:] = self._byte * chunk.length
        return [(chunk, None)]
