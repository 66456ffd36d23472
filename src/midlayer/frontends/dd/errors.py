"""What ends a copy."""

from __future__ import annotations

from midlayer.errors import MidlayerError, NodeError, UsageError


class FileDiffers(MidlayerError):
    """What a file holds is not what was written to it."""


class ShortTransfer(MidlayerError):
    """A device said GOOD, but moved less than it was asked for."""


class LogMismatch(UsageError):
    """The log of an interrupted copy is of another copy, or damaged."""


def file_error(name: str, error: OSError) -> NodeError:
    """Return the error for a file that could not be used."""
    return NodeError(error.errno or 0, f"{name}: {error.strerror}")
