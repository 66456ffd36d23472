"""The copy itself: chunks go from read to write to verify, as many at once as the ends have room for.

One thread does it all, or several where a device keeps them waiting (`threads`). What a file does has ended
when the call returns; what a device does then as well, and else is heard of through a queue, which is the
only place where one thread waits::

    read ──> write ──> verify ──> done
      └────> skip ───────┘ └─> compare ─┘
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from midlayer.errors import CommandError
from midlayer.frontends.dd.ends import Chunk, End, Ended
from midlayer.frontends.dd.errors import FileDiffers, ShortTransfer
from midlayer.frontends.dd.log import ResumeLog
from midlayer.frontends.dd.operands import Operands
from midlayer.frontends.dd.report import Counts
from midlayer.frontends.dd.threads import Threads
from midlayer.standards.sense import SenseKey

if TYPE_CHECKING:
    from midlayer.mid.command import Result

USUAL_BLOCK_BYTES = 512
_USUAL_TRANSFER_BYTES = 512 << 10
_LOG_EVERY_BYTES = 64 << 20
_MOST_PASSING = 10
_PASSING = (SenseKey.UNIT_ATTENTION, SenseKey.ABORTED_COMMAND)
_NO_USE_IN_GOING_ON = (SenseKey.ILLEGAL_REQUEST, SenseKey.DATA_PROTECT, SenseKey.NOT_READY)


class Copier:
    """One copy.

    Args:
        operands: What to copy.
        source, target: Open ends.
        news: The queue that the ends put something into when something has ended.
        counts: Kept up to date.

    Raises:
        UsageError: If the operands do not fit the ends.
    """

    def __init__(
        self, operands: Operands, source: End, target: End, news: SimpleQueue[None], counts: Counts
    ) -> None:
        self._operands, self._source, self._target, self._news = operands, source, target, news
        self.counts = counts
        size = operands.block_size or source.block_size or target.block_size or USUAL_BLOCK_BYTES
        source.prepare(size)
        target.prepare(size)
        self._size = counts.block_size = size
        self.count = _count(operands, source, target)
        usual = max(1, min(_USUAL_TRANSFER_BYTES, source.most_bytes, target.most_bytes) // size)
        if operands.cdb_size == 6:
            usual = min(usual, 256)
        self._per_chunk = operands.blocks_per_transfer or usual
        reach = self.count or 0
        self._by_threads = source.waits or target.waits
        for end in (source, target):
            end.plan(reach, self._per_chunk, at_once=self._by_threads)
        self._zeros = bytes(self._per_chunk * size)
        self._log: ResumeLog | None = None
        self._marked = 0
        both = bool(source.block_size) and bool(target.block_size) and not self._by_threads
        self._free = [self._new_chunk() for _ in range(operands.depth * (2 if both else 1))]
        self._due: deque[Chunk] = deque()  # chunks whose next step nobody has begun
        self.active = 0
        self._next_index = self._next_at = 0
        self._over = False
        self._done_early: dict[int, int] = {}  # blocks by index, of chunks that were done before others
        self._low_index = self.done = 0

    def run(self, log: ResumeLog | None, on_progress: Callable[[int], None]) -> None:
        """Copy everything.

        Raises:
            MidlayerError: What ended the copy early.
        """
        self._log = log
        if log is not None:
            self._resume(log)
        self.counts.total = self.count
        if self._by_threads:
            Threads(self, len(self._free), on_progress).run()
        else:
            self._run_alone(on_progress)
        whole = self.counts.records_in[0] + self.counts.resumed
        if not self.counts.records_in[1]:
            self._target.finish(whole * self._size)
        if self._operands.sync or log is not None:
            self._target.flush()
        self._mark(at_the_end=True)

    def _run_alone(self, on_progress: Callable[[int], None]) -> None:
        while True:
            chunk = self.next_chunk()
            if chunk is not None:
                self.take_back(self.send(chunk))
            elif self.active:
                self._news.get()
                self.take_back(self._source.ended())
                self.take_back(self._target.ended())
            else:
                return
            on_progress(self.done)

    # What moves the copy on. Nothing of it may run in two threads at once, but for `send`.

    def next_chunk(self) -> Chunk | None:
        """Return a chunk to send: one that has come some way, else a new one; None if there is none now."""
        if self._due:
            return self._due.popleft()
        left = self.count is None or self._next_at < self.count
        return self._start_read() if left and self._free and not self._over else None

    def must_keep_order(self, chunk: Chunk) -> bool:
        """Say whether no other chunk may be sent before this one has been."""
        return self._source.reads_in_order and chunk.step == "read"

    def send(self, chunk: Chunk) -> list[Ended]:
        """Begin the step of a chunk, and return what has ended thereby."""
        return _SENDS[chunk.step](self, chunk)

    def take_back(self, ended: list[Ended]) -> None:
        """Settle what happens to chunks whose step has ended."""
        for chunk, result in ended:
            self._advance(chunk, result)

    def _new_chunk(self) -> Chunk:
        # Pages of their own: direct I/O, of sg and of files, needs the alignment.
        return Chunk(memoryview(mmap.mmap(-1, self._per_chunk * self._size)))

    def _resume(self, log: ResumeLog) -> None:
        self.done = self._next_at = self._marked = self.counts.resumed = log.done
        self.counts.unreadable += log.unreadable
        self.counts.unwritten += log.unwritten

    # Reading

    def _start_read(self) -> Chunk:
        chunk = self._free.pop()
        left = self._per_chunk if self.count is None else self.count - self._next_at
        chunk.index, chunk.at, chunk.blocks = self._next_index, self._next_at, min(self._per_chunk, left)
        chunk.length = chunk.blocks * self._size
        self._next_index += 1
        self._next_at += chunk.blocks
        self.active += 1
        chunk.step, chunk.tries = "read", 0
        return chunk

    def _begin(self, chunk: Chunk, step: str) -> None:
        chunk.step, chunk.tries = step, 0
        self._due.append(chunk)

    def _advance(self, chunk: Chunk, result: Result | None) -> None:
        if result is None or (result.ok and not (result.residual and chunk.step in ("read", "compare"))):
            _ENDS[chunk.step](self, chunk)
        else:
            self._failed(chunk, result)

    def _has_read(self, chunk: Chunk) -> None:
        full, rest = divmod(chunk.length, self._size)
        if chunk.length < chunk.blocks * self._size:  # the end of a file
            self._over = True
            chunk.blocks = full + bool(rest)
        self.counts.records_in[0] += full
        self.counts.records_in[1] += bool(rest)
        if not chunk.length:
            self._finished(chunk)
        elif self._operands.sparse and self._is_zero(chunk):
            self._begin(chunk, "skip")
        else:
            self._begin(chunk, "write")

    def _is_zero(self, chunk: Chunk) -> bool:
        data = chunk.data
        if data[0] or data[-1]:  # which is enough for most
            return False
        zeros = self._zeros if chunk.length == len(self._zeros) else bytes(chunk.length)
        return bytes(data) == zeros

    # Writing

    def _has_written(self, chunk: Chunk) -> None:
        full, rest = divmod(chunk.length, self._size)
        self.counts.records_out[0] += full
        self.counts.records_out[1] += bool(rest)
        self.counts.bytes_out += chunk.length
        self._verify_or_finish(chunk)

    def _has_skipped(self, chunk: Chunk) -> None:
        self.counts.left_out += chunk.blocks
        self._finished(chunk)

    def _verify_or_finish(self, chunk: Chunk) -> None:
        if self._operands.verify:
            self._begin(chunk, "verify")
        else:
            self._finished(chunk)

    def _has_verified(self, chunk: Chunk) -> None:
        self.counts.verified += chunk.blocks
        self._finished(chunk)

    def _read_back(self, original: Chunk) -> None:
        """A device without VERIFY: read what was written, and compare it here."""
        chunk = self._new_chunk()
        chunk.original, chunk.at, chunk.blocks = original, original.at, original.blocks
        chunk.length = original.blocks * self._size
        self._begin(chunk, "compare")

    def _has_read_back(self, chunk: Chunk) -> None:
        original = chunk.original
        assert original is not None
        if bytes(chunk.data[: original.length]) != bytes(original.data):
            first = self._operands.seek + chunk.at
            place = f"{self._target.name}: blocks {first} to {first + chunk.blocks - 1}"
            raise FileDiffers(f"{place} are not what was written")
        self._has_verified(original)

    # When something fails

    def _failed(self, chunk: Chunk, result: Result) -> None:
        sense = result.sense
        passing = sense is not None and sense.key in _PASSING
        if chunk.tries <= self._operands.retries + (_MOST_PASSING if passing else 0):
            self.counts.retries += 1
            self._due.append(chunk)
        elif chunk.step == "verify" and sense is not None and sense.key == SenseKey.ILLEGAL_REQUEST:
            self._read_back(chunk)
        elif not self._operands.coe or not self._may_go_on(chunk, result):
            if result.ok:
                raise ShortTransfer(f"{result}: {result.residual} bytes are missing")
            raise CommandError.from_result(result)

    def _may_go_on(self, chunk: Chunk, result: Result) -> bool:
        """Go on with zeros for what can not be read, without what can not be written; False to stop."""
        sense = result.sense
        if result.host_byte or (sense is not None and sense.key in _NO_USE_IN_GOING_ON):
            return False
        if chunk.step == "read":
            self.counts.unreadable += self._source.salvage(chunk)
            self._has_read(chunk)
        elif chunk.step in ("write", "skip"):
            first = self._operands.seek + chunk.at
            self.counts.unwritten += range(first, first + chunk.blocks)
            self._finished(chunk)
        else:
            return False
        return True

    # The end of a chunk

    def _finished(self, chunk: Chunk) -> None:
        self.active -= 1
        self._free.append(chunk)
        self._done_early[chunk.index] = chunk.blocks if chunk.length else 0
        while (blocks := self._done_early.pop(self._low_index, None)) is not None:
            self._low_index += 1
            self.done += blocks
        if self._log is not None and (self.done - self._marked) * self._size >= _LOG_EVERY_BYTES:
            self._target.flush()
            self._mark()

    def _mark(self, *, at_the_end: bool = False) -> None:
        if self._log is not None and (self.done > self._marked or at_the_end):
            self._marked = self.done
            self._log.mark(self.done, self.counts.unreadable, self.counts.unwritten)


_SENDS: dict[str, Callable[[Copier, Chunk], list[Ended]]] = {
    "read": lambda copier, chunk: copier._source.read(chunk),
    "write": lambda copier, chunk: copier._target.write(chunk),
    "skip": lambda copier, chunk: copier._target.skip(chunk),
    "verify": lambda copier, chunk: copier._target.verify(chunk),
    "compare": lambda copier, chunk: copier._target.read(chunk),
}
_ENDS: dict[str, Callable[[Copier, Chunk], None]] = {
    "read": Copier._has_read,
    "write": Copier._has_written,
    "skip": Copier._has_skipped,
    "verify": Copier._has_verified,
    "compare": Copier._has_read_back,
}


def _count(operands: Operands, source: End, target: End) -> int | None:
    """Return how many blocks the copy has; no more than a device has room for."""
    known = [count for count in (operands.count, source.capacity) if count is not None]
    if operands.count is None and target.capacity is not None:
        known.append(target.capacity)
    count = min(known, default=None)
    for end, what in ((source, "skip"), (target, "seek")):
        if count is not None and operands.count is not None and end.block_size and end.capacity is not None:
            _check_room(operands, end, what)
    return count


def _check_room(operands: Operands, end: End, what: str) -> None:
    from midlayer.errors import UsageError

    assert operands.count is not None
    assert end.capacity is not None
    if operands.count > end.capacity:
        left_out = operands.skip if what == "skip" else operands.seek
        raise UsageError(
            f"dd: count={operands.count}: {end.name} has {end.capacity} blocks after {what}={left_out}"
        )
