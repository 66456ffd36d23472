"""Logs of copies: whatever is in the file, it is a log or it is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.frontends.dd.log import read_lines

HEAD = b'{"format": "midlayer dd 1"}\n'
MARK = {"done": 5, "unreadable": [1], "unwritten": []}


def test_marks() -> None:
    text = HEAD + json.dumps(MARK).encode() + b"\n"
    assert read_lines(text) == [{"format": "midlayer dd 1"}, MARK]
    assert read_lines(b"") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"done": -1},
        {"done": True},
        {"done": "5"},
        {"unreadable": None},
        {"unwritten": [-1]},
        {"unwritten": ["1"]},
    ],
)
def test_what_is_no_mark(wrong: dict[str, object]) -> None:
    assert read_lines(HEAD + json.dumps(MARK | wrong).encode() + b"\n") is None


@pytest.mark.parametrize("text", [b"text\n", b"[]\n", b"1\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_log(text: bytes) -> None:
    assert read_lines(text) is None


@given(st.binary(max_size=200) | st.builds(lambda text: HEAD + text, st.binary(max_size=100)))
def test_any_bytes(text: bytes) -> None:
    lines = read_lines(text)
    assert lines is None or all(isinstance(line, dict) for line in lines)
