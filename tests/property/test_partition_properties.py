"""Partition tables from outside: any bytes give values that make sense, or nothing."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from midlayer.mid.partition import GptArray, gpt_array, gpt_partitions, partsize, usual_geometry

ENTRIES = st.binary(min_size=64, max_size=64).map(lambda entries: entries + b"\x55\xaa")
BLOCKS = st.integers(0, 1 << 48)


@given(table=st.one_of(st.binary(max_size=80), ENTRIES), blocks=BLOCKS)
def test_any_table(table: bytes, blocks: int) -> None:
    geometry = partsize(table, blocks)
    if geometry is not None:
        assert 1 <= geometry.heads <= 256
        assert 1 <= geometry.sectors <= 63
        assert 0 <= blocks - geometry.heads * geometry.sectors * geometry.cylinders < 256 * 63


@given(heads=st.integers(1, 255), sectors=st.integers(1, 63), end=st.integers(0, 1023), blocks=BLOCKS)
def test_a_partition_that_ends_on_a_cylinder_tells_the_geometry(
    heads: int, sectors: int, end: int, blocks: int
) -> None:
    length = (end + 1) * heads * sectors
    place = bytes((heads - 1, sectors | end >> 2 & 0xC0, end & 0xFF))
    table = struct.pack("<B3sB3sII", 0, bytes(3), 0x83, place, 0, length) + bytes(48) + b"\x55\xaa"
    assert partsize(table, blocks) == (heads, sectors, blocks // (heads * sectors))


@given(blocks=BLOCKS)
def test_the_usual_geometry_fits_in_the_disk(blocks: int) -> None:
    heads, sectors, cylinders = usual_geometry(blocks)
    assert 1 <= heads <= 255
    assert 1 <= sectors <= 63
    assert 0 <= blocks - heads * sectors * cylinders < max(heads * sectors, 1024 * 62)


@given(header=st.one_of(st.binary(max_size=92), st.binary(min_size=84).map(lambda rest: b"EFI PART" + rest)))
def test_any_gpt_header(header: bytes) -> None:
    place = gpt_array(header)
    if place is not None:
        assert place.entries * place.entry_bytes <= 1024 * 4096


@given(array=st.binary(max_size=600), count=st.integers(0, 1024), size=st.integers(128, 4096))
def test_any_gpt_entries(array: bytes, count: int, size: int) -> None:
    for partition in gpt_partitions(array, GptArray(2, count, size)):
        assert 1 <= partition.number <= count
        assert partition.length_blocks >= 1
