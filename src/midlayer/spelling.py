"""What to say of a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def no_such_key(key: str, known: Iterable[str]) -> str:
    """Return the message for an unknown key: the nearest known one, if one is near, and all of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed for a mistake

    names = sorted(known)
    near = [name for name in names if name.startswith(key)] or get_close_matches(key.lower(), names, n=1)
    question = f" did you mean {near[0]}?" if near else ""
    return f"there is no such key;{question} known keys are {', '.join(names)}"
