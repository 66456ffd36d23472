"""What udev lets into values, and what may reach a terminal."""

from __future__ import annotations

import pytest

from midlayer.rules.text import (
    INPUT,
    decode,
    escape,
    one_line,
    parse_property,
    replace_characters,
    replace_white_space,
    split_command,
)


@pytest.mark.parametrize(
    ("text", "allow", "expected"),
    [
        ("Ab9#+-.:=@_", "", "Ab9#+-.:=@_"),
        ("a b;c$(d)`e`", "", "a_b_c__d__e_"),
        ("a/b c", "/ ", "a/b c"),
        ("a\nb\tc", INPUT, "a b c"),
        ("ä\udcff", "", "ä_"),
        ("\\x20\\y", "", "\\x20_y"),
    ],
)
def test_characters_that_are_not_allowed(text: str, allow: str, expected: str) -> None:
    assert replace_characters(text, allow) == expected


def test_white_space_is_joined() -> None:
    assert replace_white_space("  a \t b\n") == "a_b"


def test_escapes_byte_by_byte() -> None:
    assert escape("a b\\ä") == "a\\x20b\\x5cä"
    assert escape(decode(b"\xff")) == "\\xff"


def test_a_line_of_output_is_one_line() -> None:
    assert one_line("a\nb\x1b[2J\udcff\u2028\\x41") == "a\\x0ab\\x1b[2J\\xff\\xe2\\x80\\xa8\\x41"
    assert one_line("\ud800").isprintable()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a  b", ["a", "b"]),
        ("a 'b c' \"d e\"f", ["a", "b c", "d ef"]),
        ("a '' b", ["a", "", "b"]),
        ("a\\ b", ["a\\", "b"]),
        ("a 'b", ["a", "b"]),
        ("a;b $(c) | d", ["a;b", "$(c)", "|", "d"]),
        ("", []),
    ],
)
def test_words_of_a_command(command: str, words: list[str]) -> None:
    assert split_command(command) == words


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A=1", ("A", "1")),
        (" A = '1 2' ", ("A", "1 2")),
        ('A="x=y"', ("A", "x=y")),
        ("# A=1", None),
        ("A=", None),
        ("A", None),
        ("=1", None),
        ("A='1", None),
        ("A='", None),
    ],
)
def test_properties_of_a_file(line: str, found: tuple[str, str] | None) -> None:
    assert parse_property(line) == found
