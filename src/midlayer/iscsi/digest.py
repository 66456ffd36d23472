"""CRC32C, the digest of headers and data (RFC 7143 13.1)."""

from __future__ import annotations

from collections.abc import Iterable

Buffer = bytes | bytearray | memoryview


def crc32c(*pieces: Buffer) -> bytes:
    """Return the digest of `pieces`, one after the other, as its four bytes on the wire.

    The checksum is sent least significant byte first (RFC 7143 B.4 has examples).
    """
    return value(pieces).to_bytes(4, "little")


def value(pieces: Iterable[Buffer]) -> int:
    """Return CRC32C as a number."""
    from crc32c import crc32c as checksum  # noqa: PLC0415 - only those who negotiate digests need it

    total = 0
    for piece in pieces:
        total = checksum(piece, total)
    return total
