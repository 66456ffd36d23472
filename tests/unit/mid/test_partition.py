"""Partition tables and BIOS geometries, on bytes that sfdisk 2.38 and parted 3.5 wrote."""

from __future__ import annotations

import pytest

from midlayer.errors import CommandError, DriverError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.dispatch import execute
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.partition import (
    Geometry,
    Partition,
    bios_geometry,
    bios_ptable,
    partitions,
    partsize,
    usual_geometry,
)
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Write10

BLOCKS = 131072  # 64 MiB

ALIGNED = bytes.fromhex(
    # printf 'label: dos\nunit: sectors\n63,64197,83,*\n64260,64260,7\n' | sfdisk --force a.img
    "8001010083fe3f033f000000c5fa00000000010407fe3f0704fb000004fb0000000000000000000000000000000000000000000000000000000000000000000055aa"
)
MODERN = bytes.fromhex(
    # printf 'label: dos\nunit: sectors\n2048,20480,83,*\n22528,,7\n' | sfdisk m.img
    "8020210083662501000800000050000000662601072820080058000000a80100" + 64 * "0" + "55aa"
)
PROTECTIVE = bytes.fromhex(
    # parted -s g.img mklabel gpt mkpart data 2048s 30000s mkpart more 30001s 60000s
    "00000200eeffffff01000000ffff0100" + 96 * "0" + "55aa"
)
GPT_HEADER = bytes.fromhex(
    "4546492050415254000001005c0000000478cc78000000000100000000000000ffff010000000000"
    "2200000000000000deff010000000000e17c6a4d3c91bf419abc727a429ec6cd0200000000000000"
    "80000000800000007bf7162f"
)
GPT_ENTRIES = bytes.fromhex(
    "af3dc60f838472478e793d69d8477de49961d6788cb2f24b969e3c1583ee0ea40008000000000000"
    "30750000000000000000000000000000640061007400610000000000000000000000000000000000"
    + 96
    * "0"
    + "af3dc60f838472478e793d69d8477de44dc73fe3ae136c429daea0983b28165b3175000000000000"
    "60ea00000000000000000000000000006d006f007200650000000000000000000000000000000000" + 96 * "0"
)


@pytest.fixture
def disk() -> LogicalUnit:
    driver = VirtualDriver(Subsystem())
    return driver.add_host(HostSpec(units=(UnitSpec(size=BLOCKS * 512),))).devices()[0]


def write(disk: LogicalUnit, block: int, data: bytes) -> None:
    data = data.ljust(-(-len(data) // 512) * 512, b"\0")
    cdb = Write10(logical_block_address=block, transfer_length=len(data) // 512).encode()
    execute(disk, cdb, data).raise_for_status()


def write_table(disk: LogicalUnit, table: bytes) -> None:
    write(disk, 0, bytes(0x1BE) + table)


def test_bios_ptable_is_66_bytes_whatever_they_are(disk: LogicalUnit) -> None:
    assert bios_ptable(disk) == bytes(66)
    write_table(disk, MODERN)
    assert bios_ptable(disk) == MODERN


def test_partsize_of_a_table_on_cylinder_boundaries() -> None:
    assert partsize(ALIGNED, BLOCKS) == Geometry(255, 63, 8)


@pytest.mark.parametrize(
    "table", [MODERN, PROTECTIVE, bytes(66), bytes(64) + b"\x55\xaa", ALIGNED[:64] + b"\0\0"]
)
def test_partsize_of_tables_that_say_nothing(table: bytes) -> None:
    assert partsize(table, BLOCKS) is None


def test_partsize_without_sectors_in_a_track() -> None:
    assert partsize(ALIGNED[:22] + b"\xc0" + ALIGNED[23:], BLOCKS) is None


def test_partsize_beyond_1023_cylinders() -> None:
    entry = bytes.fromhex("00010100 83 feffff".replace(" ", ""))
    length = 2000 * 255 * 63
    table = entry + (63).to_bytes(4, "little") + (length - 63).to_bytes(4, "little") + bytes(48) + b"\x55\xaa"
    assert partsize(table, length + 5) == Geometry(255, 63, 2000)


@pytest.mark.parametrize(
    ("blocks", "geometry"),
    [
        (BLOCKS, Geometry(3, 43, 1016)),
        (1024 * 62, Geometry(1, 62, 1024)),
        (1, Geometry(1, 1, 1)),
        (16 * 1024 * 1024, Geometry(64, 32, 8192)),
        (1 << 32, Geometry(255, 63, 267349)),
        (40_000_000, Geometry(64, 32, 19531)),
        (0, Geometry(64, 32, 0)),
    ],
)
def test_usual_geometry(blocks: int, geometry: Geometry) -> None:
    assert usual_geometry(blocks) == geometry


def test_the_drivers_word_comes_first_then_the_tables_then_the_usual(disk: LogicalUnit) -> None:
    assert bios_geometry(disk, BLOCKS) == usual_geometry(BLOCKS)
    write_table(disk, ALIGNED)
    assert bios_geometry(disk, BLOCKS) == Geometry(255, 63, 8)
    said: list[tuple[int, int, int] | None] = [None, (16, 32, 256)]
    disk.host.template.bios_param = lambda device, capacity: said.pop(0)  # type: ignore[method-assign]
    assert bios_geometry(disk, BLOCKS) == Geometry(255, 63, 8)
    assert bios_geometry(disk, BLOCKS) == (16, 32, 256)
    with pytest.raises(DriverError, match="raised in bios_param"):
        bios_geometry(disk, BLOCKS)


def test_a_disk_that_can_not_be_read_has_a_geometry_all_the_same(disk: LogicalUnit) -> None:
    driver = disk.host.template
    assert isinstance(driver, VirtualDriver)
    driver.disconnect(disk.host, 0, 0, 0)
    with pytest.raises(CommandError):
        bios_ptable(disk)
    assert bios_geometry(disk, BLOCKS) == usual_geometry(BLOCKS)


def test_partitions_of_a_master_boot_record(disk: LogicalUnit) -> None:
    assert partitions(disk) == []
    write_table(disk, MODERN)
    assert partitions(disk) == [Partition(1, 2048, 20480, "0x83"), Partition(2, 22528, 108544, "0x07")]


def test_partitions_of_a_gpt(disk: LogicalUnit) -> None:
    write_table(disk, PROTECTIVE)
    assert partitions(disk) == []
    write(disk, 1, GPT_HEADER)
    write(disk, 2, GPT_ENTRIES)
    linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
    assert partitions(disk) == [
        Partition(1, 2048, 27953, linux, "data"),
        Partition(2, 30001, 30000, linux, "more"),
    ]


@pytest.mark.parametrize(("at", "value"), [(80, 0xFFFFFFFF), (84, 1), (84, 1 << 31)])
def test_a_gpt_that_claims_too_much_has_no_partitions(disk: LogicalUnit, at: int, value: int) -> None:
    write_table(disk, PROTECTIVE)
    write(disk, 1, GPT_HEADER[:at] + value.to_bytes(4, "little") + GPT_HEADER[at + 4 :])
    assert partitions(disk) == []
