"""What the values of configuration keys may be, and the error for those that may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midlayer.errors import UsageError
from midlayer.quantities import parse_size
from midlayer.values import read_flag, read_number


class SpecError(UsageError):
    """A key or a value that a unit or host can not have.

    Args:
        key: The key that is wrong.
        message: What is wrong with it, and what to write instead.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


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
    return value


def size(key: str, value: object) -> int:
    try:
        return parse_size(value)  # type: ignore[arg-type]
    except UsageError as error:
        raise SpecError(key, str(error)) from None
