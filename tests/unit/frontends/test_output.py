"""Tables that fit, lines that fit, and nothing of a device's text that a terminal would obey."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from midlayer.frontends.cli import lists
from midlayer.frontends.cli.output import Column, clean, fit, fitted, hex_dump, print_table
from midlayer.frontends.cli.wording import event_line, type_word
from midlayer.lower.virtual.spec import TYPES

COLUMNS = (Column("KEY", 3), Column("EXTRA"), Column("MUCH", 2), Column("LESS", 1), Column("MORE"))
WIDTHS = (4, 6, 10, 8, 5)

Terminal = Callable[[int], None]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Make standard output a terminal of some width."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def make(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return make


@pytest.mark.parametrize(
    ("room", "shown", "gap"),
    [
        (None, [0, 1, 2, 3, 4], 2),
        (41, [0, 1, 2, 3, 4], 2),
        (40, [0, 1, 2, 3], 2),  # MORE goes: of no importance, and the last of these
        (33, [0, 2, 3], 2),
        (26, [0, 2, 3], 2),
        (25, [0, 2, 3], 1),  # then the space shrinks
        (24, [0, 2, 3], 1),
        (23, [0, 2], 1),  # then what has an importance goes, the least first
        (15, [0, 2], 1),
        (14, [0], 1),
        (2, [0], 1),  # the first column stays
    ],
)
def test_columns_go_by_importance(room: int | None, shown: list[int], gap: int) -> None:
    assert fit(COLUMNS, WIDTHS, room) == (shown, gap)


def test_a_pipe_gets_every_column_and_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column(f"C{at}") for at in range(60)]
    assert print_table(columns, [["x" * 20] * 60]) == []
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert [len(line) for line in printed.splitlines()] == [59 * 22 + 3, 59 * 22 + 20]


def test_a_terminal_gets_what_fits(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(26)
    assert print_table(COLUMNS, [["1234", "123456", "1234567890", "12345678", "12345"]]) == ["EXTRA", "MORE"]
    heading, row = capsys.readouterr().out.splitlines()
    assert heading == "\x1b[1mKEY   MUCH        LESS\x1b[0m"
    assert row == "1234  1234567890  12345678"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", ""), ("TERM", "dumb")])
def test_no_colour(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    terminal(80)
    monkeypatch.setenv(name, value)
    print_table([Column("KEY")], [["x"]])
    assert capsys.readouterr().out == "KEY\nx\n"


def test_wide_characters_take_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("A"), Column("B")], [["磁盤", "x"], ["abcd", "y"], ["u\u0308", "z"]])
    assert capsys.readouterr().out.splitlines() == ["A     B", "磁盤  x", "abcd  y", "u\u0308     z"]


def attached(address: str, **other: object) -> dict[str, object]:
    """Return an element of the attached list as long as they get in practice."""
    return {
        "address": address,
        "type": 0x0D,
        "vendor": "VVVVVVVV",
        "model": "M" * 14,
        "revision": "0001",
        "qualifier": "000b",
        "names": {"sg": "sg1000", "sd": "sdab"},
        "state": "running",
        "attach_count": 123456,
        "attached_at": "2026-11-21T06:24:54.000000Z",
        "by_id": "scsi-33de281806f5c6c83",
        **other,
    }


def test_what_attached_shows_in_80_columns(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(80)
    lists.print_attached({"event_count": 9, "items": [attached("1000:0:0:0"), attached("1000:0:0:1")]})
    lines = capsys.readouterr().out.splitlines()
    headings = lines[0].removeprefix("\x1b[1m").removesuffix("\x1b[0m")
    assert headings.split() == ["ADDRESS", "TYPE", "VENDOR", "MODEL", "PQ", "SG", "NODE", "STATE", "ATTACH"]
    assert all(len(line) <= 80 for line in (headings, *lines[1:]))
    assert lines[-1] == "2 devices, event count 9; no room for REV, AT (UTC), BY-ID"


def test_an_empty_list_has_no_headings(capsys: pytest.CaptureFixture[str]) -> None:
    lists.print_attached({"event_count": 4, "items": []})
    assert capsys.readouterr().out == "0 devices, event count 4\n"


def test_lines_fit_a_terminal_and_are_whole_in_a_pipe(terminal: Terminal) -> None:
    assert fitted("x" * 500) == "x" * 500
    terminal(10)
    assert fitted("x" * 10) == "x" * 10
    assert fitted("x" * 11) == "x" * 9 + "…"
    assert fitted("磁" * 6) == "磁" * 4 + "…"


def test_a_device_can_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;gotcha\x07\r\n\x9b31m[bold]"
    assert clean(evil) == "?]0;gotcha????31m[bold]"
    lists.print_attached({"event_count": 1, "items": [attached("0:0:0:0", vendor=evil)]})
    event = {
        "event": "detach",
        "event_count": 1,
        "time": "2026-11-21T06:24:54.000000Z",
        "address": "0:0:0:0",
        "by_resync": True,
        "vendor": evil,
        "model": "",
        "attach_count": 0,
    }
    print(event_line(event))
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\r", "\x9b"} & set(printed)
    assert "by resync: ?]0;gotcha" in printed


def test_type_words_are_those_of_a_configuration() -> None:
    assert {type_word(number): number for number in TYPES.values()} == TYPES
    assert type_word(0x15) == "type 0x15"


def test_hex_dump() -> None:
    assert hex_dump(bytes(range(0x3A, 0x4C))).splitlines() == [
        "00000  3a 3b 3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI",
        "00010  4a 4b                                            JK",
    ]
    assert hex_dump(b"") == ""
