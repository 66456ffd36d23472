"""key=value text and its values."""

from __future__ import annotations

import pytest

from midlayer.iscsi import text
from midlayer.iscsi.errors import ProtocolError


def test_pairs_both_ways() -> None:
    pairs = [("TargetName", "iqn.2026-11.io.example:a"), ("TargetAlias", "Größe = 1"), ("X-a", "")]
    assert text.decode(text.encode(pairs)) == pairs
    assert text.decode(b"\0\0A=1\0\0") == [("A", "1")]


@pytest.mark.parametrize("data", [b"A", b"=1", b"1A=1", b"A b=1", b"A=1\0A=2", b"A=\xff", b"A" * 64 + b"=1"])
def test_what_is_no_text(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        text.decode(data)


def test_limits() -> None:
    assert text.decode(b"A=" + b"x" * text.MAX_VALUE_BYTES)
    with pytest.raises(ProtocolError, match="longer than 8192"):
        text.decode(b"A=" + b"x" * (text.MAX_VALUE_BYTES + 1))


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("512", 512), ("0x1F", 31), ("0X0", 0), ("01", None), ("-1", None), ("", None), ("1~2", None)],
)
def test_numbers(value: str, number: int | None) -> None:
    assert text.number(value) == number


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("0x00ff", b"\0\xff"),
        ("0xfff", b"\x0f\xff"),
        ("0bAP8=", b"\0\xff"),
        ("0bAP8", b"\0\xff"),
        ("0xzz", None),
        ("00ff", None),
        ("0b====", None),
    ],
)
def test_binary_values(value: str, data: bytes | None) -> None:
    assert text.binary(value) == data


def test_gathering_has_an_end() -> None:
    gatherer = text.TextGatherer()
    for _ in range(8):
        gatherer.add(bytes(8192))
    with pytest.raises(ProtocolError, match="more than 65536"):
        gatherer.add(b"x")
