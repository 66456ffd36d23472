"""What the pages show without output: command lines are understood, configurations are whole."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from midlayer.frontends.cli.main import parser
from midlayer.frontends.config import load
from midlayer.frontends.scenario.reader import load as load_scenario

from .pages import PAGES, ROOT, Block, blocks, name

_LINE = re.compile(r"(?:[$#] )?(?:sudo )?(?:\.venv/bin/)?midlayer ([a-z-].*)")
_SPAN = re.compile(r"`midlayer ([^`]+)`")
_END = re.compile(r"&|\||&&|;|\d?[<>].*")
_OPTION = re.compile(r"--?[a-z][a-z-]*")


def shown() -> Iterator[tuple[str, str]]:
    """Give each command line of a block, after ``midlayer``, and its place."""
    for page in PAGES:
        for block in blocks(page):
            for at, line in enumerate(block.lines):
                if found := _LINE.fullmatch(line.strip()):
                    yield f"{block.page}:{block.line + at}", found.group(1)


def named() -> Iterator[tuple[str, str]]:
    """Give each command that is named in a sentence, after ``midlayer``, and its page."""
    for page in PAGES:
        for text in _SPAN.findall(page.read_text()):
            yield name(page), " ".join(text.split())


def words(line: str) -> list[str]:
    """Return the words of one command, up to what a shell would do with it."""
    found = shlex.split(line, comments=True)
    ends = [at for at, word in enumerate(found) if _END.fullmatch(word)]
    return found[: ends[0]] if ends else found


def understood(arguments: list[str]) -> str:
    """Parse a command line; return what was wrong with it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser().parse_args(arguments)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
    return ""


@pytest.mark.parametrize(("place", "line"), list(shown()))
def test_a_line_of_a_block_is_understood(place: str, line: str) -> None:
    assert understood(words(line)) == "", place


def verbs_of(some: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the verbs below a parser."""
    for action in some._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def unknown(text: str) -> str:
    """Return the first word of a command that no verb has; what stands in capitals is anything."""
    at = parser()
    arguments = text.partition(" -- ")[0].split()
    while arguments and (below := verbs_of(at)):
        if arguments[0] in below:
            at = below[arguments.pop(0)]
        elif arguments[0].isupper() or arguments[0] == "…" or arguments[0].startswith("-"):
            break
        else:
            return arguments[0]
    options = {option for action in at._actions for option in action.option_strings}
    given = [option for word in arguments if (option := _OPTION.match(word.strip("[]"))) and word != "--"]
    return next((option.group() for option in given if option.group() not in options), "")


def test_commands_named_in_sentences_exist() -> None:
    found = list(named())
    assert len(found) > 50
    assert [(page, text) for page, text in found if unknown(text)] == []


def toml() -> list[Block]:
    """Return the blocks that are TOML, by their fence or because a page shows such a file."""
    return [
        block for page in PAGES for block in blocks(page) if block.language == "toml" and block.lines != ("",)
    ]


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A directory with the files that configurations of the pages name."""
    (tmp_path / "session.jsonl").touch()
    return tmp_path


@pytest.mark.parametrize("block", toml(), ids=lambda block: block.place)
def test_a_configuration_is_whole(block: Block, beside: Path) -> None:
    file = beside / "page.toml"
    file.write_text(block.text)
    read = load_scenario if "step" in tomllib.loads(block.text) else load
    read(file)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=name)
def test_an_example_is_whole(path: Path) -> None:
    read = load_scenario if "step" in tomllib.loads(path.read_text()) else load
    read(path)
