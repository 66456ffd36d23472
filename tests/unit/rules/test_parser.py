"""Mistakes: each has a place, says what is wrong, and how to mend it."""

from __future__ import annotations

import pytest

from midlayer.rules import Severity, parse

ERRORS = [
    ('KERNAL=="x", ENV{A}="1"', 1, "no key 'KERNAL'", "is KERNEL meant?"),
    ('KERNEL="x", ENV{A}="1"', 1, "does not take =", "write one of == !="),
    ('KERNEL{a}=="x", ENV{A}="1"', 1, "takes no {attribute}", "write KERNEL alone"),
    ('ENV="1"', 1, "needs a name in braces", "write ENV{name}"),
    ('ENV{A}-="1"', 1, "does not take -=", "write one of == != += ="),
    ('ENV{DEVPATH}="x"', 1, "can not be set", "another name"),
    ('CONST{os}=="x", ENV{A}="1"', 1, "CONST{os} is unknown", "CONST{arch}"),
    ('TEST{x}=="f", ENV{A}="1"', 1, "not a mode", "in octal"),
    ('IMPORT{net}="x"', 1, "IMPORT{net} is unknown", "file|program|builtin"),
    ('IMPORT{builtin}="nonsense"', 18, "no built-in command 'nonsense'", "blkid"),
    ('IMPORT{builtin}="quarantine"', 18, "no built-in command 'quarantine' for IMPORT", "path_id"),
    ('RUN{shell}="x"', 1, "RUN{shell} is unknown", "RUN{builtin}"),
    ('RUN{builtin}="nonsense"', 15, "no built-in command", "kmod"),
    ('RUN{builtin}="offline 1 2"', 15, "takes 1 argument at most", "offline [H:C:T:L]"),
    ('RUN{builtin}="log"', 15, "needs a text", "log TEXT"),
    ('OPTIONS="nonsense"', 10, "has no 'nonsense'", "string_escape"),
    ('OPTIONS="link_priority=high"', 10, "not a number", "link_priority=50"),
    ('OPTIONS="log_level=loud"', 10, "no log level", "debug"),
    ('NAME="%k"', 7, "does nothing", "leave it out"),
    ('LABEL=="x"', 1, "does not take ==", 'LABEL="name"'),
    ('GOTO=""', 7, "has no name", 'GOTO="name"'),
    ('GOTO{x}="y"', 1, "takes no {attribute}", 'GOTO="name"'),
    ('GOTO="down"', 1, "finds no LABEL below", 'LABEL="down"'),
    ('ENV{A}=i"x"', 10, "for matches only", "leave out the i"),
    ("ENV{A}=1", 8, "begins with a double quote", 'KEY=="value"'),
    ('ENV{A}="1" \\', 12, "ends within this rule", "without"),
]

WARNINGS = [
    ('KERNEL=="x"', 1, "only matches", "GOTO"),
    ('KERNEL=="x" ENV{A}="1"', 13, "no comma before ENV", "write one"),
    ('ENV{A}:="1"', 1, "taken for ENV=", "write ="),
    ('OWNER+="root"', 1, "taken for OWNER=", "write ="),
    ('RUN+="x $nothing"', 9, "begins no substitution", "write $$"),
    ('RUN+="x %c{y}"', 9, "not the number of a part", "$result{2}"),
    ('RUN+="x $attr"', 9, "needs a name in braces", "$attr{file}"),
    ('RUN+="x $env{A"', 9, "has no }", "$env{KEY}"),
    ('RUN+=""', 7, "empty value", "write one"),
    ('WAIT_FOR="x", ENV{A}="1"', 1, "is ignored", "leave it out"),
]


@pytest.mark.parametrize(
    ("text", "column", "message", "mend", "severity"),
    [(*row, Severity.ERROR) for row in ERRORS] + [(*row, Severity.WARNING) for row in WARNINGS],
)
def test_each_mistake_has_its_place_and_its_mend(
    text: str, column: int, message: str, mend: str, severity: Severity
) -> None:
    (mistake,) = parse(f"\n{text}", "x.rules").mistakes
    assert (mistake.line, mistake.column, mistake.severity) == (2, column, severity)
    assert message in mistake.message
    assert mend in mistake.mend
    assert str(mistake).startswith(f"x.rules:2:{column}: {severity}: ")


def test_a_rule_with_an_error_is_left_out_and_the_others_stay() -> None:
    file = parse('ENV{A}="1"\nENV{B}="2", NONSENSE="x"\nENV{C}="3"')
    assert [rule.line for rule in file.rules] == [1, 3]
    assert len(file.errors) == 1


def test_a_goto_leads_down_only() -> None:
    (mistake,) = parse('LABEL="a"\nGOTO="a"').mistakes
    assert "leads down only" in mistake.message


def test_tokens_are_taken_in_udevs_order() -> None:
    (rule,) = parse('RUN+="x", ENV{A}="1", KERNEL=="x", PROGRAM="y", ACTION=="add"').rules
    assert [token.kind.name for token in rule.tokens] == [
        "MATCH_ACTION", "MATCH_KERNEL", "PROGRAM", "ENV", "RUN_PROGRAM",
    ]  # fmt: skip


def test_a_mistake_can_not_break_a_line_of_output() -> None:
    (mistake,) = parse(b'ENV{\x1b[2J\n\xff=="x"', "a\nb.rules").mistakes[:1]
    assert str(mistake).isprintable()
    assert "\n" not in str(mistake.to_json())


def test_a_second_goto_is_ignored() -> None:
    file = parse('GOTO="a", GOTO="b"\nLABEL="a"\nLABEL="b"')
    assert [mistake.message for mistake in file.mistakes] == ["a second GOTO"]
    assert file.rules[0].target == 1
