"""Read the pages: their blocks of code, and in those the commands with the output that is shown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if path.name != "CHANGELOG.md"
)
_FENCE = re.compile(r" *```(\w*)$")
_INDENT = " " * 4


@dataclass(frozen=True)
class Block:
    """One block of code of a page."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The block as a file."""
        return "\n".join(self.lines) + "\n"

    @property
    def place(self) -> str:
        """Where it begins."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Step:
    """One command of a block, and what the page says that it prints."""

    place: str
    command: str
    output: tuple[str, ...]


def name(page: Path) -> str:
    """Return the name of a page, from the root of the checkout."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, fenced and indented ones."""
    lines = page.read_text().splitlines()
    found, at = [], 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        end = _end_of_fence(lines, at + 1) if fence else _end_of_indent(lines, at)
        if end > at:
            inside = lines[at + 1 : end] if fence else lines[at:end]
            text = textwrap.dedent("\n".join(inside)).rstrip("\n")
            language = fence.group(1) if fence else ""
            found.append(Block(name(page), at + 1 + bool(fence), language, tuple(text.split("\n"))))
        at = end + 1 if fence else max(end, at + 1)
    return found


def _end_of_fence(lines: list[str], at: int) -> int:
    return next(index for index in range(at, len(lines)) if _FENCE.match(lines[index]))


def _end_of_indent(lines: list[str], at: int) -> int:
    """Return where an indented block ends that begins here, or `at` if none does."""
    if not lines[at].startswith(_INDENT) or (at and lines[at - 1].strip()):
        return at
    end = at
    while end < len(lines) and (lines[end].startswith(_INDENT) or not lines[end].strip()):
        end += 1
    return end


def steps(block: Block) -> Iterator[Step]:
    """Give the commands of a block: lines after ``$``, a ``\\`` at the end going on with the next line."""
    at = 0
    while at < len(block.lines):
        line, place = block.lines[at], f"{block.page}:{block.line + at}"
        at += 1
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while command.endswith("\\"):
            command = f"{command[:-1]} {block.lines[at].strip()}"
            at += 1
        output = []
        while at < len(block.lines) and not block.lines[at].startswith("$ "):
            output.append(block.lines[at])
            at += 1
        while output and not output[-1]:
            output.pop()
        yield Step(place, command, tuple(output))


def all_steps(page: Path) -> list[Step]:
    """Return the commands of a page, in order."""
    return [step for block in blocks(page) for step in steps(block)]
