"""Several directories as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.errors import NodeError
from midlayer.rules import RuleSet
from midlayer.rules.directories import files

from .devices import DISK


def write(directory: Path, name: str, text: str = 'ENV{A}="1"\n') -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)


def test_files_are_ordered_by_name_and_the_first_directory_decides(tmp_path: Path) -> None:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    write(lib, "10-a.rules", 'ENV{A}+="lib-a"')
    write(lib, "20-b.rules", 'ENV{A}+="lib-b"')
    write(lib, "readme")
    write(etc, "20-b.rules", 'ENV{A}+="etc-b"')
    write(etc, "15-c.rules", 'ENV{A}+="etc-c"')
    rules = RuleSet.load([etc, lib, tmp_path / "absent"])
    assert rules.apply(DISK).properties["A"] == "lib-a etc-c etc-b"


@pytest.mark.parametrize("mask", ["link", "empty", "dangling"])
def test_a_mask_hides_a_file(tmp_path: Path, mask: str) -> None:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    write(lib, "10-a.rules")
    etc.mkdir()
    if mask == "empty":
        write(etc, "10-a.rules", "")
    else:
        (etc / "10-a.rules").symlink_to("/dev/null" if mask == "link" else "/nowhere/at/all")
    assert files([etc, lib]) == []


def test_a_file_may_stand_for_a_directory(tmp_path: Path) -> None:
    write(tmp_path, "x.rules")
    assert files([tmp_path / "x.rules"]) == [tmp_path / "x.rules"]


def test_what_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "x.rules")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(NodeError, match=r"x\.rules: Permission denied; rules can not be read"):
        RuleSet.load([tmp_path])


def test_rules_are_read_again_when_a_file_changes(tmp_path: Path) -> None:
    write(tmp_path, "x.rules")
    rules = RuleSet.load([tmp_path])
    assert rules.refreshed() is rules
    write(tmp_path, "x.rules", 'ENV{A}="changed"\n')
    assert rules.refreshed().apply(DISK).properties["A"] == "changed"
    (tmp_path / "x.rules").unlink()
    assert len(rules.refreshed()) == 0
    assert RuleSet.of_texts({}).refreshed().files == ()
