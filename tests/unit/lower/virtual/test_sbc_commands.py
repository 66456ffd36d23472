"""Commands of the virtual disk: SBC-3, with the bytes written out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.dispatch import run
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.sense import FieldPointer
from midlayer.upper.sg import execute

MakeUnit = Callable[..., LogicalUnit]


def cdb(opcode: int, lba: int, blocks: int, flags: int = 0) -> bytes:
    """Return the CDB of a command that has an LBA and a length, in its own width."""
    group = opcode >> 5
    if group == 0:
        return bytes((opcode, lba >> 16, lba >> 8 & 0xFF, lba & 0xFF, blocks & 0xFF, 0))
    if group in (1, 2):
        return bytes((opcode, flags)) + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"
    if group == 5:
        return bytes((opcode, flags)) + lba.to_bytes(4, "big") + blocks.to_bytes(4, "big") + b"\0\0"
    return bytes((opcode, flags)) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + b"\0\0"


def code(result: Result) -> str:
    return result.sense.code if result.sense else f"host {result.host_byte} status {result.status}"


def pointer(result: Result) -> FieldPointer | None:
    return result.sense.field_pointer if result.sense else None


def pattern(length: int, seed: int = 1) -> bytes:
    return bytes((seed + index * 7) % 251 for index in range(length))


READS = {6: 0x08, 10: 0x28, 12: 0xA8, 16: 0x88}
WRITES = {6: 0x0A, 10: 0x2A, 12: 0xAA, 16: 0x8A}
VERIFIES = {10: 0x2F, 12: 0xAF, 16: 0x8F}
OUT_OF_RANGE, WRITE_PROTECTED = "5/21/00", "7/27/00"


@pytest.mark.parametrize("block_size", [512, 4096])
@pytest.mark.parametrize("width", READS)
def test_read_what_was_written(unit: MakeUnit, width: int, block_size: int) -> None:
    device = unit(block_size=block_size, size=block_size * 300)
    for lba, blocks in ((0, 1), (0, 4), (7, 3), (299, 1), (298, 2), (44, 256)):
        data = pattern(blocks * block_size, lba)
        written = execute(device, cdb(WRITES[width], lba, blocks), data_out=data)
        assert (written.ok, written.residual) == (True, 0)
        read = execute(device, cdb(READS[width], lba, blocks), data_in=len(data))
        assert (bytes(read.data), read.residual) == (data, 0)


def test_length_0_of_the_6_byte_commands_is_256_blocks(unit: MakeUnit) -> None:
    device = unit(size=512 * 257)
    data = pattern(256 * 512)
    assert execute(device, cdb(WRITES[6], 1, 0), data_out=data).ok
    result = execute(device, cdb(READS[6], 1, 0), data_in=256 * 512)
    assert bytes(result.data) == data
    assert code(execute(device, cdb(READS[6], 2, 0), data_in=512)) == OUT_OF_RANGE


@pytest.mark.parametrize("width", [10, 12, 16])
def test_length_0_moves_nothing(unit: MakeUnit, width: int) -> None:
    device = unit()
    buffer = bytearray(b"x" * 512)
    assert execute(device, cdb(READS[width], 127, 0), data_in=buffer).residual == 512
    assert execute(device, cdb(WRITES[width], 127, 0), data_out=bytes(512)).residual == 512
    assert buffer == b"x" * 512


@pytest.mark.parametrize("width", READS)
@pytest.mark.parametrize(("room", "moved"), [(2048, 1024), (1024, 1024), (700, 700), (0, 0)])
def test_residual_of_reads(unit: MakeUnit, width: int, room: int, moved: int) -> None:
    device = unit()
    execute(device, cdb(WRITES[width], 5, 2), data_out=pattern(1024))
    buffer = bytearray(b"\xee" * room)
    result = execute(device, cdb(READS[width], 5, 2), data_in=buffer)
    assert (result.ok, result.residual) == (True, room - moved)
    assert buffer == pattern(1024)[:moved] + b"\xee" * (room - moved)


@pytest.mark.parametrize("width", WRITES)
def test_writes_with_more_and_with_less_data(unit: MakeUnit, width: int) -> None:
    device = unit()
    result = execute(device, cdb(WRITES[width], 3, 1), data_out=b"\xaa" * 700)
    assert (result.ok, result.residual) == (True, 188)
    result = execute(device, cdb(WRITES[width], 3, 2), data_out=b"\xbb" * 700)
    assert (result.host_byte, result.residual) == (HostByte.DID_ERROR, 700)
    stored = execute(device, cdb(READS[10], 3, 2), data_in=1024)
    assert bytes(stored.data) == b"\xaa" * 512 + bytes(512)


@pytest.mark.parametrize("opcode", [*READS.values(), *WRITES.values()])
def test_a_buffer_in_the_wrong_direction_is_not_touched(unit: MakeUnit, opcode: int) -> None:
    device = unit()
    buffer = bytearray(b"\xee" * 512)
    if opcode in READS.values():
        assert execute(device, cdb(opcode, 0, 1), data_out=buffer).residual == 512
    else:
        result = execute(device, cdb(opcode, 0, 1), data_in=buffer)
        assert (result.host_byte, result.residual) == (HostByte.DID_ERROR, 512)
    assert buffer == b"\xee" * 512


LBA_COMMANDS = [*READS.values(), *WRITES.values(), *VERIFIES.values(), 0x35, 0x91, 0x41, 0x93]


@pytest.mark.parametrize("opcode", LBA_COMMANDS)
@pytest.mark.parametrize(("lba", "blocks"), [(128, 1), (127, 2), (0x1FFFFF, 1), (129, 0)])
def test_lba_out_of_range(unit: MakeUnit, opcode: int, lba: int, blocks: int) -> None:
    device = unit()
    result = execute(
        device, cdb(opcode, lba, blocks), data_out=bytes(1024) if opcode not in READS.values() else None
    )
    assert code(result) == OUT_OF_RANGE


@pytest.mark.parametrize("opcode", [0x88, 0x8A, 0x8F, 0x91, 0x93])
def test_the_last_lba_of_all(unit: MakeUnit, opcode: int) -> None:
    assert code(execute(unit(), cdb(opcode, (1 << 64) - 1, 0xFFFFFFFF))) == OUT_OF_RANGE


@pytest.mark.parametrize("opcode", [0x28, 0xA8, 0x88, 0x2A, 0xAA, 0x8A, 0x2F, 0xAF, 0x8F, 0x41, 0x93])
def test_protection_is_not_supported(unit: MakeUnit, opcode: int) -> None:
    result = execute(unit(), cdb(opcode, 0, 1, flags=0x20), data_out=bytes(512))
    assert (code(result), pointer(result)) == ("5/24/00", FieldPointer(True, 1, 7))


@pytest.mark.parametrize(("opcode", "byte"), [(0xA8, 6), (0x88, 10), (0xAA, 6), (0x8A, 10)])
def test_more_than_the_block_limits_page_says(unit: MakeUnit, opcode: int, byte: int) -> None:
    device = unit(size=1 << 30)
    result = execute(device, cdb(opcode, 0, 65537), data_out=b"" if opcode in WRITES.values() else None)
    assert (code(result), pointer(result)) == ("5/24/00", FieldPointer(True, byte))


@pytest.mark.parametrize("opcode", [*WRITES.values(), 0x41, 0x93])
def test_write_protect(unit: MakeUnit, opcode: int) -> None:
    device = unit(write_protected=True)
    assert code(execute(device, cdb(opcode, 0, 1), data_out=bytes(512))) == WRITE_PROTECTED
    assert execute(device, cdb(0x28, 0, 1), data_in=512).ok


def test_unmap_of_a_write_protected_disk(unit: MakeUnit) -> None:
    assert code(execute(unit(write_protected=True, thin=True), bytes((0x42, *bytes(9))))) == WRITE_PROTECTED


def test_read_capacity(unit: MakeUnit) -> None:
    device = unit(size=4096 * 10, block_size=4096, thin=True)
    result = execute(device, bytes((0x25, *bytes(9))), data_in=32)
    assert (bytes(result.data).hex(), result.residual) == ("0000000900001000", 24)
    result = execute(device, bytes((0x9E, 0x10, *bytes(11), 32, 0, 0)), data_in=32)
    assert bytes(result.data).hex() == "000000000000000900001000" + "0000c000" + "00" * 16
    result = execute(device, bytes((0x9E, 0x10, *bytes(11), 12, 0, 0)), data_in=32)
    assert (len(result.data), result.residual) == (12, 20)


def test_physical_blocks(unit: MakeUnit) -> None:
    device = unit(thin=True, physical_block_size=16384)
    result = execute(device, bytes((0x9E, 0x10, *bytes(11), 32, 0, 0)), data_in=32)
    assert bytes(result.data)[13:16].hex() == "05c000"
    limits = bytes(execute(device, bytes.fromhex("1201b0004000"), data_in=64).data)
    assert int.from_bytes(limits[6:8], "big") == int.from_bytes(limits[28:32], "big") == 32


def test_read_capacity_of_a_large_disk(unit: MakeUnit) -> None:
    device = unit(size=4 << 40)
    assert bytes(execute(device, bytes((0x25, *bytes(9))), data_in=8).data[:4]) == b"\xff" * 4
    result = execute(device, bytes((0x9E, 0x10, *bytes(11), 32, 0, 0)), data_in=32)
    assert int.from_bytes(result.data[:8], "big") == (4 << 40) // 512 - 1
    edge = cdb(WRITES[16], (4 << 40) // 512 - 1, 1)
    assert execute(device, edge, data_out=pattern(512)).ok


def test_fields_of_read_capacity_that_are_refused(unit: MakeUnit) -> None:
    device = unit()
    for command, byte, bit in (
        (bytes((0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0)), 2, None),
        (bytes((0x9E, 0x10, *bytes(7), 1, *bytes(6))), 2, None),
        (bytes((0x9E, 0x11, *bytes(14))), 1, 4),
        (bytes((0x9E, 0x10, *bytes(4))), 5, None),
    ):
        result = execute(device, command, data_in=32)
        assert (code(result), pointer(result)) == ("5/24/00", FieldPointer(True, byte, bit))


@pytest.mark.parametrize("opcode", [0x35, 0x91])
def test_synchronize_cache(unit: MakeUnit, opcode: int) -> None:
    device = unit()
    assert execute(device, cdb(opcode, 0, 0)).ok
    assert execute(device, cdb(opcode, 127, 1), data_in=64).residual == 64


@pytest.mark.parametrize("opcode", VERIFIES.values())
@pytest.mark.parametrize("block_size", [512, 4096])
def test_verify(unit: MakeUnit, opcode: int, block_size: int) -> None:
    device = unit(block_size=block_size, size=block_size * 16)
    data = pattern(2 * block_size)
    execute(device, cdb(WRITES[10], 3, 2), data_out=data)
    assert execute(device, cdb(opcode, 3, 2), data_out=b"abc").residual == 3
    assert execute(device, cdb(opcode, 3, 2, flags=0x02), data_out=data).ok
    for at in (0, 5, block_size, 2 * block_size - 1):
        other = bytearray(data)
        other[at] ^= 1
        result = execute(device, cdb(opcode, 3, 2, flags=0x02), data_out=other)
        assert result.sense is not None
        assert (result.sense.code, result.sense.information) == ("e/1d/00", at)
    short = execute(device, cdb(opcode, 3, 2, flags=0x02), data_out=data[:-1])
    assert code(short) == "5/1a/00"
    reserved = execute(device, cdb(opcode, 3, 2, flags=0x04), data_out=data)
    assert (code(reserved), pointer(reserved)) == ("5/24/00", FieldPointer(True, 1, 2))


@pytest.mark.parametrize("opcode", VERIFIES.values())
def test_verify_one_block_with_many(unit: MakeUnit, opcode: int) -> None:
    device = unit(size=8 << 20)
    assert execute(device, cdb(opcode, 0, 8 << 11, flags=0x06), data_out=bytes(512)).ok
    execute(device, cdb(WRITES[10], 9000, 1), data_out=bytes(511) + b"x")
    result = execute(device, cdb(opcode, 1, 10000, flags=0x06), data_out=bytes(512))
    assert result.sense is not None
    assert result.sense.information == 8999 * 512 + 511


def unmap(*ranges: tuple[int, int], length: int | None = None) -> tuple[bytes, bytes]:
    body = b"".join(lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(4) for lba, blocks in ranges)
    data = (len(body) + 6).to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes(4) + body
    size = len(data) if length is None else length
    return bytes((0x42, *bytes(6))) + size.to_bytes(2, "big") + b"\0", data


def test_unmap(unit: MakeUnit) -> None:
    device = unit(thin=True)
    execute(device, cdb(WRITES[10], 0, 128), data_out=b"x" * 65536)
    command, data = unmap((3, 2), (100, 28), (9, 0))
    assert execute(device, command, data_out=data).ok
    stored = bytes(execute(device, cdb(READS[10], 0, 128), data_in=65536).data)
    zeros = {block for block in range(128) if not any(stored[block * 512 : block * 512 + 512])}
    assert zeros == {3, 4, *range(100, 128)}


def test_unmap_refused(unit: MakeUnit) -> None:
    device = unit(thin=True)
    execute(device, cdb(WRITES[10], 0, 1), data_out=b"x" * 512)
    command, data = unmap((0, 1), (128, 1))
    assert code(execute(device, command, data_out=data)) == OUT_OF_RANGE
    assert execute(device, cdb(READS[10], 0, 1), data_in=512).data[0] == ord("x")  # all or nothing
    command, data = unmap(*[(0, 0)] * 257)
    result = execute(device, command, data_out=data)
    assert (code(result), pointer(result)) == ("5/26/00", FieldPointer(False, 2))
    assert code(execute(device, unmap(length=7)[0], data_out=bytes(8))) == "5/1a/00"
    assert code(execute(device, unmap((0, 1))[0], data_out=bytes(23))) == "5/1a/00"
    assert execute(device, unmap(length=0)[0]).ok
    anchor = bytes((0x42, 1, *bytes(8)))
    assert pointer(execute(device, anchor)) == FieldPointer(True, 1, 0)
    assert code(execute(unit(), command, data_out=data)) == "5/20/00"


@pytest.mark.parametrize("opcode", [0x41, 0x93])
@pytest.mark.parametrize("block", [b"\xab" * 512, bytes(512), bytes(511) + b"\x01"])
def test_write_same(unit: MakeUnit, opcode: int, block: bytes) -> None:
    device = unit()
    execute(device, cdb(WRITES[10], 0, 128), data_out=b"x" * 65536)
    assert execute(device, cdb(opcode, 2, 3), data_out=block).ok
    stored = bytes(execute(device, cdb(READS[10], 0, 128), data_in=65536).data)
    assert stored == b"x" * 1024 + block * 3 + b"x" * (123 * 512)
    assert execute(device, cdb(opcode, 126, 0), data_out=block).ok  # 0 blocks: to the end
    assert bytes(execute(device, cdb(READS[10], 125, 3), data_in=1536).data) == b"x" * 512 + block * 2


def test_write_same_of_many_blocks(unit: MakeUnit) -> None:
    device = unit(size=3 << 20)
    assert execute(device, cdb(0x93, 1, 0), data_out=pattern(512)).ok
    assert bytes(execute(device, cdb(READS[10], 6000, 2), data_in=1024).data) == pattern(512) * 2
    assert not any(execute(device, cdb(READS[10], 0, 1), data_in=512).data)


def test_write_same_without_data_and_with_unmap(unit: MakeUnit) -> None:
    device = unit(thin=True)
    execute(device, cdb(WRITES[10], 0, 128), data_out=b"x" * 65536)
    assert execute(device, cdb(0x93, 1, 2, flags=0x01), data_out=b"abc").residual == 3
    assert execute(device, cdb(0x93, 4, 1, flags=0x08), data_out=bytes(512)).ok
    assert execute(device, cdb(0x41, 5, 1, flags=0x08), data_out=b"y" * 512).ok
    stored = bytes(execute(device, cdb(READS[10], 0, 6), data_in=6 * 512).data)
    assert stored[::512] == b"x\0\0x\0\0"  # UNMAP unmaps, whatever the pattern is


@pytest.mark.parametrize("opcode", [0x41, 0x93])
def test_write_same_refused(unit: MakeUnit, opcode: int) -> None:
    device = unit()
    assert pointer(execute(device, cdb(opcode, 0, 1, flags=0x08), data_out=bytes(512))) == FieldPointer(
        True, 1, 3
    )
    assert pointer(execute(device, cdb(opcode, 0, 1, flags=0x10), data_out=bytes(512))) == FieldPointer(
        True, 1, 4
    )
    assert code(execute(device, cdb(opcode, 0, 1), data_out=bytes(511))) == "5/1a/00"
    assert code(execute(device, cdb(opcode, 128, 0), data_out=bytes(512))) == OUT_OF_RANGE


@pytest.mark.parametrize("opcode", [op for op in LBA_COMMANDS if op >= 0x20] + [0x25, 0x42])
def test_a_cdb_that_is_too_short_changes_nothing(unit: MakeUnit, opcode: int) -> None:
    device = unit(thin=True)
    execute(device, cdb(WRITES[10], 0, 1), data_out=b"x" * 512)
    result = execute(device, bytes((opcode, *bytes(5))), data_out=bytes(512))
    assert (code(result), pointer(result)) == ("5/24/00", FieldPointer(True, 5))
    assert bytes(execute(device, cdb(READS[10], 0, 1), data_in=512).data) == b"x" * 512


def test_a_cd(unit: MakeUnit) -> None:
    device = unit(type=5, size=2048 * 4)
    assert bytes(execute(device, bytes((0x25, *bytes(9))), data_in=8).data).hex() == "0000000300000800"
    assert execute(device, cdb(READS[10], 3, 1), data_in=2048).ok
    assert execute(device, cdb(READS[12], 3, 1), data_in=2048).ok
    for opcode in (*WRITES.values(), 0x88, 0x08):
        assert code(execute(device, cdb(opcode, 0, 1), data_out=bytes(2048))) == "5/20/00"


def lend(device: LogicalUnit, lba: int, blocks: int, room: int) -> Command:
    """Read with a buffer that the submitter does not insist on."""
    command = Command(device, cdb(READS[10], lba, blocks), None, memoryview(bytearray(room)))
    command.borrows = True
    run(command)
    return command


def test_a_read_that_borrows_gets_the_mediums_own_memory(unit: MakeUnit) -> None:
    device = unit()
    execute(device, cdb(WRITES[10], 2, 32), data_out=pattern(16384))
    command = lend(device, 2, 32, 16384)
    assert command.data_in is not None
    assert (command.data_in.readonly, bytes(command.data_in), command.residual) == (True, pattern(16384), 0)
    execute(device, cdb(WRITES[10], 2, 1), data_out=b"n" * 512)
    assert bytes(command.data_in[:512]) == b"n" * 512, "no copy was made"
    assert len(lend(device, 2, 33, 16500).data_in or b"") == 16500
    assert lend(device, 2, 0, 0).residual == 0
    longer = lend(device, 2, 32, 16400)
    assert (longer.residual, len(longer.data_in or b"")) == (16, 16400)
    assert lend(device, 128, 32, 16384).status == 2


def test_a_short_read_can_not_change_on_its_way(unit: MakeUnit) -> None:
    device = unit()
    command = lend(device, 2, 8, 4096)
    execute(device, cdb(WRITES[10], 2, 8), data_out=pattern(4096))
    assert bytes(command.data_in or b"") == bytes(4096)


def test_a_file_lends_what_is_in_memory(unit: MakeUnit, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    device = unit(file=path, size=1 << 20)
    execute(device, cdb(WRITES[10], 8, 128), data_out=pattern(65536))
    command = lend(device, 8, 128, 65536)
    assert command.data_in is not None
    assert (command.data_in.readonly, bytes(command.data_in)) == (True, pattern(65536))
    execute(device, cdb(WRITES[10], 9, 1), data_out=b"n" * 512)
    assert bytes(command.data_in[512:1024]) == b"n" * 512, "no copy was made"
    assert lend(device, 8, 8, 4096).data_in.readonly  # type: ignore[union-attr]
    assert not lend(device, 8, 7, 3584).data_in.readonly  # type: ignore[union-attr]
    device.hostdata.resize(2 << 20)
    execute(device, bytes(6))  # the unit attention
    execute(device, cdb(WRITES[10], 2048, 128), data_out=pattern(65536))
    assert bytes(lend(device, 2048, 128, 65536).data_in or b"") == pattern(65536)


def test_a_file_that_has_become_shorter_does_not_kill_the_process(unit: MakeUnit, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    device = unit(file=path, size=1 << 20)
    execute(device, cdb(WRITES[10], 0, 256), data_out=pattern(131072))
    assert lend(device, 0, 256, 131072).status == 0
    os.truncate(path, 4096)
    command = lend(device, 0, 256, 131072)
    assert (command.status, command.sense_data[2] & 15) == (2, 3)


def test_a_file_that_is_only_read_lends_nothing(unit: MakeUnit, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pattern(65536))
    command = lend(unit(file=path, write_protected=True), 0, 128, 65536)
    assert command.data_in is not None
    assert (command.data_in.readonly, bytes(command.data_in)) == (False, pattern(65536))


def test_memory_that_grew_lends_what_is_in_one_piece(unit: MakeUnit) -> None:
    device = unit()
    execute(device, cdb(READS[10], 0, 1), data_in=512)
    device.hostdata.resize(131072)
    execute(device, bytes(6))  # the unit attention
    execute(device, cdb(WRITES[10], 112, 32), data_out=pattern(16384))
    command = lend(device, 112, 32, 16384)
    assert command.data_in is not None
    assert (command.data_in.readonly, bytes(command.data_in)) == (False, pattern(16384))


def test_lun_bits_of_old_devices(unit: MakeUnit) -> None:
    device = unit(scsi_level=2)
    assert execute(device, cdb(READS[10], 0, 1, flags=0xE0), data_in=512).ok
