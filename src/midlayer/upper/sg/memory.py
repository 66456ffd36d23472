"""The caller's memory, as the sg driver sees it: addresses that may be wild.

A node's caller passes pointers. Who serves the node knows how to follow them: in this process, in another
one (``process_vm_readv``), or in memory that both share.
"""

from __future__ import annotations

from typing import Protocol


class Memory(Protocol):
    """Memory of whoever called. Every method raises OSError EFAULT for what is not mapped."""

    def read(self, address: int, length: int) -> bytes:
        """Return a copy of `length` bytes at `address`."""

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `address`."""

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        """Return the bytes at `address` without a copy, or None where that is not possible."""
