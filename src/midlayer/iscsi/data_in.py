"""Cutting data into PDUs and sequences (RFC 7143 11.7): shared by Data-In and Data-Out."""

from __future__ import annotations

from collections.abc import Iterator

_FINAL = 0x80


def data_in_pdus(
    data: memoryview, segment_bytes: int, burst_bytes: int
) -> Iterator[tuple[int, memoryview, int]]:
    """Yield offset, data and flags of each PDU.

    Args:
        data: What is sent, at least one byte.
        segment_bytes: Longest data segment that the other side takes.
        burst_bytes: Longest sequence (MaxBurstLength), whose last PDU has the F bit.
    """
    at, in_burst, length = 0, 0, len(data)
    while at < length:
        size = min(segment_bytes, length - at, burst_bytes - in_burst)
        in_burst += size
        final = at + size == length or in_burst == burst_bytes
        yield at, data[at : at + size], _FINAL if final else 0
        at += size
        if final:
            in_burst = 0
