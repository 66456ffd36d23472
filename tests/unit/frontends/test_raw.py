"""The raw verb: any CDB, data both ways, from files and to files."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from midlayer import device as device_module
from midlayer.device import Device
from midlayer.frontends.cli.main import main
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.testing.scripted import Answer, ScriptedDriver

READ = ["28", *["00"] * 7, "01", "00"]
WRITE = ["2a", *["00"] * 7, "01", "00"]
DISK = "virtual:disk?size=1M"


def disk(path: Path) -> str:
    return f"virtual:disk?size=4096&file={path}"


@pytest.mark.parametrize("length", [6, 10, 12, 16, 32, 64, 252, 260])
def test_long_cdbs(length: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    driver = ScriptedDriver()
    driver.max_cmd_len = 260
    driver.unit(0, 0, 0).on(0x7F, Answer(data=b"answer"))

    def open_device(text: str) -> Device:
        return Device(driver.start(Subsystem(clock=FakeClock())).devices()[0])

    monkeypatch.setattr(device_module, "open_device", open_device)
    cdb = bytes([0x7F, *(number & 0xFF for number in range(length - 1))])
    assert main(["raw", DISK, *(f"{byte:x}" for byte in cdb), "-r", "8"]) == 0
    assert driver.commands[-1][1] == cdb
    assert "61 6e 73 77 65 72" in capsys.readouterr().out


@pytest.mark.parametrize("length", [5, 261])
def test_cdbs_that_are_none(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["raw", DISK, *["00"] * length]) == 1
    assert f"a CDB has 6 to 260 bytes, this one has {length}" in capsys.readouterr().err


def test_a_cdb_longer_than_the_host_sends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["raw", DISK, *["00"] * 33]) == 35
    assert "DID_ABORT" in capsys.readouterr().out


def test_from_file_to_file(tmp_path: Path) -> None:
    source, target, image = tmp_path / "source", tmp_path / "target", tmp_path / "image"
    source.write_bytes(b"skipped" + bytes(range(256)) * 2 + b"left over")
    assert main(["raw", disk(image), *WRITE, "-i", str(source), "-s", "512", "-k", "7"]) == 0
    assert main(["raw", disk(image), *READ, "-r", "512", "-o", str(target)]) == 0
    assert target.read_bytes() == bytes(range(256)) * 2


def test_from_standard_input_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    image = tmp_path / "image"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xfe" * 512)))
    assert main(["raw", disk(image), *WRITE, "-i", "-"]) == 0
    for option in (["-b"], ["-o", "-"]):
        capfdbinary.readouterr()
        assert main(["raw", disk(image), *READ, "-r", "512", *option]) == 0
        said = capfdbinary.readouterr()
        assert (said.out, said.err) == (b"\xfe" * 512, b"0:0:0:0 READ(10) lba=0 blocks=1: GOOD\n")


def test_a_cdb_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cdb"
    file.write_text("# READ(10)\n0x28 0 0 0, 0 0 0   # LBA 0\n0 1 0\n")
    assert main(["raw", DISK, "-c", str(file), "-r", "512"]) == 0
    assert "READ(10) lba=0 blocks=1: GOOD" in capsys.readouterr().out


def test_without_sense(capsys: pytest.CaptureFixture[str]) -> None:
    beyond = ["28", "0", "ff", *["00"] * 5, "01", "00"]
    assert main(["raw", DISK, *beyond, "-r", "512"]) == 22
    assert "\nsense: 7" in capsys.readouterr().out
    assert main(["raw", DISK, *beyond, "-r", "512", "-n"]) == 22
    assert "\nsense: 7" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 1, "raw: give the CDB in hexadecimal"),
        ([*READ, "-c", "file"], 1, "raw: give the CDB, or --cmdfile, not both"),
        (["-c", "/nowhere"], 1, "raw: /nowhere: No such file or directory"),
        ([*WRITE, "-i", "/nowhere"], 1, "raw: /nowhere: No such file or directory"),
        ([*WRITE, "-s", "512", "-k", "1"], 1, "raw: --skip leaves out bytes of a file; give --infile"),
        ([*WRITE, "-s", "1", "-r", "1"], 1, "raw: a command moves data one way"),
        ([*READ, "-r", "512", "-b", "--json"], 1, "raw: --json needs standard output for itself"),
        ([*READ, "-r", "512", "-o", "/nowhere/file"], 52, "/nowhere/file: No such file or directory"),
    ],
)
def test_mistakes(words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["raw", DISK, *words]) == status
    assert message in capsys.readouterr().err
