"""Values as people write them in tables and on command lines; whoever knows the key names it in an error."""

from __future__ import annotations


def read_number(value: object, lowest: int, highest: int) -> int:
    """Return a number, which text may give in hexadecimal (0x…).

    Raises:
        ValueError: If it is none, or out of its range; the message says what is wanted.
    """
    try:
        found = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, int) or isinstance(found, bool) or not lowest <= found <= highest:
        raise ValueError(f"{value!r} must be a number from {lowest} to {highest}")
    return found


def read_flag(value: object) -> bool:
    """Return true or false.

    Raises:
        ValueError: If it is neither; the message says what is wanted.
    """
    if isinstance(value, bool):
        return value
    if value in ("true", "yes", "1", "false", "no", "0"):
        return value in ("true", "yes", "1")
    raise ValueError(f"{value!r} must be true or false")
