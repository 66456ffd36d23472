"""Debian's sg3_utils, sdparm and lsscsi, unmodified, on nodes that only the preload library knows.

What sg3_utils make of the commands of a disk is in `test_exec_disk_commands`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from midlayer.standards.designators import wwid
from midlayer.standards.sense import SenseKey
from midlayer.upper.sg import execute

pytestmark = pytest.mark.tools

Machine = Any


def test_sg_inq_prints_our_identity(machine: Machine) -> None:
    printed = machine.run("sg_inq", "/dev/sg0")
    device = machine.device("sg0")
    assert f"Vendor identification: {device.vendor}" in printed
    assert f"Product identification: {device.model}" in printed
    assert "Unit serial number: PEER0001" in printed


def test_sg_raw_reads_the_bytes_that_we_have(machine: Machine, tmp_path: Path) -> None:
    got = tmp_path / "got"
    machine.run("sg_raw", "-r", "96", "-o", str(got), "/dev/sg1", *["12", "00", "00", "00", "60", "00"])
    assert got.read_bytes() == machine.device("sg1").inquiry_data[:96]


def test_sg_inq_works_on_the_bsg_node(machine: Machine) -> None:
    assert "Second disk" in machine.run("sg_inq", "/dev/bsg/0:0:0:1")


@pytest.mark.parametrize("page", ["sv", "sn", "di", "bl", "bdc"])
def test_sg_vpd(machine: Machine, page: str) -> None:
    assert "VPD page" in machine.run("sg_vpd", "-p", page, "/dev/sg0")


def test_sg_vpd_prints_our_naa(machine: Machine) -> None:
    name = wwid(machine.device("sg0").vpd_pages[0x83]) or ""
    assert name.replace("naa.", "0x") in machine.run("sg_vpd", "-p", "di", "/dev/sg0")


def test_sg_raw_moves_data_both_ways(machine: Machine, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(bytes(range(256)) * 2)
    rest = ["00", "00", "00", "00", "07", "00", "00", "01", "00"]
    machine.run("sg_raw", "-s", "512", "-i", str(sent), "/dev/sg0", "2a", *rest)
    machine.run("sg_raw", "-r", "512", "-o", str(got), "/dev/sg0", "28", *rest)
    assert got.read_bytes() == sent.read_bytes()


def test_sg_raw_shows_the_sense(machine: Machine) -> None:
    printed = machine.run("sg_raw", "/dev/sg0", *["ff", "00", "00", "00", "00", "00"], status=9)
    assert "Illegal Request" in printed
    assert "Invalid command operation code" in printed


def test_sg_turs_a_thousand_times(machine: Machine) -> None:
    assert "1000 Test Unit Ready commands with 0 errors" in machine.run("sg_turs", "-n", "1000", "/dev/sg0")


def test_sg_turs_of_a_device_that_is_offline(machine: Machine) -> None:
    machine.daemon.set_state("sg0", "offline")
    machine.run("sg_turs", "/dev/sg0", status=2)  # what sg3_utils make of ENXIO


def test_sg_readcap(machine: Machine) -> None:
    printed = machine.run("sg_readcap", "--long", "/dev/sg1")
    assert "Number of logical blocks=4096" in printed
    assert "Logical block length=4096 bytes" in printed


def test_sg_luns(machine: Machine) -> None:
    printed = machine.run("sg_luns", "/dev/sg0")
    luns = re.findall(r"^    ([0-9a-f]{16})", printed, re.MULTILINE)
    assert luns == ["0000000000000000", "0001000000000000"]


def test_sg_map(machine: Machine) -> None:
    lines = machine.run("sg_map", "-x", "-i").splitlines()
    assert [line.split()[:6] for line in lines] == [
        ["/dev/sg0", "0", "0", "0", "0", "0"],
        ["/dev/sg1", "0", "0", "0", "1", "0"],
        ["/dev/sg2", "0", "0", "1", "0", "5"],
    ]


def test_sg_scan(machine: Machine) -> None:
    printed = machine.run("sg_scan", "-i")
    assert "/dev/sg2: scsi0 channel=0 id=1 lun=0" in printed
    assert printed.count("MIDLAYER") == 3


def test_sg_modes(machine: Machine) -> None:
    printed = machine.run("sg_modes", "/dev/sg0")
    assert "Caching, page_control: current" in printed


def test_sg_requests(machine: Machine) -> None:
    assert "Sense key: No Sense" in machine.run("sg_requests", "/dev/sg0")


def test_sg_opcodes(machine: Machine) -> None:
    printed = machine.run("sg_opcodes", "/dev/sg0")
    assert re.search(r"^ 12 .*Inquiry", printed, re.MULTILINE)


def test_sg_format_without_the_order_to_format(machine: Machine) -> None:
    assert "No changes made" in machine.run("sg_format", "/dev/sg0")


@pytest.mark.parametrize(
    ("program", "arguments", "opcode"),
    [
        ("sg_persist", ("-k",), "5e 00 00 00 00 00 00 00 08 00"),
        ("sg_logs", (), "4d 00 40 00 00 00 00 00 04 00"),
        ("sg_ses", (), "1c 01 00 00 08 00"),
    ],
)
def test_what_the_device_can_not_do_is_said(
    machine: Machine, program: str, arguments: tuple[str, ...], opcode: str
) -> None:
    answer = execute(machine.device("sg0"), bytes.fromhex(opcode), data_in=8)
    if answer.ok:
        machine.run(program, *arguments, "/dev/sg0")
    else:
        assert answer.sense is not None
        machine.run(program, *arguments, "/dev/sg0", status=9 if answer.sense.asc == 0x20 else 5)


def test_sg_reset_reaches_the_driver(machine: Machine) -> None:
    machine.run("sg_reset", "-d", "/dev/sg0")
    sense = execute(machine.device("sg0"), bytes(6)).sense
    assert sense is not None
    assert (sense.key, sense.asc) == (SenseKey.UNIT_ATTENTION, 0x29)


COPIES = [
    ("sg_dd", ()),
    ("sg_dd", ("iflag=dio",)),
    ("sg_dd", ("blk_sgio=1",)),
    ("sg_dd", ("bpt=1",)),
    ("sgp_dd", ("thr=4",)),
    ("sgp_dd", ("thr=4", "iflag=mmap")),
    ("sgm_dd", ()),
]


@pytest.mark.parametrize(("program", "flags"), COPIES)
def test_copies_come_and_go_whole(
    machine: Machine, tmp_path: Path, program: str, flags: tuple[str, ...]
) -> None:
    data = bytes(range(251)) * 4177 + bytes(149)
    assert len(data) == 2048 * 512
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(data)
    machine.run(program, f"if={first}", "of=/dev/sg0", "bs=512", "count=2048", "seek=100")
    machine.run(program, "if=/dev/sg0", f"of={second}", "bs=512", "count=2048", "skip=100", *flags)
    assert second.read_bytes() == data
    read = execute(machine.device("sg0"), bytes.fromhex("28 00 00 00 00 64 00 08 00 00"), data_in=2048 * 512)
    assert bytes(read.data) == data


@pytest.mark.parametrize("program", ["sg_dd", "sgp_dd", "sgm_dd"])
def test_copies_from_node_to_node(machine: Machine, program: str) -> None:
    machine.run("sg_dd", "if=/dev/urandom", "of=/dev/sg0", "bs=512", "count=256")
    machine.run(program, "if=/dev/sg0", "of=/dev/sg0", "bs=512", "count=256", "seek=1000")
    halves = [
        bytes(execute(machine.device("sg0"), bytes.fromhex(cdb), data_in=256 * 512).data)
        for cdb in ("28 00 00 00 00 00 00 01 00 00", "28 00 00 00 03 e8 00 01 00 00")
    ]
    assert halves[0] == halves[1]


def test_sdparm(machine: Machine) -> None:
    # It asks for the saved values too, and ends with the status of their refusal (5/39/00).
    assert "WCE           1" in machine.run("sdparm", "--get=WCE", "/dev/sg0", status=5)
    assert "Device identification" in machine.run("sdparm", "-i", "/dev/sg0")


def test_lsscsi_with_generic_nodes(machine: Machine) -> None:
    lines = machine.run("lsscsi", "-g").splitlines()
    assert [line.split()[0] for line in lines] == ["[0:0:0:0]", "[0:0:0:1]", "[0:0:1:0]"]
    assert [line.split()[-1] for line in lines] == ["/dev/sg0", "/dev/sg1", "/dev/sg2"]
    assert "cd/dvd" in lines[2]


def test_lsscsi_of_hosts_and_attributes(machine: Machine) -> None:
    assert "virtual" in machine.run("lsscsi", "-H")
    assert f"queue_depth={machine.device('sg0').queue_depth}" in machine.run("lsscsi", "-L")


def test_a_shell_sees_nodes_files_and_attributes(machine: Machine) -> None:
    script = "ls /dev/sg*; cat /sys/class/scsi_generic/sg1/dev; cd /proc/scsi/sg && cat version"
    assert machine.run("sh", "-c", script).splitlines() == [
        "/dev/sg0", "/dev/sg1", "/dev/sg2", "21:1", "30536\t3.5.36 [20140603]",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_what_a_shell_writes_is_obeyed(machine: Machine, shell: str) -> None:
    script = "echo 1 > /proc/scsi/sg/allow_dio; cat /proc/scsi/sg/allow_dio"
    assert machine.run(shell, "-c", script) == "1\n"


def test_delete_and_scan_by_sysfs(machine: Machine) -> None:
    delete = "echo 1 > /sys/class/scsi_generic/sg1/device/delete; lsscsi -g | wc -l"
    assert machine.run("sh", "-c", delete).strip() == "2"
    scan = 'echo "- - -" > /sys/class/scsi_host/host0/scan; lsscsi -g | wc -l'
    assert machine.run("sh", "-c", scan).strip() == "3"


def test_ls_shows_character_devices(machine: Machine) -> None:
    printed = machine.run("ls", "-l", "/dev/sg2", "/dev/bsg")
    assert re.search(r"^crw.* 21, +2 .*/dev/sg2$", printed, re.MULTILINE)
    assert re.search(r"^crw.* 0:0:1:0$", printed, re.MULTILINE)
