"""How far a copy came: for people, as JSON, and as a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from midlayer.quantities import counted, format_size

_SHOWN_RANGES = 20
_BAR_EVERY_S = 0.1


@dataclass(slots=True)
class Counts:
    """What was done. Records are blocks; a partial one is the end of a file that fills no block.

    Attributes:
        block_size: Bytes of a block.
        records_in, records_out: Full and partial ones.
        bytes_out: Bytes written, without what was left out.
        left_out: Blocks that were zero, and not written.
        resumed: Blocks that an earlier run had copied.
        unreadable, unwritten: Blocks of the source, of the target, that were given up (``coe``).
        retries: Commands that were sent again.
        verified: Blocks that were compared.
        total: Blocks that are to be copied, if that is known.
        begun_s: When the first command was about to be sent, on the monotonic clock.
    """

    block_size: int = 0
    records_in: list[int] = field(default_factory=lambda: [0, 0])
    records_out: list[int] = field(default_factory=lambda: [0, 0])
    bytes_out: int = 0
    left_out: int = 0
    resumed: int = 0
    unreadable: list[int] = field(default_factory=list)
    unwritten: list[int] = field(default_factory=list)
    retries: int = 0
    verified: int = 0
    total: int | None = None
    begun_s: float | None = None

    def elapsed_s(self) -> float:
        """Return how long the copy has taken up to now."""
        return 0.0 if self.begun_s is None else time.monotonic() - self.begun_s

    def lines(self) -> list[str]:
        """Return the report for people, the first two lines as dd's."""
        lines = [
            f"{self.records_in[0]}+{self.records_in[1]} records in",
            f"{self.records_out[0]}+{self.records_out[1]} records out",
        ]
        if self.resumed:
            lines.append(f"{counted(self.resumed, 'record')} copied by an earlier run")
        if self.left_out:
            lines.append(f"{self.left_out} records were zero and left out")
        if self.verified:
            lines.append(f"{counted(self.verified, 'record')} compared, all equal")
        if self.retries:
            lines.append(f"{counted(self.retries, 'command')} sent again")
        for blocks, what in (
            (self.unreadable, "could not be read"),
            (self.unwritten, "could not be written"),
        ):
            if blocks:
                lines.append(f"{counted(len(blocks), 'block')} {what}: {', '.join(_ranges(blocks))}")
        return lines

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "block_size": self.block_size,
            "records_in": {"full": self.records_in[0], "partial": self.records_in[1]},
            "records_out": {"full": self.records_out[0], "partial": self.records_out[1]},
            "bytes_out": self.bytes_out,
            "left_out": self.left_out,
            "resumed": self.resumed,
            "verified": self.verified,
            "retries": self.retries,
            "unreadable": sorted(self.unreadable),
            "unwritten": sorted(self.unwritten),
            "seconds": seconds,
            "bytes_per_second": self.bytes_out / seconds if seconds else 0.0,
        }


def _ranges(blocks: list[int]) -> list[str]:
    """Return blocks as ranges, and how many were left out where there are too many."""
    ranges: list[list[int]] = []
    for block in sorted(blocks):
        if ranges and ranges[-1][1] == block - 1:
            ranges[-1][1] = block
        else:
            ranges.append([block, block])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    more = len(texts) - _SHOWN_RANGES
    return texts if more <= 0 else [*texts[:_SHOWN_RANGES], f"and {more} more places"]


def speed(counts: Counts, seconds: float) -> str:
    """Return the line that ``time=1`` asks for."""
    rate = format_size(int(counts.bytes_out / seconds)) if seconds else "?"
    return f"time to transfer data: {seconds:.6f} s, {rate}/s"


class Progress(Protocol):
    """Something that shows how far a copy has come; a context manager."""

    def update(self, blocks: int) -> None:
        """So many blocks are done."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NoProgress:
    """Where nobody looks."""

    def update(self, blocks: int) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was shown."""


class Bar:
    """A bar on the terminal that is standard error."""

    def __init__(self, counts: Counts, monotonic: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Rich

        self._counts, self._monotonic = counts, monotonic
        self._shown_s = 0.0
        columns = (
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._rich = Rich(*columns, console=Console(file=sys.stderr), transient=True, auto_refresh=False)
        self._task = self._rich.add_task("", total=None)

    def update(self, blocks: int) -> None:
        now_s = self._monotonic()
        if now_s - self._shown_s >= _BAR_EVERY_S:
            self._shown_s = now_s
            size, total = self._counts.block_size, self._counts.total
            whole = None if total is None else total * size
            self._rich.update(self._task, completed=blocks * size, total=whole, refresh=True)

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()
