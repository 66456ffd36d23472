"""SCSI logging: the kernel's ``scsi_logging_level`` word, ten fields of three bits.

The levels are the kernel's (``drivers/scsi/scsi_logging.h``): 0 is silence, 7 says most. What each level of
a field gives here is in `midlayer.mid.command_trace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from midlayer.errors import UsageError

FIELDS = (
    "error",
    "timeout",
    "scan",
    "mlqueue",
    "mlcomplete",
    "llqueue",
    "llcomplete",
    "hlqueue",
    "hlcomplete",
    "ioctl",
)
"""The fields, the lowest bits first."""

BITS = 3
MOST = (1 << BITS) - 1
MOST_WORD = (1 << BITS * len(FIELDS)) - 1

_SHIFTS = {name: place * BITS for place, name in enumerate(FIELDS)}
_OTHER_NAMES = {"midqueue": "mlqueue", "midcomplete": "mlcomplete"}


class LoggingLevel(int):
    """The word, with its fields. A value: `with_fields` makes another one.

    Raises:
        UsageError: From the constructor, for a number that has other bits than those of the fields.
    """

    def __new__(cls, word: int = 0) -> Self:
        if not 0 <= word <= MOST_WORD:
            raise UsageError(f"logging level {word}: the ten fields make a number from 0 to {MOST_WORD:#x}")
        return super().__new__(cls, word)

    @classmethod
    def parse(cls, words: Sequence[str], *, before: int = 0) -> Self:
        """Return what a person wants; see `parse_wish`.

        Args:
            words: What the person writes.
            before: Levels of the fields that are not named.

        Raises:
            UsageError: If there is no such field, or no such level.
        """
        word, levels = parse_wish(words)
        return cls(before if word is None else word).with_fields(levels)

    def field(self, name: str) -> int:
        """Return the level of one field, 0 to 7.

        Raises:
            UsageError: If there is no such field.
        """
        return int(self) >> _shift(name) & MOST

    def fields(self) -> dict[str, int]:
        """Return all levels, by name."""
        return {name: int(self) >> shift & MOST for name, shift in _SHIFTS.items()}

    def with_fields(self, levels: Mapping[str, int]) -> Self:
        """Return a word in which some fields differ.

        Raises:
            UsageError: If there is no such field, or no such level.
        """
        word = int(self)
        for name, level in levels.items():
            shift = _shift(name)
            if not 0 <= level <= MOST:
                raise UsageError(f"{name}={level}: a level is a number from 0 to {MOST}")
            word = word & ~(MOST << shift) | level << shift
        return type(self)(word)

    def __str__(self) -> str:
        loud = [f"{name}={level}" for name, level in self.fields().items() if level]
        return f"{int(self):#010x} {' '.join(loud) or 'off'}"


def parse_wish(words: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """Read what a person writes: one number, or any number of ``FIELD=LEVEL``.

    Args:
        words: Such as ``["mlqueue=3", "scan=1"]``, ``["all=0"]`` or ``["0x1b6d"]``.

    Returns:
        The number, or None and levels by name.

    Raises:
        UsageError: For anything else; whether a field is known is not looked at.
    """
    if len(words) == 1 and "=" not in words[0]:
        return _number(words[0]), {}
    levels: dict[str, int] = {}
    for word in words:
        name, equals, level = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r}: write FIELD=LEVEL such as mlqueue=3, or one number alone")
        levels |= dict.fromkeys(FIELDS if name == "all" else (name,), _number(level))
    return None, levels


def _shift(name: str) -> int:
    shift = _SHIFTS.get(_OTHER_NAMES.get(name, name))
    if shift is None:
        raise UsageError(f"{name!r} is no logging field; there are {', '.join(FIELDS)}")
    return shift


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is not a number, such as 3 or 0x1b6d") from None
