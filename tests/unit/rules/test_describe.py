"""A device in rule syntax."""

from __future__ import annotations

from dataclasses import replace

from midlayer.rules import parse
from midlayer.rules.describe import attribute_walk, attributes_json, database_lines

from .devices import DISK, GENERIC, UNIT

STRANGE = replace(UNIT, attributes={"vendor": 'A"B \n', "line": "a\nb", "bytes": b"\xff", "esc": "\x1b[2J"})


def test_each_line_of_the_walk_is_a_match_of_a_rule() -> None:
    lines = list(attribute_walk(replace(DISK, parent=STRANGE)))
    matches = [line.strip() for line in lines if "==" in line]
    assert 'KERNEL=="sdb"' in matches
    assert 'ATTR{size}=="2048"' in matches
    assert 'KERNELS=="2:0:1:0"' in matches
    assert 'DRIVERS=="sd"' in matches
    assert 'ATTRS{vendor}=="A\\"B"' in matches
    for match in matches:
        assert parse(f'{match}, ENV{{A}}="1"').mistakes == (), match
    assert all(line.isprintable() for line in lines)


def test_the_walk_as_values() -> None:
    first, second, *_ = attributes_json(GENERIC)
    assert first == {
        "devpath": GENERIC.devpath,
        "kernel": "sg3",
        "subsystem": "scsi_generic",
        "driver": "",
        "attributes": {},
    }
    assert second["attributes"]["type"] == "0"


def test_lines_of_a_database() -> None:
    properties = {**DISK.properties, "DEVLINKS": "/dev/disk/by-id/b /dev/disk/by-id/a", "X": "a\nb"}
    lines = list(database_lines(DISK, properties))
    assert lines[:4] == [f"P: {DISK.devpath}", "M: sdb", "U: block", "T: disk"]
    assert "D: b 8:16" in lines
    assert lines.index("S: disk/by-id/a") < lines.index("S: disk/by-id/b")
    assert "E: X=a\\x0ab" in lines
