"""Lines and tokens of a rule file."""

from __future__ import annotations

import pytest

from midlayer.rules.lexer import MOST_LINE, Operator, lines, tokens
from midlayer.rules.mistakes import Misread


def test_comments_empty_lines_and_indentation_are_left_out() -> None:
    assert [line.text for line in lines('# one\n\n  A=="1"\n\t# two\nB=="2"')] == ['A=="1"', 'B=="2"']


def test_a_line_goes_on_and_a_comment_within_does_not_end_it() -> None:
    (line,) = lines('A=="1", \\\n  # why\n  B="2"\n')
    assert line.text == 'A=="1", B="2"'
    assert line.number == 1
    assert line.place(line.text.index("B")) == (3, 3)
    assert line.place(0) == (1, 1)


def test_every_way_to_end_a_line() -> None:
    assert [line.text for line in lines("a\nb\r\nc\rd\0e")] == ["a", "b", "c", "d", "e"]


def test_what_is_cut_says_why() -> None:
    assert next(lines("A\\\n")).cut == "unfinished"
    assert next(lines("A" * MOST_LINE)).cut == "too long"


@pytest.mark.parametrize("operator", list(Operator))
def test_operators(operator: Operator) -> None:
    (token,) = tokens(f'KEY {operator} "v"')
    assert (token.key, token.operator, token.value) == ("KEY", operator, "v")


@pytest.mark.parametrize(
    ("written", "value", "ignore_case"),
    [
        ('"a b"', "a b", False),
        (r'"a\"b"', 'a"b', False),
        (r'"a\nb\\"', None, False),
        (r'e"a\tb\x41\101\\\"\u00e4"', 'a\tbAA\\"ä', False),
        ('i"Ab"', "Ab", True),
        (r'ei"A\x62"', "Ab", True),
        ('""', "", False),
    ],
)
def test_values(written: str, value: str | None, ignore_case: bool) -> None:
    if value is None:  # the backslash before the last quote makes it one of the value
        with pytest.raises(Misread):
            list(tokens(f"K={written}"))
        return
    (token,) = tokens(f"K={written}")
    assert (token.value, token.ignore_case) == (value, ignore_case)


def test_bytes_written_one_by_one_are_utf_8_together() -> None:
    (token,) = tokens(r'K=e"\xc3\xa4\xff"')
    assert token.value == "ä\udcff"


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ('K="1', 2, "no closing double quote"),
        ("K=1", 2, "begins with a double quote"),
        ('K"1"', 0, "no KEY"),
        ('K{a="1"', 1, "has no }"),
        ('K ~ "1"', 2, "no operator"),
        (r'K=e"\q"', 4, "no escape"),
        (r'K=e"\x00"', 4, "no escape"),
        (r'K=e"\ud800"', 4, "no escape"),
        ('A="1" =', 6, "no KEY"),
    ],
)
def test_what_can_not_be_read_says_where(text: str, offset: int, message: str) -> None:
    with pytest.raises(Misread, match=message) as caught:
        list(tokens(text))
    assert caught.value.offset == offset
    assert caught.value.mend


def test_a_missing_comma_is_noticed() -> None:
    assert [token.comma_missing for token in tokens('A=="1" B=="2", C=="3"')] == [False, True, False]
