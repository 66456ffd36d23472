"""Programs that do what they must not: hang, flood, close their output, leave children, fail to start."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midlayer.frontends.agents import Job, Outcome, Processes
from midlayer.testing import FakeClock

from .programs import SOON_S, Fifo, python

OUTPUT_BYTES = 1000


class Bench:
    """Processes, a clock that stands still, and what ended."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.processes = Processes(self.clock, output_bytes=OUTPUT_BYTES)
        self.ended: list[tuple[str, Outcome]] = []

    def start(self, *argv: str, name: str = "agent", timeout_s: float = 60.0, **variables: bytes) -> None:
        environment = {key.encode(): value for key, value in variables.items()}
        job = Job(name=name, key=name, argv=argv, environment=environment, timeout_s=timeout_s)
        self.processes.start(job, lambda job, outcome: self.ended.append((job.name, outcome)))

    def outcome(self, *argv: str, **options: bytes) -> Outcome:
        """Run one program to its end."""
        self.start(*argv, **options)  # type: ignore[arg-type]
        self.until(1)
        return self.ended[-1][1]

    def until(self, number: int) -> None:
        while len(self.ended) < number:
            self.processes.wait()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.processes.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Callable[[str], Fifo]]:
    made: list[Fifo] = []

    def make(name: str) -> Fifo:
        made.append(Fifo(str(tmp_path / name)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_exit_status_and_output_of_both_streams(bench: Bench) -> None:
    code = "import os, sys; os.write(1, b'out '); os.write(2, b'err'); sys.exit(7)"
    assert bench.outcome(*python(code)) == Outcome("exited", 7, b"out err", 7)


def test_the_environment_is_what_the_job_says_and_nothing_else(bench: Bench) -> None:
    code = "import os; os.write(1, b'|'.join(k + b'=' + v for k, v in sorted(os.environb.items())))"
    values = {"A": b"$(reboot); `x` 'y' \"z\"", "B": b"two\nlines", "C": b"\xff\xfe", "LC_ALL": b"C.UTF-8"}
    outcome = bench.outcome(*python(code), **values)
    assert outcome.output == b"|".join(key.encode() + b"=" + value for key, value in sorted(values.items()))


def test_no_shell_in_between(bench: Bench) -> None:
    code = "import os, sys; os.write(1, os.fsencode('|'.join(sys.argv[1:])))"
    assert bench.outcome(*python(code), "$(id)", "; id", "*", "a b").output == b"$(id)|; id|*|a b"


def test_standard_input_is_empty_and_no_descriptor_of_ours_is_there(bench: Bench) -> None:
    code = "import os; os.write(1, b'%d %r' % (len(os.listdir('/proc/self/fd')), os.read(0, 1)))"
    assert bench.outcome(*python(code)).output == b"4 b''"  # the fourth lists the directory


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("/nowhere/agent",), errno.ENOENT),
        (("/etc",), errno.EACCES),
        (("/bin/ec\0ho",), errno.EINVAL),
        (("/bin/echo", "x" * (4 << 20)), errno.E2BIG),
    ],
    ids=["missing", "a directory", "a zero byte", "too long"],
)
def test_what_can_not_be_started(bench: Bench, argv: tuple[str, ...], code: int) -> None:
    bench.start(*argv)
    assert bench.ended == [("agent", Outcome("not-started", code))]


