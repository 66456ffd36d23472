"""Patterns of a match: alternatives, each plain text or a glob of fnmatch(3), compiled once."""

from __future__ import annotations

import re
from functools import lru_cache

_GLOB = frozenset("*?[")
_SUBSYSTEM_WORDS = frozenset({"subsystem", "bus", "class"})

_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z",
    "space": " \\t\\n\\r\\f\\v", "blank": " \\t", "punct": "!-/:-@\\[-`{-~", "xdigit": "0-9A-Fa-f",
    "cntrl": "\\x00-\\x1f\\x7f", "print": "\\x20-\\x7e", "graph": "\\x21-\\x7e",
}  # fmt: skip


class Pattern:
    """What a value has to look like; the operator is not part of it.

    ``a|b`` is either, ``""`` is the empty value, ``?*`` is any value that is not empty.

    Args:
        text: As written between the quotes.
        ignore_case: True for ``i"…"``.
        subsystem: True for the key SUBSYSTEM, where ``bus`` and ``class`` are old words for ``subsystem``.
        alternatives: False where ``|`` is a character like any other.
    """

    __slots__ = ("_fullmatch", "_plain", "ignore_case", "text")

    def __init__(
        self, text: str, *, ignore_case: bool = False, subsystem: bool = False, alternatives: bool = True
    ) -> None:
        self.text = text
        self.ignore_case = ignore_case
        choices = text.split("|") if alternatives else [text]
        if subsystem and text in _SUBSYSTEM_WORDS:
            choices = sorted(_SUBSYSTEM_WORDS)
        globs = [choice for choice in choices if _GLOB.intersection(choice)]
        self._plain = frozenset(
            choice.casefold() if ignore_case else choice
            for choice in choices
            if not _GLOB.intersection(choice)
        )
        self._fullmatch = _compile(tuple(globs), ignore_case).fullmatch if globs else None

    def matches(self, value: str) -> bool:
        """Return whether a value looks like this."""
        if (value.casefold() if self.ignore_case else value) in self._plain:
            return True
        return self._fullmatch is not None and self._fullmatch(value) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


@lru_cache(maxsize=4096)
def _compile(globs: tuple[str, ...], ignore_case: bool) -> re.Pattern[str]:
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.compile("|".join(_translated(glob) for glob in globs), flags)


def matches_glob(glob: str, value: str) -> bool:
    """Return whether a value matches one glob, in which ``|`` is an ordinary character."""
    return _compile((glob,), False).fullmatch(value) is not None


def _translated(glob: str) -> str:
    """Return a glob as a regular expression. Stars in a row are one, so that none can be slow."""
    made: list[str] = []
    at = 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            if made[-1:] != [".*"]:
                made.append(".*")
        elif character == "?":
            made.append(".")
        elif character == "[":
            bracket, at = _bracket(glob, at)
            made.append(bracket)
        elif character == "\\" and at < len(glob):
            made.append(re.escape(glob[at]))
            at += 1
        else:
            made.append(re.escape(character))
    return "".join(made)


def _bracket(glob: str, at: int) -> tuple[str, int]:
    """Translate what follows ``[``; without an end it is a character like any other."""
    first = at
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    body: list[str] = []
    begun = at
    while at < len(glob):
        character = glob[at]
        if character == "]" and at > begun:
            return f"[{'^' if negated else ''}{''.join(body)}]" if body else "(?!)", at + 1
        if glob.startswith("[:", at) and (end := glob.find(":]", at + 2)) > 0:
            body.append(_CLASSES.get(glob[at + 2 : end], ""))
            at = end + 2
            continue
        if character == "\\" and at + 1 < len(glob):
            at += 1
            character = glob[at]
        if glob[at + 1 : at + 2] == "-" and glob[at + 2 : at + 3] not in ("", "]"):
            last = glob[at + 2]
            if character <= last:
                body.append(f"{re.escape(character)}-{re.escape(last)}")
            at += 3
            continue
        body.append(re.escape(character))
        at += 1
    return "\\[", first
