"""State directories that can not be used: each says what is wrong, where, and what to do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from midlayer.errors import EventLogBehind, EventLogError, EventLogLocked
from midlayer.upper.scsimon import Event, EventLog, Kind
from midlayer.upper.scsimon.log import FILE_NAME

from .running import Run

NOBODY = 65534


def event(count: int) -> Event:
    return Event(count, Kind.CHANGE, 0, "0:0:0:0", 1.0, 2.0, False, {"changes": {}})


def test_two_logs_on_one_directory(tmp_path: Path) -> None:
    first = EventLog(tmp_path)
    with pytest.raises(EventLogLocked) as refused:
        EventLog(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: another midlayer uses this state directory (process {os.getpid()}); "
        "stop it, or choose another directory with --state"
    )
    first.append([event(1)])
    assert first.read(0) == [event(1)], "the first one is not disturbed"
    first.close()
    EventLog(tmp_path).close()


def test_the_lock_goes_with_the_process_that_had_it(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from midlayer.upper.scsimon import EventLog\n"
        "log = EventLog(pathlib.Path(sys.argv[1]))\nos.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    EventLog(tmp_path).close()


def foreign(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 1")
    database.execute("CREATE TABLE events (id INTEGER)")
    database.close()


def from_the_future(file: Path) -> None:
    EventLog(file.parent).close()
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 2")
    database.close()


def damaged_in_the_middle(file: Path) -> None:
    log = EventLog(file.parent)
    for count in range(1, 400):
        log.append([event(count)])
        log.lists.apply(event(count))
    log.close()
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xa5" * (file.stat().st_size - 4096))


def damaged_checkpoint(text: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        EventLog(file.parent).close()
        database = sqlite3.connect(file)
        with database:
            database.execute("INSERT INTO checkpoint VALUES (0, 1, ?)", (text,))
        database.close()

    return damage


def unknown_kind(file: Path) -> None:
    log = EventLog(file.parent)
    log.append([event(1)._replace(kind="explosion")])  # type: ignore[arg-type]
    log._db.close()
    log._unlock()


MOVE_AWAY = "the file is damaged: move it away, or use another state directory"
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda file: file.write_text("hello, world\n" * 100), MOVE_AWAY),
    "cut": (damaged_in_the_middle, MOVE_AWAY),
    "checkpoint no JSON": (damaged_checkpoint("{"), MOVE_AWAY),
    "checkpoint without its keys": (damaged_checkpoint("{}"), MOVE_AWAY),
    "checkpoint with an unknown key": (
        damaged_checkpoint('{"event_count": 1, "attached": [{"address": "", "x": 1}]}'),
        MOVE_AWAY,
    ),
    "foreign": (foreign, "the file of another program, not an event log; use another state directory"),
    "future": (from_the_future, "an event log of version 2, and this midlayer reads version 1; run the mid"),
    "directory": (lambda file: file.mkdir(), "unable to open database file; make room or get the right"),
    "unknown kind": (unknown_kind, "'explosion' is not a valid Kind; the event log can not be read"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_no_event_log(tmp_path: Path, case: str) -> None:
    make, message = CASES[case]
    file = tmp_path / FILE_NAME
    make(file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(EventLogError) as refused:
        EventLog(tmp_path)
    assert str(refused.value).startswith(f"{file}: ")
    assert message in str(refused.value)
    assert not file.is_file() or file.read_bytes() == before, "left as it was found"
    with pytest.raises(EventLogError):
        EventLog(tmp_path)  # and not locked


def as_nobody(directory: Path) -> subprocess.CompletedProcess[str]:
    """Open a log as another user."""
    if os.geteuid() != 0:
        pytest.skip("changing the user needs root")
    code = (
        "import sys, pathlib\n"
        "from midlayer.errors import EventLogError\n"
        "from midlayer.upper.scsimon import EventLog\n"
        "import os; os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
        "try:\n    EventLog(pathlib.Path(sys.argv[1]))\n"
        "except EventLogError as error:\n    sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(directory), str(NOBODY)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def reachable(directory: Path) -> Path:
    """Let other users pass on the way to a directory."""
    for parent in directory.parents:
        if parent.owner() == "root" and not parent.stat().st_mode & 0o001 and "pytest" in str(parent):
            parent.chmod(0o711)
    return directory


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    state = reachable(tmp_path / "state")
    state.mkdir(mode=0o755)
    done = as_nobody(state)
    assert done.returncode == 1
    assert done.stderr == f"{state}: Permission denied; choose another state directory with --state\n"


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    state = reachable(tmp_path / "state")
    EventLog(state).close()
    state.chmod(0o777)
    (state / "lock").chmod(0o666)
    (state / FILE_NAME).chmod(0o444)
    done = as_nobody(state)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{state / FILE_NAME}: the file may only be read; make room or")


def test_the_state_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    EventLog(tmp_path / "a" / "state").close()
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "state" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_path_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EventLogError, match="file: File exists; choose another state directory"):
        EventLog(tmp_path / "file")


def test_a_batch_is_written_whole_or_not_at_all(run: Run) -> None:
    log = run.log
    log._db.execute("PRAGMA max_page_count = 1")
    big = [event(count)._replace(data={"changes": {"pad": "x" * 20_000}}) for count in (1, 2, 3)]
    with pytest.raises(EventLogBehind, match="events wait in memory until it can be written"):
        log.append(big)
    assert log.read(0) == []
    log._db.execute("PRAGMA max_page_count = 10000")


def test_a_count_is_never_written_twice(run: Run) -> None:
    run.log.append([event(1)])
    with pytest.raises(EventLogError, match="UNIQUE constraint failed"):
        run.log.append([event(2), event(1)])
    assert run.log.read(0) == [event(1)]
