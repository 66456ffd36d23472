"""What the values of configuration keys may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midlayer.errors import SpecError, UsageError
from midlayer.quantities import parse_size
from midlayer.values import read_flag, read_number


def number(lowest: int, highest: int) -> Any:
    def convert(key: str, value: object) -> int:
        try:
            return read_number(value, lowest, highest)
        except ValueError as error:
            raise SpecError(key, str(error)) from None

    return convert


def named_number(names: Mapping[str, int], highest: int) -> Any:
    whole = number(0, highest)

    def convert(key: str, value: object) -> int:
        if isinstance(value, str) and value.lower() in names:
            return names[value.lower()]
        try:
            return int(whole(key, value))
        except SpecError:
            raise SpecError(
                key, f"{value!r} must be one of {', '.join(names)}, or a number to {highest}"
            ) from None

    return convert


def flag(key: str, value: object) -> bool:
    try:
        return read_flag(value)
    except ValueError as error:
        raise SpecError(key, str(error)) from None


def text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise SpecError(key, f"{value!r} must be text in quotes")
    if "\0" in value or not is_unicode(value):
        raise SpecError(key, f"{value!r} must have no zero byte, and nothing that is not Unicode")
    return value


def is_unicode(value: str) -> bool:
    """False for a text with half of a surrogate pair, which JSON can carry and nothing can write."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def size(key: str, value: object) -> int:
    try:
        return parse_size(value)  # type: ignore[arg-type]
    except UsageError as error:
        raise SpecError(key, str(error)) from None