def test_without_a_descriptor_to_watch_it_a_program_does_not_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(number: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", none_left)
        bench.start(*python("import signal; signal.pause()"))
    assert bench.ended == [("agent", Outcome("not-started", errno.EMFILE))]


def test_a_program_that_hangs_is_killed_with_its_children_when_its_time_is_over(
    bench: Bench, fifo: Callable[[str], Fifo]
) -> None:
    begun, alive = fifo("begun"), fifo("alive")
    # Parent and child hold the pipe `alive`; its reader sees the end once both are dead.
    code = (
        "import os, signal\n"
        f"held = os.open({alive.path!r}, os.O_WRONLY)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\n"
        f"os.write(os.open({begun.path!r}, os.O_WRONLY), b'1')\n"
        "while True: signal.pause()\n"
    )
    bench.start(*python(code), timeout_s=5.0)
    assert len(begun.read(1) + begun.read(1)) == 2
    watch = os.open(alive.path, os.O_RDONLY | os.O_NONBLOCK)
    alive.close()
    try:
        assert bench.clock.advance(4.9) == 0
        bench.processes.wait(block=False)
        assert bench.ended == []
        assert bench.clock.advance(0.2) == 1
        bench.until(1)
        assert bench.ended[0][1][:2] == ("timed-out", signal.SIGKILL)
        os.set_blocking(watch, True)
        assert os.read(watch, 1) == b"", "nobody holds the pipe any more"
    finally:
        os.close(watch)
        alive._descriptor = os.open(os.devnull, os.O_RDONLY)


def test_a_child_that_stays_behind_does_not_outlive_its_agent(
    bench: Bench, fifo: Callable[[str], Fifo]
) -> None:
    begun = fifo("begun")
    code = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        f"    os.write(os.open({begun.path!r}, os.O_WRONLY), b'%d ' % os.getpid())\n"
        "    while True: signal.pause()\n"
        f"os.read(os.open({begun.path + '2'!r}, os.O_RDONLY), 1)\n"
        "os.write(1, b'done')\n"
    )
    second = fifo("begun2")
    bench.start(*python(code))
    child = int(begun.read())
    end = os.pidfd_open(child)
    second.write(b"!")
    try:
        bench.until(1)
        assert bench.ended[0][1] == Outcome("exited", 0, b"done", 4)
        assert select.select([end], [], [], SOON_S)[0] == [end]
    finally:
        os.close(end)


def test_output_that_is_closed_is_no_end(bench: Bench, fifo: Callable[[str], Fifo]) -> None:
    closed, go = fifo("closed"), fifo("go")
    code = (
        "import os, sys\nos.write(1, b'bye'); os.close(1); os.close(2)\n"
        f"os.write(os.open({closed.path!r}, os.O_WRONLY), b'1')\n"
        f"os.read(os.open({go.path!r}, os.O_RDONLY), 1)\nos._exit(3)\n"
    )
    bench.start(*python(code))
    closed.read()
    bench.processes.wait(block=True)
    assert bench.ended == []
    go.write(b"1")
    bench.until(1)
    assert bench.ended[0][1] == Outcome("exited", 3, b"bye", 3)


def test_a_flood_is_counted_and_cut(bench: Bench) -> None:
    size = 1 << 30
    code = f"import os\nblock = bytes(1 << 20)\nfor _ in range({size >> 20}): os.write(1, block)"
    outcome = bench.outcome(*python(code))
    # A write to a pipe may be cut short only by a signal, and there is none.
    assert (outcome.kind, outcome.status, outcome.output_size) == ("exited", 0, size)
    assert outcome.output == bytes(OUTPUT_BYTES)


def test_a_flood_without_end_ends_with_its_time_and_holds_up_nobody(bench: Bench) -> None:
    bench.start(*python("import os\nwhile True: os.write(1, bytes(65536))"), name="flood", timeout_s=5.0)
    bench.start(*python("pass"), name="other")
    bench.until(1)
    assert bench.ended[0][0] == "other"
    bench.clock.advance(5.0)
    bench.until(2)
    assert bench.ended[1][0] == "flood"
    assert bench.ended[1][1].kind == "timed-out"


def test_killed_by_a_signal(bench: Bench) -> None:
    outcome = bench.outcome(*python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert outcome == Outcome("killed", signal.SIGSEGV)
    assert str(outcome) == "was killed by signal 11"


def test_what_runs_at_the_end_is_killed_and_nobody_is_told(bench: Bench, fifo: Callable[[str], Fifo]) -> None:
    begun = fifo("begun")
    code = f"import os, signal\nos.write(os.open({begun.path!r}, 1), b'%d' % os.getpid())\nsignal.pause()"
    bench.start(*python(code))
    number = int(begun.read())
    bench.processes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert bench.ended == []
    bench.processes = Processes(bench.clock, output_bytes=1)
