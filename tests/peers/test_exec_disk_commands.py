"""The commands of a disk, sent by Debian's sg3_utils and judged by libiscsi's test suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from midlayer.upper.sg import execute

pytestmark = pytest.mark.tools

Machine = Any
DISK = "/dev/sg0"


@pytest.fixture
def block(tmp_path: Path) -> str:
    """A file with two blocks, the first of zeros."""
    path = tmp_path / "block"
    path.write_bytes(bytes(512) + b"\xa5" * 512)
    return str(path)


def read(machine: Machine, lba: int) -> bytes:
    cdb = bytes((0x28, 0)) + lba.to_bytes(4, "big") + bytes((0, 0, 1, 0))
    return bytes(execute(machine.device("sg0"), cdb, data_in=512).raise_for_status().data)


def test_sg_persist(machine: Machine) -> None:
    machine.run("sg_persist", "--out", "--register", "--param-sark=0xabc", DISK)
    machine.run("sg_persist", "--out", "--reserve", "--param-rk=0xabc", "--prout-type=5", DISK)
    printed = machine.run("sg_persist", "--in", "--read-reservation", DISK)
    assert "Key=0xabc" in printed
    assert "Write Exclusive, registrants only" in printed
    assert "<< Reservation holder >>" in machine.run("sg_persist", "--in", "--read-full-status", DISK)
    assert "Exclusive Access, all registrants: 1" in machine.run("sg_persist", "-c", DISK)
    machine.run("sg_persist", "--out", "--clear", "--param-rk=0xabd", DISK, status=24)
    machine.run("sg_persist", "--out", "--clear", "--param-rk=0xabc", DISK)
    assert "NO registered reservation keys" in machine.run("sg_persist", "--in", "--read-keys", DISK)


def test_sg_logs(machine: Machine) -> None:
    printed = machine.run("sg_logs", "--all", DISK)
    assert "Current temperature = 30 C" in printed
    assert "Total uncorrected errors = 0" in printed
    assert "Available LBA mapping threshold resource count: 16" in printed


def test_sg_opcodes(machine: Machine) -> None:
    printed = machine.run("sg_opcodes", DISK)
    for text in (
        "Compare and write",
        "Persistent reserve out, preempt",
        "Extended copy(LID1)",
        "Sanitize, overwrite",
    ):
        assert text in printed
    assert "Logical unit reset" in machine.run("sg_opcodes", "--tmf", DISK)


def test_mode_select_by_sdparm_and_sg_wr_mode(machine: Machine) -> None:
    machine.run("sdparm", "--clear=WCE", DISK)
    # Status 5: it asks for saved values as well, and there are none.
    assert re.search(r"WCE +0 +\[cha: y, def:  1\]", machine.run("sdparm", "--get=WCE", DISK, status=5))
    machine.run("sg_wr_mode", "-p", "8", "-c", "08,12,04", "-m", "ff,ff,04", DISK)
    assert re.search(r"WCE +1", machine.run("sdparm", "--get=WCE", DISK, status=5))


def test_writes_that_look(machine: Machine, block: str) -> None:
    machine.run("sg_compare_and_write", f"--in={block}", "--lba=9", "--num=1", DISK)
    assert read(machine, 9) == b"\xa5" * 512
    machine.run("sg_compare_and_write", f"--in={block}", "--lba=9", "--num=1", DISK, status=14)
    machine.run("sg_verify", "--lba=9", "--count=1", "--ndo=512", f"--in={block}", DISK, status=14)
    machine.run("sg_write_verify", "--16", "--lba=9", "--num=1", f"--in={block}", "--ilen=512", DISK)
    assert read(machine, 9) == bytes(512)
    machine.run("sg_write_x", "--or", "--lba=9", "--num=1", f"--in={block}", DISK)
    machine.run("sg_write_x", "--atomic=0", "--16", "--lba=9", "--num=1", f"--in={block}", DISK)
    machine.run("sg_verify", "--lba=9", "--count=1", "--ndo=512", f"--in={block}", DISK)


def test_thin_provisioning(machine: Machine, block: str) -> None:
    machine.run("sg_write_same", "--16", "--lba=8", "--num=8", f"--in={block}", "--xferlen=512", DISK)
    printed = machine.run("sg_get_lba_status", "--lba=0", "--maxlen=128", DISK)
    assert re.search(r"LBA: 0x0000000000000008 +blocks: +8 +mapped", printed)
    machine.run("sg_unmap", "--force", "--lba=0", "--num=16", DISK)
    printed = machine.run("sg_get_lba_status", "--lba=0", DISK)
    assert re.search(r"LBA: 0x0000000000000000 +blocks: +32768 +deallocated", printed)


def test_sg_xcopy(machine: Machine) -> None:
    write = bytes.fromhex("2a000000000000000800")
    assert execute(machine.device("sg0"), write, data_out=b"copied" * 682 + bytes(4)).ok
    assert "1 command" in machine.run("sg_xcopy", f"if={DISK}", f"of={DISK}", "bs=512", "count=8", "seek=64")
    assert read(machine, 64)[:6] == b"copied"
    assert "Copy from block device to block device" in machine.run("sg_copy_results", "--params", DISK)


def test_sanitize_and_format(machine: Machine) -> None:
    assert execute(machine.device("sg0"), bytes.fromhex("2a000000000000000100"), data_out=b"x" * 512).ok
    machine.run("sg_sanitize", "--block", "--quick", "--wait", DISK)
    assert read(machine, 0) == bytes(512)
    assert execute(machine.device("sg0"), bytes.fromhex("2a000000000000000100"), data_out=b"x" * 512).ok
    machine.run("sg_format", "--format", "--wait", "-Q", DISK)
    assert read(machine, 0) == bytes(512)


def test_start_stop_and_prevent(machine: Machine) -> None:
    machine.run("sg_start", "--stop", DISK)
    machine.run("sg_turs", DISK, status=2)
    machine.run("sg_start", "--start", DISK)
    machine.run("sg_turs", DISK)
    machine.run("sg_prevent", "--prevent=1", DISK)
    machine.run("sg_prevent", "--allow", DISK)


def test_diagnostics_and_buffers(machine: Machine) -> None:
    assert "self-test returned GOOD" in machine.run("sg_senddiag", "--test", DISK)
    assert "Success" in machine.run("sg_test_rwbuf", "--size=1024", DISK)
    assert "capacity=65536" in machine.run("sg_rbuf", "--size=10K", DISK)
    machine.run("sg_sync", DISK)
    machine.run("sg_read_long", "--lba=0", DISK, status=9)


def test_vpd_pages(machine: Machine) -> None:
    assert "Extended copy(LID1)" in machine.run("sg_vpd", "-p", "tpc", DISK)
    assert "Policy: shared" in machine.run("sg_vpd", "-p", "mpp", DISK)
    assert "Relative port=1" in machine.run("sg_vpd", "-p", "0x88", DISK)
    assert "Maximum atomic transfer length: 65536" in machine.run("sg_vpd", "-p", "bl", DISK)


@pytest.mark.parametrize(
    "suite",
    [
        *(
            "LINUX.CompareAndWrite",
            "LINUX.GetLBAStatus",
            "LINUX.Inquiry",
            "LINUX.ModeSense6",
            "LINUX.OrWrite",
        ),
        *("LINUX.ReportSupportedOpcodes", "LINUX.Unmap", "LINUX.WriteAtomic16", "LINUX.WriteSame16"),
        *("SCSI.ExtendedCopy", "SCSI.ReceiveCopyResults", "SCSI.PrinReadKeys", "SCSI.ProutClear"),
    ],
)
def test_libiscsis_suites(machine: Machine, suite: str) -> None:
    printed = machine.run("iscsi-test-cu", "--dataloss", f"--test={suite}", DISK)
    assert re.search(r"tests +(\d+) +\1 +\1 +0 +0", printed), printed[-2000:]
