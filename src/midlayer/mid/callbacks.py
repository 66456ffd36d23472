"""Calling somebody else's code: what it raises is logged, and stops nobody else."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

_log = logging.getLogger("midlayer.subsystem")


def ask(callback: Callable[..., int], subject: object) -> int:
    """Call a driver's callback that answers 0 or an errno; what it raises counts as an error."""
    try:
        return callback(subject)
    except Exception:
        _log.exception("%r: %s raised", subject, getattr(callback, "__qualname__", callback))
        return errno.EIO


def call(callback: Callable[..., object], *args: object, **options: object) -> None:
    """Call a callback that answers nothing."""
    try:
        callback(*args, **options)
    except Exception:
        _log.exception("%s raised", getattr(callback, "__qualname__", callback))
