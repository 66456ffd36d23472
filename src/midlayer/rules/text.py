"""What udev lets into the values that it makes of device strings: its own escaping, in one place.

Device strings are text decoded with ``surrogateescape``: a byte that is not UTF-8 stays one character, and
each function here treats it as a character that is not allowed.
"""

from __future__ import annotations

import re
from functools import cache

ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789#+-.:=@_")
"""What a device link may have besides valid UTF-8."""

INPUT = "/ $%?,"
"""What a string from a device or a program may have besides."""

WHITE_SPACE = " \t\n\r"
_SPACES = re.compile(r"[ \t\n\r\v\f]+")
_HEX_ESCAPE = re.compile(r"\\x[0-9A-Fa-f]{2}")


@cache
def _plain(allow: str) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z0-9#+\-.:=@_{re.escape(allow)}]*")


def decode(data: bytes) -> str:
    """Return bytes of a device, a file or a program as text, losing none of them."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that `decode` was given."""
    return text.encode("utf-8", "surrogateescape")


def _is_foreign(character: str) -> bool:
    """Return whether a character is one of UTF-8 beyond ASCII, and not a stray byte."""
    return character > "\x7f" and not "\ud800" <= character <= "\udfff"


def replace_characters(text: str, allow: str = "") -> str:
    """Put an underscore for every character that is not allowed.

    Args:
        text: A value that was made of device strings.
        allow: Further characters to let through; with a space among them, other white space becomes one.
    """
    if _plain(allow).fullmatch(text):
        return text
    kept: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character in ALLOWED or character in allow or _is_foreign(character):
            kept.append(character)
        elif character == "\\" and text[at : at + 1] == "x":
            kept.append("\\x")  # an escape that `escape` made
            at += 1
        else:
            kept.append(" " if " " in allow and character in " \t\n\r\v\f" else "_")
    return "".join(kept)


def replace_white_space(text: str) -> str:
    """Join runs of white space by one underscore, none at the ends."""
    return _SPACES.sub("_", text.strip(" \t\n\r\v\f"))


def escape(text: str) -> str:
    """Return text with everything that a link can not have as ``\\xNN``, byte by byte (``ID_…_ENC``)."""
    return "".join(
        character
        if character in ALLOWED or _is_foreign(character)
        else "".join(f"\\x{byte:02x}" for byte in encode(character))
        for character in text
    )


def one_line(text: str) -> str:
    """Return text that can not break a line of output or a terminal; a backslash stays as it is."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else "".join(f"\\x{byte:02x}" for byte in _bytes_of(character))
        for character in text
    )


def _bytes_of(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "replace")


def split_command(command: str) -> list[str]:
    """Split a command into words as udev does, without a shell: quotes group, a backslash is itself."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    begun = False
    for character in command:
        if quote:
            if character == quote:
                quote = ""
            else:
                word.append(character)
        elif character in "\"'":
            quote, begun = character, True
        elif character in WHITE_SPACE:
            if begun:
                words.append("".join(word))
                word, begun = [], False
        else:
            word.append(character)
            begun = True
    if begun:
        words.append("".join(word))
    return words


def parse_property(line: str) -> tuple[str, str] | None:
    """Read ``KEY=VALUE`` of a file or of a program's output; None for a comment and for what is neither."""
    key, equals, value = line.strip(WHITE_SPACE).partition("=")
    key, value = key.strip(WHITE_SPACE), value.strip(WHITE_SPACE)
    if not equals or not key or not value or key.startswith("#"):
        return None
    if value[0] in "\"'":
        if len(value) == 1 or value[-1] != value[0]:
            return None
        value = value[1:-1]
    return key, value
