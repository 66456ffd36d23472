"""What is said of a node that one may not use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from midlayer.lower.linux.nodes import forbidden, node_behind


@pytest.mark.parametrize(
    ("mode", "gid", "uid", "hint"),
    [
        (0o660, 6, 1000, "(owner root, group disk, mode 0660); run as root or add the user to group disk"),
        (0o600, 0, 1000, "(owner root, group root, mode 0600); run as root"),
        (0o640, 6, 1000, "mode 0640); run as root"),
        (0o660, 54321, 1000, "group 54321, mode 0660); run as root or add the user to group 54321"),
        (0o660, 6, 0, "being root is not enough"),
    ],
)
def test_hint(monkeypatch: pytest.MonkeyPatch, mode: int, gid: int, uid: int, hint: str) -> None:
    status = os.stat_result((0o020000 | mode, 0, 0, 1, 0, gid, 0, 0, 0, 0))
    monkeypatch.setattr(os, "stat", lambda path: status)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    error = forbidden(Path("/dev/sg3"), errno.EACCES, "read and write access")
    assert str(error).startswith("/dev/sg3: read and write access is missing (owner root, ")
    assert hint in str(error)
    assert error.errno == errno.EACCES


def test_a_node_that_can_not_even_be_seen() -> None:
    error = forbidden(Path("/nowhere/sg3"), errno.EACCES, "read and write access")
    assert str(error) == "/nowhere/sg3: read and write access is missing; run as root"


def test_what_is_behind_a_path(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to("/dev/null")
    assert node_behind(str(link), tmp_path) == "", "sysfs does not know it"
    disk = tmp_path / "devices/sdq"
    (disk / "sdq1").mkdir(parents=True)
    number = tmp_path / "dev/char/1:3"
    number.parent.mkdir(parents=True)
    number.symlink_to(disk / "sdq1")
    assert node_behind(str(link), tmp_path) == "sdq1"
    (disk / "sdq1/partition").write_text("1\n")
    assert node_behind(str(link), tmp_path) == "sdq"
    for nothing in (tmp_path / "none", tmp_path, "\0"):
        assert node_behind(str(nothing), tmp_path) == ""
