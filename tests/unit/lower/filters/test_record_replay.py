"""A session is recorded on a virtual disk, and answered from the record."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from midlayer.lower.filters import (
    Player,
    RecordFilter,
    Recording,
    RecordingError,
    ReplayDriver,
    ReplayFilter,
    add_fault,
    filters_of,
)
from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.dispatch import submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read10, Write10
from midlayer.standards.spc import Inquiry
from midlayer.testing import FakeClock
from midlayer.upper.sg import execute

READ = Read10(logical_block_address=8, transfer_length=1).encode()
WRITE = Write10(logical_block_address=8, transfer_length=1).encode()
DATA = bytes(range(256)) * 2


def session(device: LogicalUnit) -> list[Result]:
    """Do a little of everything."""
    return [
        execute(device, bytes(6)),
        execute(device, WRITE, data_out=DATA),
        execute(device, READ, data_in=512),
        execute(device, READ, data_in=1024),
        execute(device, Inquiry(allocation_length=255).encode(), data_in=255),
        execute(device, bytes.fromhex("c10000000000")),
        execute(device, Read10(logical_block_address=1 << 31, transfer_length=1).encode(), data_in=512),
    ]


def recorded(device: LogicalUnit, *, hashed: bool = False) -> str:
    file = io.StringIO()
    recorder = RecordFilter(file, hashed=hashed)
    filters = filters_of(device.host.subsystem)
    filters.add(recorder)
    session(device)
    filters.remove(recorder)
    assert recorder.failure == ""
    return file.getvalue()


def outcome(result: Result) -> tuple[Any, ...]:
    data = bytes(result.data_in) if result.data_in is not None else None
    return result.status, result.host_byte, result.sense_data, result.residual, data, result.cdb


@pytest.fixture
def replayed(disk: LogicalUnit) -> Iterator[tuple[LogicalUnit, Player]]:
    """The disk of the record in a subsystem of its own, and the player."""
    subsystem = Subsystem(clock=FakeClock())
    driver = ReplayDriver(subsystem)
    hosts, player = driver.add_hosts(Recording.parse(recorded(disk).splitlines()), lambda line: None)
    yield subsystem.devices()[0], player
    driver.remove_hosts(hosts)


def test_what_a_line_says(disk: LogicalUnit) -> None:
    head, device, *commands = map(json.loads, recorded(disk).splitlines())
    assert head == {"midlayer_recording": 1, "begun": "2023-11-14T22:13:20.000000Z"}
    assert (device["device"], bytes.fromhex(device["inquiry"])[8:16]) == ("0:0:0:0", b"MIDLAYER")
    assert set(device["vpd"]) >= {"00", "80", "83"}
    assert commands[0] == {
        "n": 1, "device": "0:0:0:0", "at_s": 0.0, "initiator": "local", "cdb": "000000000000", "out": None,
        "in_length": None, "in": None, "status": 0, "host_byte": 0, "sense": "", "residual": 0,
        "duration_s": 0.0,
    }  # fmt: skip
    assert Recording.parse(recorded(disk).splitlines()).commands[1].data_out.content == DATA  # type: ignore[union-attr]


def test_the_replay_is_the_same_byte_for_byte(
    disk: LogicalUnit, replayed: tuple[LogicalUnit, Player]
) -> None:
    device, player = replayed
    assert (device.vendor, device.model, device.vpd_pages) == (disk.vendor, disk.model, disk.vpd_pages)
    assert [outcome(result) for result in session(device)] == [outcome(result) for result in session(disk)]
    assert (player.departures, player.left()) == ([], 0)


def test_a_filter_replays_above_any_driver(disk: LogicalUnit) -> None:
    player = Player(Recording.parse(recorded(disk).splitlines()))
    execute(disk, WRITE, data_out=bytes(512))
    filters_of(disk.host.subsystem).add(ReplayFilter(player))
    assert bytes(session(disk)[2].data) == DATA
    assert player.departures == []


DEPARTURES: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "another command": (
        bytes.fromhex("1b0000000000"),
        {},
        "0:0:0:0: command 1 of the record is TEST UNIT READY (000000000000); the client sent "
        "START STOP UNIT start=0 loej=0 power_condition=0 (1b0000000000)",
    ),
    "another buffer": (
        bytes(6),
        {"data_in": 4},
        "0:0:0:0: command 1 of the record is TEST UNIT READY (000000000000); the client sent room for "
        "4 bytes instead of 0",
    ),
    "data": (
        bytes(6),
        {"data_out": b"x"},
        "0:0:0:0: command 1 of the record is TEST UNIT READY (000000000000); the client sent "
        "data for the device",
    ),
}


@pytest.mark.parametrize("case", DEPARTURES)
def test_a_departure_is_told(replayed: tuple[LogicalUnit, Player], case: str) -> None:
    device, player = replayed
    cdb, data, text = DEPARTURES[case]
    result = execute(device, cdb, **data)
    assert result.host_byte == HostByte.DID_ABORT
    assert player.departures == [text]
    assert execute(device, bytes(6)).ok, "the record stands where it stood"


def test_other_data_is_told_by_its_first_byte(replayed: tuple[LogicalUnit, Player]) -> None:
    device, player = replayed
    execute(device, bytes(6))
    execute(device, WRITE, data_out=DATA[:100] + bytes(412))
    assert player.departures[0].endswith("the client sent other data for the device, from byte 100 on")


def test_a_command_that_is_left_out_is_told_and_the_record_goes_on(
    replayed: tuple[LogicalUnit, Player],
) -> None:
    device, player = replayed
    assert bytes(execute(device, READ, data_in=512).data) == DATA
    assert player.departures == [
        "0:0:0:0: command 1 of the record, TEST UNIT READY, was left out",
        "0:0:0:0: command 2 of the record, WRITE(10) lba=8 blocks=1, was left out",
    ]


def test_the_end_of_the_record_is_told(replayed: tuple[LogicalUnit, Player]) -> None:
    device, player = replayed
    session(device)
    assert execute(device, bytes(6)).host_byte == HostByte.DID_ABORT
    assert player.departures == ["0:0:0:0: the record has no more commands; the client sent TEST UNIT READY"]


def test_commands_that_never_came_up_never_do(disk: LogicalUnit, subsystem: Subsystem) -> None:
    file = io.StringIO()
    recorder = RecordFilter(file)
    add_fault(disk, lost=True)
    filters_of(subsystem).add(recorder)
    submit(Command(disk, bytes(6), on_finished=lambda command: None))
    filters_of(subsystem).remove(recorder)
    recording = Recording.parse(file.getvalue().splitlines())
    assert [command.finished for command in recording.commands] == [False]
    clock = FakeClock()
    other = Subsystem(clock=clock)
    driver = ReplayDriver(other)
    hosts, _ = driver.add_hosts(recording)
    again = Command(other.devices()[0], bytes(6), timeout_s=5.0, on_finished=lambda command: None)
    submit(again)
    assert again.phase.name == "ISSUED"
    for _ in range(100):
        clock.advance(1.0)
    assert again.host_byte == HostByte.DID_TIME_OUT
    driver.remove_hosts(hosts)


def test_hashes_tell_no_data_and_are_not_replayed(disk: LogicalUnit) -> None:
    text = recorded(disk, hashed=True)
    assert "base64" not in text
    with pytest.raises(RecordingError, match="command 3: its data was recorded as a hash"):
        Player(Recording.parse(text.splitlines()))


def test_a_full_disk_ends_no_command(disk: LogicalUnit) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    recorder = RecordFilter(Full())
    filters_of(disk.host.subsystem).add(recorder)
    assert execute(disk, bytes(6)).ok
    assert "No space left" in recorder.failure


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "r: nothing was recorded"),
        ("{}", "r:1: not a line of a recording: the first line must have midlayer_recording 1"),
        ('{"midlayer_recording": 1}\n{"n": 1}', "r:2: not a line of a recording: cdb is missing"),
        ('{"midlayer_recording": 1}\n[', "r:2: not a line of a recording: Expecting value"),
        ('{"midlayer_recording": 1}\n{"device": "x", "inquiry": "", "vpd": {}}', "r:2: not a line"),
    ],
)
def test_a_line_that_is_none(text: str, says: str) -> None:
    with pytest.raises(RecordingError) as caught:
        Recording.parse(text.splitlines(), file="r")
    assert says in str(caught.value)
