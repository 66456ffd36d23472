"""Numbers and flags as people write them."""

from __future__ import annotations

import pytest

from midlayer.values import read_flag, read_number


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("3", 3), ("0x10", 16), ("0", 0)])
def test_number(value: object, number: int) -> None:
    assert read_number(value, 0, 16) == number


@pytest.mark.parametrize("value", [-1, 17, "17", True, None, 1.0, "", "x", [1]])
def test_no_number(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number from 0 to 16"):
        read_number(value, 0, 16)


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("yes", True), ("0", False), (False, False)])
def test_flag(value: object, flag: bool) -> None:
    assert read_flag(value) is flag


@pytest.mark.parametrize("value", [1, "on", None, "", []])
def test_no_flag(value: object) -> None:
    with pytest.raises(ValueError, match="must be true or false"):
        read_flag(value)
