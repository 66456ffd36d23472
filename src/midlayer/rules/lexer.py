"""From the text of a rule file to logical lines, and from a line to ``KEY{attribute}OPERATOR"value"``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from midlayer.rules.mistakes import Misread
from midlayer.rules.text import WHITE_SPACE

MOST_LINE = 16384
"""Characters of a logical line that udev takes."""

_END_OF_LINE = re.compile(r"\r\n|\n\r|[\n\r\0]")
_KEY = re.compile(r"[^ \t\n\r={]*?(?=[ \t\n\r={]|[+\-!:]=)")
_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN = re.compile(r"[ \t\n\r,]*")
_PREFIX = re.compile(r'(e|i|ei|ie)?"')
_PLAIN_VALUE = re.compile(r'((?:[^"\\]|\\"|\\(?!"))*)"', re.DOTALL)
_ESCAPED_VALUE = re.compile(r'((?:[^"\\]|\\.)*)"', re.DOTALL)


class Operator(StrEnum):
    """What stands between key and value."""

    MATCH = "=="
    NO_MATCH = "!="
    ADD = "+="
    REMOVE = "-="
    ASSIGN = "="
    ASSIGN_FINAL = ":="

    @property
    def is_match(self) -> bool:
        """True for == and !=."""
        return self in (Operator.MATCH, Operator.NO_MATCH)


_OPERATOR = re.compile("|".join(re.escape(operator) for operator in sorted(Operator, key=len, reverse=True)))


class Line(NamedTuple):
    """A logical line: what is left of one or several lines of the file.

    Attributes:
        text: Without indentation, comments and the backslashes that continue it.
        pieces: For each physical line, where in `text` it begins, its number, and its first column.
        cut: Why there is no more of it: it is too long, or the file ends within; else empty.
    """

    text: str
    pieces: tuple[tuple[int, int, int], ...]
    cut: str = ""

    @property
    def number(self) -> int:
        """Number of its first physical line, from 1."""
        return self.pieces[0][1]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of a character of `text`."""
        begin, number, column = next(piece for piece in reversed(self.pieces) if piece[0] <= max(offset, 0))
        return number, column + max(offset, 0) - begin


class RawToken(NamedTuple):
    """One ``KEY{attribute}OPERATOR"value"``; offsets count in the line's text."""

    key: str
    attribute: str | None
    operator: Operator
    value: str
    ignore_case: bool
    offset: int
    value_offset: int
    comma_missing: bool


def lines(text: str) -> Iterator[Line]:
    """Yield the logical lines of a file, without those that are empty or comments."""
    parts: list[str] = []
    pieces: list[tuple[int, int, int]] = []
    length = 0
    physical_lines = _END_OF_LINE.split(text)
    if not physical_lines[-1]:
        physical_lines.pop()  # what follows the end of the last line is no line
    for number, physical in enumerate(physical_lines, 1):
        stripped = physical.lstrip(WHITE_SPACE)
        if stripped.startswith("#"):
            continue
        goes_on = stripped.endswith("\\")
        piece = stripped[:-1] if goes_on else stripped
        pieces.append((length, number, len(physical) - len(stripped) + 1))
        parts.append(piece)
        length += len(piece)
        if goes_on:
            continue
        if length:
            yield Line("".join(parts), tuple(pieces), "too long" if length >= MOST_LINE else "")
        parts, pieces, length = [], [], 0
    if length:
        yield Line("".join(parts), tuple(pieces), "unfinished")


def tokens(text: str) -> Iterator[RawToken]:
    """Yield the tokens of a logical line.

    Raises:
        Misread: At the first character that can not be read.
    """
    at = _end(_BETWEEN, text, 0)
    comma_missing = False
    while at < len(text):
        token, end = _token(text, at, comma_missing)
        yield token
        at = _end(_BETWEEN, text, end)
        comma_missing = "," not in text[end:at]


def _token(text: str, at: int, comma_missing: bool) -> tuple[RawToken, int]:
    key = _KEY.match(text, at)
    if key is None or not key[0]:
        raise Misread(at, 'there is no KEY=="value" here', "write it so, with a comma between two of them")
    attribute, after = None, key.end()
    if text[after : after + 1] == "{":
        close = text.find("}", after)
        if close < 0:
            raise Misread(after, f"{key[0]}{{ has no }}", f'close it: {key[0]}{{name}}=="value"')
        attribute, after = text[after + 1 : close], close + 1
    after = _end(_SPACE, text, after)
    operator = _OPERATOR.match(text, after)
    if operator is None:
        raise Misread(after, f"{key[0]} has no operator", "write one of == != = += -= :=")
    value, ignore_case, begin, end = _value(text, _end(_SPACE, text, operator.end()))
    token = RawToken(key[0], attribute, Operator(operator[0]), value, ignore_case, at, begin, comma_missing)
    return token, end


def _value(text: str, at: int) -> tuple[str, bool, int, int]:
    """Read a value; return it, whether its case is ignored, and where it begins and ends."""
    prefix = _PREFIX.match(text, at)
    if prefix is None:
        raise Misread(at, "a value begins with a double quote", 'write KEY=="value"')
    kind = prefix[1] or ""
    escaped = "e" in kind
    found = (_ESCAPED_VALUE if escaped else _PLAIN_VALUE).match(text, prefix.end())
    if found is None:
        raise Misread(at, "the value has no closing double quote", 'close it; a quote within is written \\"')
    value = _unescaped(found[1], prefix.end()) if escaped else found[1].replace('\\"', '"')
    return value, "i" in kind, prefix.end(), found.end()


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)


def _unescaped(text: str, offset: int) -> str:
    """Read the escapes of C in ``e"…"``."""

    def one(match: re.Match[str]) -> str:
        two, four, eight, octal, simple = match.groups()
        wrong = Misread(
            offset + match.start(), f"{match[0]} is no escape", "write \\n, \\t, \\\\, \\x41, \\101 …"
        )
        if simple is not None:
            if simple not in _SIMPLE_ESCAPES:
                raise wrong
            return _SIMPLE_ESCAPES[simple]
        number = int(octal, 8) if octal else int(two or four or eight, 16)
        if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise wrong
        return chr(number) if four or eight or number < 0x80 else chr(0xDC00 + number)

    # Bytes that were written one by one may be UTF-8 together.
    return _ESCAPE.sub(one, text).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
