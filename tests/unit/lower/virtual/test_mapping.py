"""Pages that are lent: only those in memory, and none that was not looked at a short while ago."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from midlayer.lower.virtual import mapping as mapping_module
from midlayer.lower.virtual.mapping import ASKED_BEFORE_A_LOOK, LOOK_IS_GOOD_S, Mapping
from midlayer.lower.virtual.medium import FileMedium

PAGE = 4096
CHUNK = 64 * PAGE
CONTENT = bytes(range(1, 256)) * (2 * CHUNK // 255)


class Rig:
    """A mapped file of three chunks and a bit, the first two of them written, and a clock that stands."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.looks = 0
        real = mapping_module._mincore

        def counted(*arguments: object) -> int:
            self.looks += 1
            return int(real(*arguments))

        monkeypatch.setattr(mapping_module, "_mincore", counted)
        path.write_bytes(CONTENT)
        os.truncate(path, 3 * CHUNK + 512)
        self.number = os.open(path, os.O_RDWR)
        self.mapping = Mapping(self.number, 3 * CHUNK + 512, lambda: self.now_s)

    def lends(self, at: int, length: int) -> bool:
        view = self.mapping.lend(at, length)
        if view is None:
            return False
        assert view.readonly
        assert bytes(view) == CONTENT[at : at + length]
        return True


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    rig = Rig(tmp_path / "disk", monkeypatch)
    yield rig
    del rig.mapping  # which has a descriptor of its own
    os.close(rig.number)


def test_long_ranges_are_lent_at_once_and_short_ones_where_they_come_often(rig: Rig) -> None:
    assert rig.lends(CHUNK, 65536)
    assert rig.looks == 1
    tries = [rig.lends(at * PAGE, PAGE) for at in range(ASKED_BEFORE_A_LOOK + 2)]
    assert tries == [False] * (ASKED_BEFORE_A_LOOK - 1) + [True] * 3
    assert rig.looks == 2


@pytest.mark.parametrize(
    ("at", "length", "lent"),
    [
        (0, 2 * CHUNK - 512, True),
        (CHUNK - 512, 1024 + 65536, True),
        (512, 65536, True),
        (2 * CHUNK - 65536, 65536 + 1, False),
        (2 * CHUNK, 65536, False),
        (3 * CHUNK - 65536, 65536 + 512, False),
        (3 * CHUNK - 65536, 65536 + 513, False),
    ],
)
def test_what_is_not_in_memory_is_not_lent(rig: Rig, at: int, length: int, lent: bool) -> None:
    assert rig.lends(at, length) is lent
    assert rig.lends(at, length) is lent


def test_a_look_is_good_for_a_while(rig: Rig) -> None:
    assert rig.lends(0, CHUNK)
    rig.now_s += LOOK_IS_GOOD_S / 2
    assert rig.lends(0, CHUNK)
    assert rig.looks == 1
    rig.now_s += LOOK_IS_GOOD_S / 2
    assert rig.lends(0, CHUNK)
    assert rig.looks == 2


def test_a_hole_is_not_lent_although_its_pages_were(tmp_path: Path) -> None:
    medium = FileMedium(tmp_path / "disk", 2 * CHUNK)
    medium.write(0, CONTENT[: 2 * CHUNK])
    assert medium.borrow(0, CHUNK) is not None
    before = medium.used_bytes()
    medium.zero(0, CHUNK)
    assert medium.borrow(0, CHUNK) is None
    assert medium.borrow(CHUNK, 65536) is not None
    assert medium.used_bytes() <= before - CHUNK
    medium.close()
