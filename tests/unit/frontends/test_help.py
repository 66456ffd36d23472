"""The help of the command: every verb has its place in it, and one alone."""

from __future__ import annotations

import argparse
import shlex

import pytest

from midlayer.frontends.cli.main import parser
from midlayer.frontends.cli.options import SUBJECTS, add_all
from midlayer.frontends.cli.options.declaring import Parser, Verbs
from midlayer.frontends.cli.options.examples import EXAMPLES


def declared() -> list[str]:
    verbs = Verbs(Parser(prog="midlayer").add_subparsers(parser_class=Parser))
    add_all(verbs)
    return sorted(verbs.summaries)


def test_each_verb_has_its_place_in_one_subject() -> None:
    assert sorted(name for names in SUBJECTS.values() for name in names) == declared()


def test_the_help_has_the_subjects_in_order() -> None:
    text = parser().format_help()
    places = [text.index(f"\n{title}:\n") for title in SUBJECTS]
    assert places == sorted(places)
    assert "\n  inq          ask a device who it is (INQUIRY)\n" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("atached", "midlayer: there is no 'atached'; is 'attached' meant?"),
        ("target ad", "midlayer target: there is no 'ad'; is 'add' meant?"),
        ("target x", "midlayer target: argument ACTION: invalid choice: 'x' (choose from "),
    ],
)
def test_a_word_that_is_not_there(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(line.split())
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_in_the_help_of_its_verb(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"check": ["rules", "check"], "test": ["rules", "test"]}.get(name, name.split())
    with pytest.raises(SystemExit):
        parser().parse_args([*words, "--help"])
    assert capsys.readouterr().out.endswith(f"\nExample: {EXAMPLES[name]}\n")


def test_each_example_is_a_command_line_that_is_understood() -> None:
    for line in EXAMPLES.values():
        options = parser().parse_args(shlex.split(line)[1:])
        assert isinstance(options, argparse.Namespace)
        assert len(options.verb) == 2
