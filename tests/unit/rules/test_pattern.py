"""Patterns, against fnmatch(3) by the golden tests; here what is ours, and what could be slow."""

from __future__ import annotations

import pytest

from midlayer.rules.pattern import Pattern, matches_glob


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("sd*|sr*", ["sda", "sr0", "sd"], ["hda", ""]),
        ("sg[0-9]*", ["sg0", "sg12"], ["sg", "sga"]),
        ("[!a-c]x", ["dx"], ["ax", "x"]),
        ("?*", ["a", "\n"], [""]),
        ("", [""], ["a"]),
        ("a||b*", ["", "a", "bc"], ["c"]),
        ("a\\*", ["a*"], ["ab"]),
        ("[[:digit:]]", ["1"], ["a"]),
        ("[a", ["[a"], ["a"]),
        ("a*/b", ["a/x/b", "a/b"], ["b"]),
        ("[z-a]", [], ["z", "a", "m"]),
        ("*\udcff*", ["x\udcffy"], ["x"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    assert [value for value in matching if not Pattern(pattern).matches(value)] == []
    assert [value for value in other if Pattern(pattern).matches(value)] == []


def test_case_can_be_ignored() -> None:
    assert Pattern("ab|c*", ignore_case=True).matches("AB")
    assert Pattern("ab|c*", ignore_case=True).matches("CD")
    assert not Pattern("ab|c*").matches("AB")


def test_old_words_for_subsystem() -> None:
    assert Pattern("bus", subsystem=True).matches("class")
    assert not Pattern("bus").matches("class")


def test_a_bar_is_a_character_in_a_single_glob() -> None:
    assert matches_glob("a|b", "a|b")
    assert not matches_glob("a|b", "a")


def test_many_stars_are_one() -> None:
    assert not Pattern("*" * 2000 + "x").matches("y" * 2000)
