"""Why a program does not see the nodes: real programs, and files that are nearly programs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from midlayer.frontends.nodes import blind
from midlayer.frontends.nodes.blind import why_blind
from midlayer.frontends.nodes.program import run_under


def script(path: Path, first_line: str) -> str:
    path.write_text(first_line + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def static(tmp_path: Path) -> str:
    """A program without the dynamic loader: as little as an ELF file can be."""
    identity = b"\x7fELF" + bytes([blind._CLASS, 1, 1]) + bytes(9)
    rest = struct.pack("=HHIQQQIHHHHHH", 2, 62, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    path = tmp_path / "static"
    path.write_bytes(identity + rest + struct.pack("=II", 1, 5) + bytes(48))
    path.chmod(0o755)
    return str(path)


def test_what_the_loader_reaches(tmp_path: Path) -> None:
    for program in (
        "sh",
        sys.executable,
        "/nowhere/at/all",
        "/",
        script(tmp_path / "a", f"#!{sys.executable}"),
    ):
        assert why_blind(program) is None


def test_a_static_program_and_a_script_for_it(tmp_path: Path, static: str) -> None:
    assert why_blind(static) == "it is linked statically"
    assert why_blind(script(tmp_path / "one", f"#! {static} -x")) == "it is linked statically"
    assert why_blind(script(tmp_path / "two", f"#!{tmp_path / 'one'}")) == "it is linked statically"
    itself = tmp_path / "itself"
    assert why_blind(script(itself, f"#!{itself}")) is None
    assert why_blind(script(tmp_path / "none", "#!")) is None


def test_a_static_program_of_a_compiler(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = tmp_path / "main.c"
    source.write_text("int main(void) { return 0; }\n")
    for name, options, expected in (("s", ["-static"], "it is linked statically"), ("d", [], None)):
        subprocess.run([compiler, *options, "-o", str(tmp_path / name), str(source)], check=True)
        assert why_blind(str(tmp_path / name)) == expected


def test_set_user_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path(shutil.copy(sys.executable, tmp_path / "python"))
    program.chmod(0o4755)
    assert why_blind(str(program)) is None  # its owner runs it
    monkeypatch.setattr(os, "getuid", lambda: program.stat().st_uid + 1)
    assert "set-user-id" in (why_blind(str(program)) or "")
    program.chmod(0o2755)
    monkeypatch.setattr(os, "getgid", lambda: program.stat().st_gid + 1)
    assert "set-group-id" in (why_blind(str(program)) or "")


def test_other_sizes_and_files_cut_short(tmp_path: Path, static: str) -> None:
    path = Path(static)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes([3 - whole[4]]) + whole[5:])
    assert "another size" in (why_blind(static) or "")
    path.write_bytes(whole[:40])
    assert why_blind(static) is None


def test_it_is_said_and_the_program_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midlayer.frontends.nodes.program.why_blind", lambda program: "of a reason")
    assert run_under(tmp_path, ["sh", "-c", "exit 3"]) == 3
    assert capfd.readouterr().err == "midlayer: sh does not see these devices: of a reason\n"
