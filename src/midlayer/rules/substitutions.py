"""Substitutions: ``$kernel``, ``%k``, ``$attr{vendor}`` …, read once and carried out for each event."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from midlayer.rules.mistakes import Misread
from midlayer.rules.text import INPUT, WHITE_SPACE, replace_characters, replace_white_space

if TYPE_CHECKING:
    from midlayer.rules.event import Event

MOST_PATH = 1024
MOST_NAME = 512
"""Bytes, the end included, of what udev makes of a path or a command, and of a value."""

_LETTERS = {
    "devnode": "N", "tempnode": "N", "attr": "s", "sysfs": "s", "env": "E", "kernel": "k", "number": "n",
    "driver": "d", "devpath": "p", "id": "b", "major": "M", "minor": "m", "result": "c", "parent": "P",
    "name": "D", "links": "L", "root": "r", "sys": "S",
}  # fmt: skip
"""Names, in the order in which udev tries them, and the letter of each."""

_NAME = "|".join(_LETTERS)
_ONE = re.compile(
    rf"\$(?P<name>{_NAME})|%(?P<letter>[{''.join(sorted(set(_LETTERS.values())))}])|(?P<twice>\$\$|%%)"
    r"|(?P<alone>[$%])"
)
_PART = re.compile(r"(\d{1,9})(\+?)", re.ASCII)


class Substitution(NamedTuple):
    """One of them: its letter and what stands in braces."""

    letter: str
    attribute: str


class Format:
    """A value with the places where something is put in.

    Attributes:
        text: As written.
        plain: The value, if there is nothing to put in; else None.
    """

    __slots__ = ("parts", "plain", "text")

    def __init__(self, text: str, parts: tuple[str | Substitution, ...]) -> None:
        self.text = text
        self.parts = parts
        self.plain = "".join(part for part in parts if isinstance(part, str)) if _is_plain(parts) else None

    def apply(self, event: Event, *, join_words: bool = False) -> str:
        """Return the value for an event.

        Args:
            event: Whose device it is about.
            join_words: True to replace white space in what is put in, as links need it.
        """
        if self.plain is not None:
            return self.plain
        made = []
        for part in self.parts:
            if isinstance(part, str):
                made.append(part)
                continue
            value = _VALUES[part.letter](event, part.attribute)
            # The parts of a program's answer may be several links.
            made.append(replace_white_space(value) if join_words and part.letter != "c" else value)
        return "".join(made)


def _is_plain(parts: tuple[str | Substitution, ...]) -> bool:
    return all(isinstance(part, str) for part in parts)


def compile_format(text: str) -> tuple[Format, Misread | None]:
    """Read a value.

    Returns:
        The format, and its first mistake or None. As in udev, a ``$`` or ``%`` that begins no substitution
        stays as it is, and the value ends before a substitution that is broken.
    """
    parts: list[str | Substitution] = []
    mistake: Misread | None = None
    at = 0
    for match in _ONE.finditer(text):
        if match.start() < at:
            continue
        parts.append(text[at : match.start()])
        at = match.end()
        if match["twice"]:
            parts.append(match["twice"][0])
            continue
        if match["alone"]:
            parts.append(match["alone"])
            mistake = mistake or Misread(
                match.start(),
                f"{match['alone']} begins no substitution",
                f"write {match['alone'] * 2} for itself",
            )
            continue
        letter = match["letter"] or _LETTERS[match["name"]]
        attribute, at, wrong = _attribute(text, at, match[0], letter)
        if wrong:
            mistake = mistake or Misread(match.start(), wrong, _HINTS.get(letter, f"write {match[0]}"))
            at = len(text)
            break
        parts.append(Substitution(letter, attribute))
    parts.append(text[at:])
    return Format(text, tuple(part for part in parts if part != "")), mistake


_HINTS = {
    "s": "write $attr{file}",
    "E": "write $env{KEY}",
    "c": "write $result, $result{2} or $result{2+}",
}


def _attribute(text: str, at: int, written: str, letter: str) -> tuple[str, int, str]:
    """Return what stands in braces, where the text goes on, and what is wrong with it."""
    attribute = ""
    if text[at : at + 1] == "{":
        close = text.find("}", at)
        if close < 0:
            return "", at, f"{written}{{ has no }}"
        attribute, at = text[at + 1 : close], close + 1
        if not attribute or len(attribute) >= MOST_PATH:
            return "", at, f"{written}{{}} has an empty or too long name"
    if not attribute and letter in "sE":
        return "", at, f"{written} needs a name in braces"
    if attribute and letter == "c" and _PART.fullmatch(attribute) is None:
        return "", at, f"{attribute!r} is not the number of a part"
    return attribute, at, ""


def _result(event: Event, attribute: str) -> str:
    result = event.result or ""
    match = _PART.fullmatch(attribute)
    if match is None or int(match[1]) == 0:
        return result
    rest = result.lstrip(WHITE_SPACE)
    for _ in range(int(match[1]) - 1):
        _, _, rest = _split_word(rest)
        if not rest:
            return ""
    return rest if match[2] else _split_word(rest)[0]


def _split_word(text: str) -> tuple[str, str, str]:
    word = re.match(r"[^ \t\n\r]*", text)
    end = word.end() if word else 0
    rest = text[end:].lstrip(WHITE_SPACE)
    return text[:end], text[end : len(text) - len(rest)], rest


def _attr(event: Event, name: str) -> str:
    value = event.attribute(event.view, name)
    if value is None and event.parent is not None and event.parent is not event.view:
        value = event.parent.attribute(name)
    return replace_characters((value or "").rstrip(WHITE_SPACE), INPUT)


def _name(event: Event, _: str) -> str:
    return event.name or event.view.devnode.removeprefix("/dev/") or event.view.sysname


_VALUES: dict[str, Callable[[Event, str], str]] = {
    "N": lambda event, _: event.view.devnode,
    "s": _attr,
    "E": lambda event, key: event.property(key) or "",
    "k": lambda event, _: event.view.sysname,
    "n": lambda event, _: event.view.sysnum,
    "d": lambda event, _: event.parent.driver if event.parent is not None else "",
    "p": lambda event, _: event.view.devpath,
    "b": lambda event, _: event.parent.sysname if event.parent is not None else "",
    "M": lambda event, _: str(event.view.devnum[0] if event.view.devnum else 0),
    "m": lambda event, _: str(event.view.devnum[1] if event.view.devnum else 0),
    "c": _result,
    "P": lambda event, _: event.view.parent.devnode.removeprefix("/dev/") if event.view.parent else "",
    "D": _name,
    "L": lambda event, _: " ".join(event.links),
    "r": lambda event, _: "/dev",
    "S": lambda event, _: "/sys",
}
