"""The messages as both ends declare them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from midlayer.frontends.nodes import wire

HEADER = (Path(wire.__file__).parent / "preload" / "wire.h").read_text()
LETTERS = {"uint32_t": "I", "int32_t": "i", "uint64_t": "Q", "int64_t": "q"}


def layout(name: str) -> str:
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", HEADER, re.DOTALL)
    assert body is not None
    return "".join(LETTERS[kind] for kind in re.findall(r"^\s+(u?int\d+_t) \w+;", body[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "ours"), [("ml_request", wire.REQUEST), ("ml_reply", wire.REPLY), ("ml_piece", wire.PIECE)]
)
def test_structures_are_the_same(name: str, ours: struct.Struct) -> None:
    assert ours.format == "=" + layout(name)
    # No hole: the C compiler aligns, "=" does not.
    assert struct.calcsize("@" + layout(name)) == ours.size


def test_operations_have_the_same_numbers() -> None:
    body = re.search(r"enum ml_operation \{(.*?)\};", HEADER, re.DOTALL)
    assert body is not None
    names = re.findall(r"ML_(\w+)(?: = 1)?,", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL))
    assert names == [operation.name for operation in wire.Operation]
    assert [int(operation) for operation in wire.Operation] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_MOST_PIECES", wire.MOST_PIECES),
        ("ML_MOST_MESSAGE", wire.MOST_MESSAGE),
        ("ML_MOST_FETCH", wire.MOST_FETCH),
        ("ML_INLINE", wire.INLINE),
    ],
)
def test_limits_are_the_same(name: str, value: int) -> None:
    found = re.search(rf"#define {name} (\w+?)u?\n", HEADER)
    assert found is not None
    assert int(found[1], 0) == value
