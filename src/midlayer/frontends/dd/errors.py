"""What ends a copy."""

from __future__ import annotations

from midlayer.errors import MidlayerError, NodeError, UsageError


class CopyFailed(MidlayerError):
    """A copy ended early, and not by what a device or the system said.

    Attributes:
        exit_status: As sg3_utils(8) numbers them.
    """

    exit_status = 99


class FileDiffers(CopyFailed):
    """What is there is not what was written."""

    exit_status = 14


class ShortTransfer(CopyFailed):
    """A device said GOOD, but moved less than it was asked for."""

    exit_status = 49


class LockHeld(CopyFailed):
    """Another program holds a lock on the file (``flock``)."""

    exit_status = 47


class LogMismatch(UsageError):
    """The log of an interrupted copy is of another copy, or damaged."""


def file_error(name: str, error: OSError) -> NodeError:
    """Return the error for a file that could not be used."""
    told = NodeError(f"{name}: {error.strerror}")
    told.errno = error.errno
    return told
