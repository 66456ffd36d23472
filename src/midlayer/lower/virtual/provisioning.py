"""Commands of a virtual disk that map and unmap blocks: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3 4.7)."""

from __future__ import annotations

from collections.abc import Iterator

from midlayer.lower.virtual.answers import (
    fields,
    invalid_field,
    invalid_parameter,
    lba_out_of_range,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.blocks import check_writable, erase, fill, written
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.lower.virtual.vpd_pages import MAX_UNMAP_DESCRIPTORS
from midlayer.mid.command import Command
from midlayer.standards import sbc
from midlayer.standards.opcodes import Opcode

_MOST_IN_DESCRIPTOR = 0xFFFFFFFF
_STATUS_DESCRIPTORS = 1024  # most that one answer has


def unmap(unit: VirtualUnit, command: Command) -> None:
    """UNMAP (SBC-3 5.28)."""
    cdb = fields(sbc.Unmap, command)
    if cdb.anchor:
        raise invalid_field(1, 0)
    check_writable(unit)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    if cdb.parameter_list_length < 8:
        raise parameter_list_length_error()
    descriptors = sbc.decode_unmap_list(bytes(received(command, cdb.parameter_list_length)))
    if len(descriptors) > MAX_UNMAP_DESCRIPTORS:
        raise invalid_parameter(2)
    for descriptor in descriptors:
        if descriptor.unmap_logical_block_address + descriptor.number_of_logical_blocks > unit.blocks:
            raise lba_out_of_range()
    for descriptor in descriptors:
        erase(unit, descriptor.unmap_logical_block_address, descriptor.number_of_logical_blocks)
    written(unit)


def write_same_10(unit: VirtualUnit, command: Command) -> None:
    """WRITE SAME(10) (SBC-3 5.41)."""
    cdb = fields(sbc.WriteSame10, command)
    _write_same(unit, command, cdb, without_data=False)


def write_same_16(unit: VirtualUnit, command: Command) -> None:
    """WRITE SAME(16) (SBC-3 5.42); without a data-out buffer (NDOB) it writes zeros."""
    cdb = fields(sbc.WriteSame16, command)
    _write_same(unit, command, cdb, without_data=cdb.ndob)


def _write_same(
    unit: VirtualUnit, command: Command, cdb: sbc.WriteSame10 | sbc.WriteSame16, *, without_data: bool
) -> None:
    if cdb.wrprotect and not unit.lun_in_cdb:
        raise invalid_field(1, 7)
    if cdb.anchor:
        raise invalid_field(1, 4)
    if cdb.unmap and not unit.spec.thin:
        raise invalid_field(1, 3)
    lba = cdb.logical_block_address
    blocks = cdb.number_of_logical_blocks or unit.blocks - lba
    if lba >= unit.blocks or lba + blocks > unit.blocks:
        raise lba_out_of_range()
    check_writable(unit)
    pattern = bytes(unit.block_size) if without_data else bytes(received(command, unit.block_size))
    if without_data:
        no_data(command)
    # With UNMAP the pattern does not matter, as with the targets and scsi_debug of Linux. Without it, a
    # block of a thin disk is mapped whatever is written to it.
    if cdb.unmap or not (unit.spec.thin or any(pattern)):
        erase(unit, lba, blocks)
    else:
        fill(unit, lba, blocks, pattern)
    written(unit)


def get_lba_status(unit: VirtualUnit, command: Command) -> None:
    """GET LBA STATUS(16) (SBC-3 5.4): what is mapped, as many runs as the allocation length has room for."""
    cdb = fields(sbc.GetLbaStatus, command)
    if cdb.starting_logical_block_address >= unit.blocks:
        raise lba_out_of_range()
    room = max(1, min((cdb.allocation_length - 8) // sbc.LbaStatusDescriptor.size, _STATUS_DESCRIPTORS))
    descriptors = []
    for descriptor in _runs(unit, cdb.starting_logical_block_address):
        descriptors.append(descriptor)
        if len(descriptors) == room:
            break
    send(command, sbc.encode_lba_status(descriptors), cdb.allocation_length)


def _runs(unit: VirtualUnit, lba: int) -> Iterator[sbc.LbaStatusDescriptor]:
    """Yield runs of blocks that are alike. A block of which a part takes room is mapped.

    All blocks of a disk that is not thin are mapped (SBC-3 4.7.2), whatever its file has holes for.
    """
    size, at = unit.block_size, lba
    for extent in unit.medium.extents(lba * size):
        end_bytes = extent.offset_bytes + extent.length_bytes
        mapped = extent.mapped or not unit.spec.thin
        end = min(-(-end_bytes // size) if mapped else end_bytes // size, unit.blocks)
        while at < end:
            count = min(end - at, _MOST_IN_DESCRIPTOR)
            yield sbc.LbaStatusDescriptor(
                logical_block_address=at,
                number_of_logical_blocks=count,
                provisioning_status=sbc.MAPPED if mapped else sbc.DEALLOCATED,
            )
            at += count


WRITE_SAME_TABLE: dict[int, Handler] = {
    Opcode.WRITE_SAME_10: write_same_10,
    Opcode.WRITE_SAME_16: write_same_16,
}
