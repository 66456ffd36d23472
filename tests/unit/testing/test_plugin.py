"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "blocktool"


def run(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout


def run_text(directory: Path, text: str) -> str:
    (directory / "test_it.py").write_text("import pytest\n" + text)
    return run(directory, "--strict-markers", "test_it.py")


def test_a_package_of_somebody_else_uses_it() -> None:
    assert "7 passed" in run(EXAMPLE, "-c", "pyproject.toml")


def test_a_key_that_is_wrong_is_named(tmp_path: Path) -> None:
    said = run_text(tmp_path, "@pytest.mark.scsi_disk(sise='1G')\ndef test_it(scsi_disk): pass\n")
    assert "SpecError: sise: there is no such key; did you mean size?" in said


def test_a_key_of_a_fault_that_is_wrong_is_named(tmp_path: Path) -> None:
    said = run_text(tmp_path, "@pytest.mark.scsi_fault(opcod='READ')\ndef test_it(scsi_disk): pass\n")
    assert "opcod" in said
    assert "did you mean opcode?" in said


def test_faults_add_up_in_the_order_in_which_they_are_written(tmp_path: Path) -> None:
    text = """
@pytest.mark.scsi_fault(name="class")
class TestIt:
    @pytest.mark.scsi_fault(name="first", status="BUSY", nth=100)
    @pytest.mark.scsi_fault(name="second", status="BUSY", nth=100)
    def test_it(self, scsi_faults):
        scsi_faults.add(name="third", status="BUSY")
        assert [state.rule.name for state in scsi_faults.states()] == ["class", "first", "second", "third"]
        scsi_faults.clear("class", "third")
        assert len(scsi_faults.states()) == 2

def test_another(scsi_disk, scsi_faults):
    assert scsi_faults.states() == []
    assert scsi_faults.add(lost=True).device == scsi_faults.add(busy="host").device
    assert str(scsi_faults.states()[0].rule.device) == "0:0:0:0"
"""
    text = text.replace('name="class"', 'name="class", status="BUSY", nth=100')
    assert "2 passed" in run_text(tmp_path, text)


def test_a_marker_without_keys_is_refused(tmp_path: Path) -> None:
    said = run_text(tmp_path, "@pytest.mark.scsi_disk('1G')\ndef test_it(scsi_disk): pass\n")
    assert 'takes keys: size="1G" and the like' in said


def test_the_nearest_marker_wins(tmp_path: Path) -> None:
    text = """
@pytest.mark.scsi_disk(size="2M", serial="CLASS")
class TestIt:
    @pytest.mark.scsi_disk(serial="FUNCTION")
    def test_it(self, scsi_disk):
        unit = scsi_disk.logical_unit.hostdata
        assert (unit.spec.size, unit.spec.serial) == (2 << 20, "FUNCTION")
"""
    assert "1 passed" in run_text(tmp_path, text)


def test_the_host_has_the_keys_of_its_marker(tmp_path: Path) -> None:
    text = """
@pytest.mark.scsi_host(can_queue=3, name="two ports")
def test_it(scsi_host, scsi_disk):
    assert (scsi_host.can_queue, scsi_host.info) == (3, "two ports, 1 units")
    assert scsi_disk.logical_unit.names == {"sg": "sg0"}
"""
    assert "1 passed" in run_text(tmp_path, text)


def test_time_stands_still_for_who_asks_for_the_clock(tmp_path: Path) -> None:
    text = """
def test_it(scsi_clock, scsi_subsystem):
    assert scsi_subsystem.clock is scsi_clock
    begin = scsi_clock.monotonic()
    scsi_clock.advance(3600)
    assert scsi_clock.monotonic() - begin == 3600

def test_without(scsi_subsystem):
    assert not hasattr(scsi_subsystem.clock, "advance")
"""
    assert "2 passed" in run_text(tmp_path, text)
