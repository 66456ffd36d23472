"""A copy from its operands to its report."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from midlayer.frontends.cli.output import print_json
from midlayer.frontends.dd.copier import Copier
from midlayer.frontends.dd.ends import End, is_device
from midlayer.frontends.dd.log import ResumeLog
from midlayer.frontends.dd.operands import Operands
from midlayer.frontends.dd.report import Bar, Counts, NoProgress, Progress, speed

_REPORT_SIGNALS = [number for name in ("SIGUSR1", "SIGINFO") if (number := getattr(signal, name, None))]


def copy(operands: Operands, *, json: bool = False, socket: Path | None = None) -> None:
    """Copy, and print the report in any case: on standard error, or as JSON on standard output.

    Raises:
        MidlayerError: What kept the copy from being complete.
    """
    counts = Counts()

    def tell() -> None:
        for line in counts.lines():
            print(line, file=sys.stderr)
        if operands.time:
            print(speed(counts, counts.elapsed_s()), file=sys.stderr)

    copied = False
    try:
        with _on_signal(tell):
            _copy(operands, counts, socket)
        copied = True
    finally:
        if copied or counts.block_size:
            if json:
                print_json(counts.to_json(counts.elapsed_s()))
            else:
                sys.stderr.flush()
                tell()


def _copy(operands: Operands, counts: Counts, socket: Path | None) -> None:
    news: SimpleQueue[None] = SimpleQueue()
    with ExitStack() as stack:
        source = _open(operands, news, socket, writes=False)
        stack.push(lambda kind, error, trace: source.close(abort=kind is not None))
        target = _open(operands, news, socket, writes=True)
        stack.push(lambda kind, error, trace: target.close(abort=kind is not None))
        copier = Copier(operands, source, target, news, counts)
        log = None
        if operands.resume is not None:
            log = ResumeLog(operands.resume, operands, counts.block_size, copier.count)
            stack.callback(log.close)
        shown: Progress = Bar(counts, time.monotonic) if sys.stderr.isatty() else NoProgress()
        with shown:
            counts.begun_s = time.monotonic()
            copier.run(log, shown.update)


def _open(operands: Operands, news: SimpleQueue[None], socket: Path | None, *, writes: bool) -> End:
    name = operands.target if writes else operands.source
    flags = operands.output_flags if writes else operands.input_flags
    pattern = not writes and flags & {"00", "ff"}
    if is_device(name) and not pattern and "null" not in flags:
        from midlayer.frontends.dd.device_end import open_device_end

        return open_device_end(operands, writes=writes, on_ready=lambda: news.put(None), socket=socket)
    from midlayer.frontends.dd.file_end import open_source, open_target

    return open_target(operands) if writes else open_source(operands)


@contextmanager
def _on_signal(tell: Callable[[], None]) -> Iterator[None]:
    """Tell how far we are whenever a signal asks."""

    def handle(number: int, frame: FrameType | None) -> None:
        tell()

    before = {number: signal.signal(number, handle) for number in _REPORT_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
