"""key=value text (RFC 7143 6.1): how it is written, how it is read, how large it may get."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from midlayer.iscsi.errors import ProtocolError

MAX_KEY_BYTES = 63
MAX_VALUE_BYTES = 8192
MAX_TEXT_BYTES = 65536
"""Most text that is gathered over several PDUs."""

NOT_UNDERSTOOD = "NotUnderstood"
REJECT = "Reject"
IRRELEVANT = "Irrelevant"
NONE = "None"

Pairs = list[tuple[str, str]]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9.+@_-]{0,62}", re.ASCII)  # iSCSIProtocolLevel begins with an i
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_HEX = re.compile(r"0[xX]([0-9a-fA-F]{1,16})", re.ASCII)
_HEX_BYTES = re.compile(r"0[xX]([0-9a-fA-F]+)", re.ASCII)
_BASE64 = re.compile(r"0[bB]([0-9a-zA-Z+/]+={0,2})", re.ASCII)


def encode(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return pairs as a data segment holds them, each with its NUL."""
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in pairs)


def decode(data: bytes | bytearray | memoryview, *, repeated: bool = False) -> Pairs:
    """Read a data segment, in order.

    Args:
        data: Pairs, each with its NUL.
        repeated: True if a key may come more than once, as in the answer to SendTargets.

    Raises:
        ProtocolError: If a pair has no ``=``, or a key or a value is not what one can be.
    """
    pairs: Pairs = []
    seen: set[str] = set()
    for piece in bytes(data).split(b"\0"):
        if not piece:
            continue
        try:
            key, equals, value = piece.decode().partition("=")
        except UnicodeDecodeError:
            raise ProtocolError("text that is not UTF-8") from None
        if not equals or not _KEY.fullmatch(key):
            raise ProtocolError("text that is not key=value")
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise ProtocolError(f"the value of {key} is longer than {MAX_VALUE_BYTES} bytes")
        if key in seen and not repeated:
            raise ProtocolError(f"{key} comes twice")
        seen.add(key)
        pairs.append((key, value))
    return pairs


def number(value: str) -> int | None:
    """Return a decimal or hexadecimal numerical value; None if it is neither."""
    if _DECIMAL.fullmatch(value):
        return int(value)
    match = _HEX.fullmatch(value)
    return int(match[1], 16) if match else None


def binary(value: str) -> bytes | None:
    """Return a binary value, in hexadecimal or base64; None if it is neither."""
    match = _HEX_BYTES.fullmatch(value)
    if match is not None:
        return bytes.fromhex(match[1] if len(match[1]) % 2 == 0 else "0" + match[1])
    match = _BASE64.fullmatch(value)
    if match is None:
        return None
    try:
        return base64.b64decode(match[1] + "=" * (-len(match[1]) % 4), validate=True)
    except binascii.Error:
        return None


def hex_value(data: bytes) -> str:
    """Return bytes as a hexadecimal value."""
    return "0x" + data.hex()


class TextGatherer:
    """Puts text together that comes in several PDUs (the C bit)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def add(self, data: bytes | memoryview) -> None:
        """Keep one more piece.

        Raises:
            ProtocolError: If it gets too large.
        """
        self._size_bytes += len(data)
        if self._size_bytes > MAX_TEXT_BYTES or len(self._pieces) > MAX_TEXT_BYTES // 64:
            raise ProtocolError(f"more than {MAX_TEXT_BYTES} bytes of text in one request")
        self._pieces.append(bytes(data))

    def take(self, *, repeated: bool = False) -> Pairs:
        """Return all pairs and begin anew; raises as `decode` does."""
        data = b"".join(self._pieces)
        self._pieces, self._size_bytes = [], 0
        return decode(data, repeated=repeated)
