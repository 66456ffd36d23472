"""GET LBA STATUS and thin pools (SBC-3 4.7, 5.4), in memory and in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midlayer.lower.virtual.thin import BlockMap
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import sbc

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR = "000000000000"


def status(asker: Any, lba: int = 0, room: int = 4096) -> list[tuple[int, int, int]]:
    """Return first block, number of blocks and provisioning status of each run."""
    cdb = sbc.GetLbaStatus(starting_logical_block_address=lba, allocation_length=room).encode()
    data = bytes(asker(cdb, data_in=room).raise_for_status().data)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    found = [sbc.LbaStatusDescriptor.decode(data[at : at + 16]) for at in range(8, len(data), 16)]
    return [
        (one.logical_block_address, one.number_of_logical_blocks, one.provisioning_status) for one in found
    ]


def write(lba: int, blocks: int) -> tuple[bytes, bytes]:
    return sbc.Write10(logical_block_address=lba, transfer_length=blocks).encode(), b"w" * 512 * blocks


def unmap(lba: int, blocks: int) -> tuple[bytes, bytes]:
    body = sbc.encode_unmap_list(
        [sbc.UnmapBlockDescriptor(unmap_logical_block_address=lba, number_of_logical_blocks=blocks)]
    )
    return sbc.Unmap(parameter_list_length=len(body)).encode(), body


def test_memory_knows_every_block(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(thin=True, size=16 << 20))
    assert status(alice) == [(0, 32768, 1)]
    alice(*write(3, 2))
    alice(*write(10000, 1))
    assert status(alice) == [(0, 3, 1), (3, 2, 0), (5, 9995, 1), (10000, 1, 0), (10001, 22767, 1)]
    alice(*unmap(4, 1))
    assert status(alice, 3) == [(3, 1, 0), (4, 9996, 1), (10000, 1, 0), (10001, 22767, 1)]
    assert status(alice, 3, room=24) == [(3, 1, 0)]
    assert alice.code(sbc.GetLbaStatus(starting_logical_block_address=32768).encode()) == "5/21/00"


def test_write_same_maps_unless_it_unmaps(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(thin=True))
    same = sbc.WriteSame10(logical_block_address=8, number_of_logical_blocks=8)
    assert alice.code(same.encode(), bytes(512)) == "ok"
    assert status(alice, 8, room=24) == [(8, 8, 0)]
    assert alice.code(same.replace(unmap=True).encode(), bytes(512)) == "ok"
    assert status(alice) == [(0, 128, 1)]


def test_a_file_tells_by_its_holes(unit: MakeUnit, initiators: Initiators, tmp_path: Any) -> None:
    alice, _, _ = initiators(unit(thin=True, size=16 << 20, file=tmp_path / "disk"))
    assert status(alice) == [(0, 32768, 1)]
    alice(*write(2048, 128))
    runs = status(alice)
    assert [mapped for _, _, mapped in runs] == [1, 0, 1]
    assert runs[1][0] <= 2048
    assert runs[1][0] + runs[1][1] >= 2176
    assert sum(count for _, count, _ in runs) == 32768
    alice(*unmap(0, 32768))
    assert status(alice) == [(0, 32768, 1)]


@pytest.mark.parametrize("file", [False, True])
def test_a_disk_that_is_not_thin_is_all_mapped(
    unit: MakeUnit, initiators: Initiators, tmp_path: Any, file: bool
) -> None:
    alice, _, _ = initiators(unit(**({"file": tmp_path / "disk"} if file else {})))
    assert status(alice) == [(0, 128, 0)]


@pytest.mark.parametrize("file", [False, True])
def test_a_pool_that_fills_up(unit: MakeUnit, initiators: Initiators, tmp_path: Any, file: bool) -> None:
    keys = {"file": tmp_path / "disk"} if file else {}
    device = unit(thin=True, size=4 << 20, pool_size=1 << 20, pool_threshold=50, **keys)
    alice, bob, _ = initiators(device)
    assert alice.code(*write(0, 512)) == "ok"
    assert alice.code(TUR) == "ok"
    assert alice.code(*write(1024, 768)) == "ok"
    assert (alice.code(TUR), bob.code(TUR)) == ("6/38/07", "6/38/07")
    assert alice.code(*write(1024, 768)) == "ok"  # what is mapped may be written again
    assert alice.code(*write(4096, 1024)) == "7/27/07"
    assert alice.code(*unmap(1024, 768)) == "ok"
    assert alice.code(*write(4096, 1024)) == "ok"
    assert alice.code(TUR) == "6/38/07"
    log = bytes(alice("4d004c0000000000fc00", data_in=252).data)
    assert int.from_bytes(log[8:12], "big") == 0  # available
    assert int.from_bytes(log[20:24], "big") == 1  # used, in MiB


def test_a_long_range_of_a_map_that_is_nearly_empty() -> None:
    blocks = BlockMap()
    blocks.map(1 << 40, 5000)
    assert blocks.run(0, 1 << 41) == (1 << 40, False)
    assert blocks.run(1 << 40, 1 << 41) == (5000, True)
    blocks.unmap(0, (1 << 40) + 4000)
    assert (blocks.mapped, blocks.run(0, 1 << 41)) == (1000, ((1 << 40) + 4000, False))
    assert blocks.unmapped_in(1 << 40, 6000) == 5000
