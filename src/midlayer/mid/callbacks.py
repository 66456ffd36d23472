"""Calling somebody else's code: what it raises is logged, and stops nobody else."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from midlayer.errors import DriverError, MidlayerError

if TYPE_CHECKING:
    from midlayer.mid.host import Host

_T = TypeVar("_T")
_log = logging.getLogger("midlayer.subsystem")


def ask(callback: Callable[..., int], subject: object) -> int:
    """Call a driver's callback that answers 0 or an errno; what it raises counts as an error."""
    name = getattr(callback, "__qualname__", callback)
    try:
        answer: object = callback(subject)
    except Exception:
        _log.exception("%r: %s raised", subject, name)
        return errno.EIO
    if isinstance(answer, int):
        return answer
    if answer is not None:  # which is what a function that returns nothing returns
        _log.error("%r: %s returned %r, which means nothing", subject, name, answer)
        return errno.EIO
    return 0


def demand(host: Host, callback: Callable[..., _T], *args: object) -> _T:
    """Call a driver's callback because somebody wants it, who has to hear that it could not be done.

    Raises:
        DriverError: For what a driver should not raise.
        MidlayerError, OSError: What it may: a node that is not there, a right that is missing.
    """
    try:
        return callback(*args)
    except (MidlayerError, OSError):
        raise
    except Exception as error:
        name = getattr(callback, "__name__", callback)
        raise DriverError(f"host {host.host_no}: {host.name} raised in {name}: {error!r}") from error


def call(callback: Callable[..., object], *args: object, **options: object) -> None:
    """Call a callback that answers nothing."""
    try:
        callback(*args, **options)
    except Exception:
        _log.exception("%s raised", getattr(callback, "__qualname__", callback))
