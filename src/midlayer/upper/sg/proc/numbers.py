"""Numbers as the kernel reads them from what is written to a proc file."""

from __future__ import annotations

import errno
import os
import re

_UNSIGNED = r"(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"
_WHOLE = re.compile(rf"\+?({_UNSIGNED})\n?", re.ASCII)
_PREFIX = re.compile(_UNSIGNED, re.ASCII)
_MOST_CHARACTERS = 66  # a sign, 64 binary digits and a newline: the buffer of kstrtoul_from_user
_LONG_BITS = 64


def refusal(number: int, path: str = "") -> OSError:
    """Return the error that a system call would end with."""
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


def kstrtoul(data: bytes) -> int:
    """Read a whole number with at most one newline after it: ``kstrtoul`` with base 0.

    Raises:
        OSError: EINVAL for anything else; ERANGE for what does not fit in 64 bits.
    """
    text = data[:_MOST_CHARACTERS].split(b"\0", 1)[0].decode("latin-1")
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise refusal(errno.EINVAL)
    value = _value(match[1])
    if value >> _LONG_BITS:
        raise refusal(errno.ERANGE)
    return value


def simple_strtoul(text: str, at: int) -> tuple[int, int]:
    """Read the number that begins at a place, if any: ``simple_strtoul`` with base 0.

    Returns:
        The number, 0 where there is none, and the place after it.
    """
    match = _PREFIX.match(text, at)
    if match is None:
        return 0, at
    return _value(match[0]) & ((1 << _LONG_BITS) - 1), match.end()


def _value(digits: str) -> int:
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    return int(digits, 8 if digits.startswith("0") else 10)
