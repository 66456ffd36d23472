"""The reader of fault rules: what it takes, how it says no, and that rules come back as they were written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from midlayer.lower.filters import Delay, FaultRule, RuleError, Scope, values
from midlayer.standards.sense import Sense, descriptor_sense, fixed_sense

GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sense by numbers": ({"sense": "3/11/00"}, {"sense": fixed_sense(3, 0x11, 0)}),
    "sense by key": ({"sense": "medium error"}, {"sense": fixed_sense(3)}),
    "sense by name": (
        {"sense": "medium error, unrecovered read error"},
        {"sense": fixed_sense(3, 0x11, 0)},
    ),
    "sense as it is printed": (
        {"sense": str(Sense.decode(fixed_sense(4, 0x44, 0)))},
        {"sense": fixed_sense(4, 0x44, 0)},
    ),
    "sense in bytes": (
        {"sense": fixed_sense(3, 0x11, information=9).hex(" ")},
        {"sense": fixed_sense(3, 0x11, information=9)},
    ),
    "descriptor sense": (
        {"sense": "5/24/00", "descriptor_sense": True},
        {"sense": descriptor_sense(5, 0x24, 0)},
    ),
    "opcode by name": ({"opcode": "READ(10)", "lost": True}, {"opcode": ((0x28, None),)}),
    "opcode as Python writes it": ({"opcode": "read_10", "lost": True}, {"opcode": ((0x28, None),)}),
    "opcode by number": ({"opcode": 0xC1, "lost": True}, {"opcode": ((0xC1, None),)}),
    "opcode as hexadecimal text": ({"opcode": "0xc1", "lost": True}, {"opcode": ((0xC1, None),)}),
    "a family": (
        {"opcode": "READ", "lost": True},
        {"opcode": ((0x08, None), (0x28, None), (0x7F, 9), (0x88, None), (0xA8, None))},
    ),
    "a service action by name": ({"opcode": "READ CAPACITY(16)", "lost": True}, {"opcode": ((0x9E, 0x10),)}),
    "several": (
        {"opcode": ["READ(10)", "WRITE(10)"], "lost": True},
        {"opcode": ((0x28, None), (0x2A, None))},
    ),
    "several on one line": (
        {"opcode": "READ(10); 0x2a", "lost": "true"},
        {"opcode": ((0x28, None), (0x2A, None)), "lost": True},
    ),
    "any": ({"opcode": "any", "lost": True}, {"opcode": ()}),
    "one block": ({"lba": 4096, "lost": True}, {"lba": (4096, 4096)}),
    "first and last": ({"lba": "0x1000-0x1007", "lost": True}, {"lba": (4096, 4103)}),
    "first and number": ({"lba": "4096+8", "lost": True}, {"lba": (4096, 4103)}),
    "device": ({"device": "2:0:1", "lost": True}, {"device": Scope(2, 0, 1)}),
    "devices": ({"device": "2:*:*:0", "lost": True}, {"device": Scope(2, None, None, 0)}),
    "everything": ({"device": "*", "lost": True}, {"device": Scope()}),
    "status": ({"status": "reservation conflict"}, {"status": 0x18}),
    "status by number": ({"status": "0x40"}, {"status": 0x40}),
    "queue full": ({"status": "QUEUE FULL"}, {"status": 0x28}),
    "status good": ({"status": "GOOD", "residual": "all"}, {"status": 0, "residual": -1}),
    "host byte": ({"host_byte": "DID_NO_CONNECT"}, {"host_byte": 1}),
    "host byte without prefix": ({"host_byte": "bus busy"}, {"host_byte": 2}),
    "delay": ({"delay": "50ms"}, {"delay": Delay.fixed(0.05)}),
    "delay in seconds": ({"delay": 2}, {"delay": Delay.fixed(2.0)}),
    "jitter": ({"delay": "50ms+-10ms"}, {"delay": Delay(((0.0, 0.04), (100.0, 0.06)))}),
    "percentiles": ({"delay": "p50=1ms p99=20ms"}, {"delay": Delay(((50.0, 0.001), (99.0, 0.02)))}),
    "percentiles in a table": (
        {"delay": {"p50": "1ms", "p99.9": 1}},
        {"delay": Delay(((50.0, 0.001), (99.9, 1.0)))},
    ),
    "probability": ({"probability": "1%", "lost": True}, {"probability": 0.01}),
    "once": ({"once": True, "lost": True}, {"times": 1}),
    "time window": ({"after": "2s", "lasts": "1m", "lost": True}, {"after": 2.0, "lasts": 60.0}),
    "busy": ({"busy": "target"}, {"busy": "target"}),
    "fail": ({"fail": "abort, host_reset"}, {"fail": ("abort", "host_reset")}),
    "unit attention": ({"unit_attention": "29/00"}, {"unit_attention": (0x29, 0)}),
    "unit attention by name": (
        {"unit_attention": "reported LUNs data has changed"},
        {"unit_attention": (0x3F, 0x0E)},
    ),
    "qualifier": ({"qualifier": "011b"}, {"qualifier": 3}),
    "qualifier 0": ({"qualifier": 0}, {"qualifier": 0}),
    "identity": ({"identity": "OTHER-1"}, {"identity": "OTHER-1"}),
    "state": ({"device": "0:0:0:3", "state": "lun-gone"}, {"state": "lun-gone"}),
}


@pytest.mark.parametrize("case", GOOD)
def test_rule(case: str) -> None:
    given, expected = GOOD[case]
    rule = FaultRule.from_mapping(given)
    assert {key: getattr(rule, key) for key in expected} == expected
    assert FaultRule.from_mapping(rule.to_mapping()) == rule


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "fault: the rule does nothing; write one of status, host_byte"),
    "unknown key": ({"opcod": 1}, "opcod: there is no such key; did you mean opcode?"),
    "unknown command": ({"opcode": "READX(10)"}, "opcode: 'READX(10)' must be a command such as READ(10)"),
    "near command": ({"opcode": "INQUIRE"}, "did you mean 'inquiry'?"),
    "opcode too large": ({"opcode": 256}, "opcode: 256 must be a number from 0 to 255"),
    "empty list": ({"opcode": []}, "opcode: [] must be a command"),
    "backwards": ({"lba": "9-3"}, "lba: '9-3' ends before it begins"),
    "no blocks": ({"lba": "9+0"}, "lba: '9+0' ends before it begins"),
    "address": ({"device": "2:0:1:0:0"}, "device: '2:0:1:0:0' must be an address such as 2:0:1:0"),
    "direction": ({"direction": "up"}, "direction: 'up' must be one of in, out, none"),
    "status": ({"status": "GREAT"}, "status: 'GREAT' must be one of GOOD"),
    "host byte": ({"host_byte": "DID_WELL"}, "host_byte: 'DID_WELL' must be one of DID_OK"),
    "sense key": ({"sense": "median error"}, "sense: 'median error' must be one of NO_SENSE"),
    "additional sense": (
        {"sense": "medium error, unrecovered red error"},
        "did you mean 'unrecovered read error'",
    ),
    "delay": ({"delay": "soon"}, "delay: 'soon' must be a duration"),
    "percentile": ({"delay": "p101=1s"}, "delay: 'p101' must be a percentile"),
    "falling percentiles": ({"delay": "p50=2s p99=1s"}, "delay: percentiles must be at least one, and rise"),
    "probability": ({"probability": 2}, "probability: 2 must be more than 0 and at most 1"),
    "fail": ({"fail": "everything"}, "fail: 'everything' must be one or several of abort, device_reset"),
    "unit attention": (
        {"unit_attention": "29/00/00/00"},
        "unit_attention: '29/00/00/00' must be ASC and ASCQ",
    ),
    "two alone": ({"lost": True, "busy": "host"}, "lost: goes with no busy; write a second [[fault]]"),
    "gone, but who": ({"state": "lun-gone", "device": "2:0"}, "device: lun-gone is for one logical unit"),
    "nth and every": ({"nth": 1, "every": 2, "lost": True}, "nth: is for one command, every for many"),
    "identity": ({"identity": "é"}, "identity: 'é' must be a serial number"),
    "text": ({"name": 3}, "name: 3 must be text in quotes"),
    "short, not executed": ({"short": 3, "execute": False}, "execute: false leaves no data"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    given, expected = MISTAKES[case]
    with pytest.raises(RuleError) as caught:
        FaultRule.from_mapping(given)
    assert expected in str(caught.value)


def test_every_key_has_a_reader_and_every_reader_a_key() -> None:
    with pytest.raises(RuleError) as caught:
        FaultRule.from_mapping({"?": 1})
    known = str(caught.value).rpartition("known keys are ")[2].split(", ")
    assert set(known) == set(FaultRule.__slots__) | {"once", "descriptor_sense"}


def test_toml_gives_the_same_as_python() -> None:
    table = tomllib.loads('opcode = ["READ(10)"]\nlba = "8-15"\nsense = "3/11/00"\ndelay = {p50 = "1ms"}')
    assert FaultRule.from_mapping(table) == FaultRule(
        opcode=((0x28, None),), lba=(8, 15), sense=fixed_sense(3, 0x11), delay=Delay(((50.0, 0.001),))
    )


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.0015, 0.05, 1.0, 90.0, 0.1 + 0.2, 604800.0])
def test_durations_come_back(seconds: float) -> None:
    assert values.duration("x", values.duration_text(seconds)) == pytest.approx(seconds, rel=1e-12)


def test_a_distribution_keeps_its_percentiles() -> None:
    delay = values.delay("delay", "p50=1ms p99=20ms p100=1s")
    assert [delay.at(percent) for percent in (0, 50, 99, 100)] == [0.001, 0.001, 0.02, 1.0]
    assert delay.at(99.5) == pytest.approx(0.51)
