"""Diagnostic commands and buffers (SPC-4): SEND and RECEIVE DIAGNOSTIC, READ and WRITE BUFFER."""

from __future__ import annotations

from collections.abc import Iterable

from midlayer.layout import Layout, bits, flag, uint

__all__ = ["ReadBuffer", "ReceiveDiagnosticResults", "SendDiagnostic", "WriteBuffer", "supported_pages"]


class SendDiagnostic(Layout, size=6):
    """SEND DIAGNOSTIC (SPC-4 6.43)."""

    opcode = uint(0, const=0x1D)
    self_test_code: int = bits(1, 7, 5)
    pf: bool = flag(1, 4)
    selftest: bool = flag(1, 2)
    devoffl: bool = flag(1, 1)
    unitoffl: bool = flag(1, 0)
    parameter_list_length: int = uint(3, 2)
    control: int = uint(5)


class ReceiveDiagnosticResults(Layout, size=6):
    """RECEIVE DIAGNOSTIC RESULTS (SPC-4 6.23)."""

    opcode = uint(0, const=0x1C)
    pcv: bool = flag(1, 0)
    page_code: int = uint(2)
    allocation_length: int = uint(3, 2)
    control: int = uint(5)


class ReadBuffer(Layout, size=10):
    """READ BUFFER(10) (SPC-4 6.17)."""

    opcode = uint(0, const=0x3C)
    mode: int = bits(1, 4, 0)
    buffer_id: int = uint(2)
    buffer_offset: int = uint(3, 3)
    allocation_length: int = uint(6, 3)
    control: int = uint(9)


class WriteBuffer(Layout, size=10):
    """WRITE BUFFER (SPC-4 6.49)."""

    opcode = uint(0, const=0x3B)
    mode: int = bits(1, 4, 0)
    buffer_id: int = uint(2)
    buffer_offset: int = uint(3, 3)
    parameter_list_length: int = uint(6, 3)
    control: int = uint(9)


def supported_pages(codes: Iterable[int]) -> bytes:
    """Return the list of diagnostic pages, page 00h (SPC-4 7.2.2)."""
    listed = bytes(codes)
    return bytes(2) + len(listed).to_bytes(2, "big") + listed
