"""``[[filter]]`` and recorded hosts of a configuration: what they do, and their mistakes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from midlayer.errors import ConfigError
from midlayer.frontends.config import load, parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.lower.filters import Recording
from midlayer.standards.sbc import ReadCapacity10
from midlayer.upper.sg import execute

DISK = '[[host]]\ndriver = "virtual"\n[[host.unit]]\nsize = "1M"\n'
READ = bytes.fromhex("28000000000000000100")
CAPACITY = ReadCapacity10().encode()
LENGTHS = {READ: 512, CAPACITY: 8}


def run(text: str, directory: Path, *cdbs: bytes) -> list[str]:
    """Bring a daemon up, send commands to its first device, and take it down."""
    file = directory / "m.toml"
    file.write_text(text)
    daemon = Daemon(load(file), None)
    try:
        daemon.start()
        settled = threading.Event()
        daemon.policy.worker.submit(settled.set)  # after whatever the daemon itself asks of its devices
        assert settled.wait(30)
        device = daemon.subsystem.devices()[0]
        return [str(execute(device, cdb, data_in=LENGTHS.get(cdb))) for cdb in cdbs]
    finally:
        daemon.stop()


def test_trace_and_record_see_what_a_fault_did(tmp_path: Path) -> None:
    text = (
        DISK
        + '[[fault]]\nopcode = "READ"\nsense = "3/11/00"\n'
        + '[[filter]]\nkind = "trace"\nfile = "trace.txt"\n[[filter]]\nkind = "record"\nfile = "r.jsonl"\n'
    )
    outcomes = run(text, tmp_path, bytes(6), READ)
    lines = (tmp_path / "trace.txt").read_text().splitlines()
    assert [line.partition(", ")[0] for line in lines] == [
        "1 0:0:0:0 TEST UNIT READY: GOOD",
        "2 0:0:0:0 READ(10) lba=0 blocks=1: MEDIUM ERROR",
    ]
    recording = Recording.parse((tmp_path / "r.jsonl").read_text().splitlines())
    assert [command.cdb for command in recording.commands] == [bytes(6), READ]
    again = run('[[host]]\ndriver = "replay"\nfile = "r.jsonl"\n', tmp_path, bytes(6), READ)
    assert again == outcomes, "a host of the record answers the same"


def test_a_recorded_host_is_asked_nothing_by_the_way(tmp_path: Path) -> None:
    """A daemon reads the capacity of its devices; of a recording that would be somebody's answer."""
    outcomes = run(DISK + '[[filter]]\nkind = "record"\nfile = "r.jsonl"\n', tmp_path, CAPACITY, bytes(6))
    again = run('[[host]]\ndriver = "replay"\nfile = "r.jsonl"\n', tmp_path, CAPACITY, bytes(6))
    assert again == outcomes


def test_a_delay(tmp_path: Path) -> None:
    config = parse(DISK + '[[filter]]\nkind = "delay"\ndelay = "1ms"\ndevice = "0:0:0:0"\n')
    daemon = Daemon(config, None)
    try:
        daemon.start()
        assert execute(daemon.subsystem.devices()[0], bytes(6)).duration_s >= 0.001
    finally:
        daemon.stop()


FILTER = "[[filter]]\n"
MISTAKES = {
    "a table": ("[filter]\nkind = 'delay'", 1, "filter", "write [[filter]], once for each filter"),
    "no kind": (FILTER + "file = 'x'", 1, "filter.kind", "is missing; write one of delay, trace, record"),
    "unknown kind": (FILTER + "kind = 'dely'", 2, "filter.kind", "'dely' is not known"),
    "key of another kind": (FILTER + "kind = 'delay'\nfile = 'x'", 3, "filter.file", "there is no such key"),
    "no file": (FILTER + "kind = 'trace'", 1, "filter.file", "is missing; a trace filter needs it"),
    "value": (FILTER + "kind = 'delay'\ndelay = 'x'", 3, "filter.delay", "'x' must be a duration"),
    "device": (FILTER + "kind='trace'\nfile='x'\ndevice='sg0'", 4, "filter.device", "must be an address"),
    "no recording": (FILTER + "kind = 'replay'\nfile = 'none'", 3, "filter.file", "No such file"),
    "no recorded host": ("[[host]]\ndriver = 'replay'\nfile = 'none'", 3, "host.file", "No such file"),
    "host without a file": ("[[host]]\ndriver = 'replay'", 1, "host.file", "None must be a path"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    text, line, key, says = MISTAKES[case]
    with pytest.raises(ConfigError) as found:
        parse(text, file="m.toml")
    assert (found.value.line, found.value.key) == (line, key)
    assert says in str(found.value)


def test_a_recording_that_is_none_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("{}\n")
    file = tmp_path / "m.toml"
    file.write_text('[[host]]\ndriver = "replay"\nfile = "r.jsonl"\n')
    with pytest.raises(ConfigError, match=r"host.file: .*r.jsonl:1: not a line of a recording"):
        load(file)


def test_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(DISK + '[[filter]]\nkind = "trace"\nfile = "no/such/directory"\n')
    daemon = Daemon(load(file), None)
    try:
        with pytest.raises(ConfigError, match=r"filter.file: No such file or directory"):
            daemon.start()
    finally:
        daemon.stop()
