"""Commands of a virtual disk (SBC), and the part of them that a CD knows."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from midlayer.lower.virtual.unit import (
    CheckCondition,
    Handler,
    VirtualUnit,
    fields,
    illegal_request,
    invalid_field,
    invalid_parameter,
    lba_out_of_range,
    no_data,
    received,
    send,
)
from midlayer.mid.command import Command, HostByte
from midlayer.standards import sbc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey, fixed_sense

READ_CAPACITY_16 = 0x10
_MAX_UNMAP_DESCRIPTORS = 256
_MAX_INFORMATION = 0xFFFFFFFF  # what the INFORMATION field of fixed format sense data holds
_FUA = 0x08

# READ and WRITE are nearly all that a disk does. Their CDBs (`sbc.Read10` and its kin) are unpacked
# without a value in between, and each width gets its own function, made here, to save a call.
_unpack_any_6 = Struct(">xBHBx").unpack_from
_unpack_10 = Struct(">xBIxHx").unpack_from
_unpack_12 = Struct(">xBIIxx").unpack_from
_unpack_16 = Struct(">xBQIxx").unpack_from

_Unpack = Callable[[bytes], tuple[int, ...]]


def _unpack_6(cdb: bytes) -> tuple[int, int, int]:
    high, low, blocks = _unpack_any_6(cdb)
    return 0, (high & 0x1F) << 16 | low, blocks or 256


def _reader(unpack: _Unpack, length_byte: int) -> Handler:
    def read(unit: VirtualUnit, command: Command) -> None:
        flags, lba, blocks = unpack(command.cdb)
        if flags & 0xE0 and not unit.lun_in_cdb:
            raise invalid_field(1, 7)
        if lba + blocks > unit.blocks:
            raise lba_out_of_range()
        if blocks > unit.max_blocks:
            raise invalid_field(length_byte)
        buffer = command.data_in
        if buffer is None:
            no_data(command)
            return
        block_size = unit.block_size
        length = blocks * block_size
        room = len(buffer)
        if room > length:
            command.residual = room - length
            buffer = buffer[:length]
        unit.medium.read_into(lba * block_size, buffer)

    return read


def _writer(unpack: _Unpack, length_byte: int) -> Handler:
    def write(unit: VirtualUnit, command: Command) -> None:
        flags, lba, blocks = unpack(command.cdb)
        if flags & 0xE0 and not unit.lun_in_cdb:
            raise invalid_field(1, 7)
        if lba + blocks > unit.blocks:
            raise lba_out_of_range()
        if blocks > unit.max_blocks:
            raise invalid_field(length_byte)
        _check_writable(unit)
        length = blocks * unit.block_size
        data = command.data_out if command.data_out is not None else b""
        if len(data) != length:
            if len(data) < length:
                # The initiator promised more than it has: a host adapter sees that, a device can not.
                command.host_byte = HostByte.DID_ERROR
                no_data(command)
                return
            command.residual = len(data) - length
            data = memoryview(data)[:length]
        unit.medium.write(lba * unit.block_size, data)
        if flags & _FUA:
            unit.medium.flush()

    return write


# An unpacker, and the CDB byte where the transfer length begins.
_WIDTHS: tuple[tuple[_Unpack, int], ...] = (
    (_unpack_6, 4),
    (_unpack_10, 7),
    (_unpack_12, 6),
    (_unpack_16, 10),
)
read_6, read_10, read_12, read_16 = (_reader(*width) for width in _WIDTHS)
write_6, write_10, write_12, write_16 = (_writer(*width) for width in _WIDTHS)


def read_capacity_10(unit: VirtualUnit, command: Command) -> None:
    """READ CAPACITY(10) (SBC-3 5.15); FFFFFFFFh stands for a disk that needs READ CAPACITY(16)."""
    cdb = fields(sbc.ReadCapacity10, command)
    if cdb.logical_block_address and not cdb.pmi:
        raise invalid_field(2)
    last = min(unit.blocks - 1, 0xFFFFFFFF)
    data = sbc.ReadCapacity10Data(returned_logical_block_address=last, block_length_in_bytes=unit.block_size)
    send(command, data.encode(), 8)


def service_action_in_16(unit: VirtualUnit, command: Command) -> None:
    """SERVICE ACTION IN(16): READ CAPACITY(16) (SBC-3 5.16)."""
    if command.cdb[1] & 0x1F != READ_CAPACITY_16:
        raise invalid_field(1, 4)
    cdb = fields(sbc.ReadCapacity16, command)
    if cdb.logical_block_address and not cdb.pmi:
        raise invalid_field(2)
    data = sbc.ReadCapacity16Data(
        returned_logical_block_address=unit.blocks - 1,
        block_length_in_bytes=unit.block_size,
        lbpme=unit.spec.thin,
        lbprz=unit.spec.thin,
    )
    send(command, data.encode(), cdb.allocation_length)


def synchronize_cache_10(unit: VirtualUnit, command: Command) -> None:
    """SYNCHRONIZE CACHE(10) (SBC-3 5.22)."""
    cdb = fields(sbc.SynchronizeCache10, command)
    _synchronize(unit, command, cdb.logical_block_address, cdb.number_of_logical_blocks)


def synchronize_cache_16(unit: VirtualUnit, command: Command) -> None:
    """SYNCHRONIZE CACHE(16) (SBC-3 5.23)."""
    cdb = fields(sbc.SynchronizeCache16, command)
    _synchronize(unit, command, cdb.logical_block_address, cdb.number_of_logical_blocks)


def _synchronize(unit: VirtualUnit, command: Command, lba: int, blocks: int) -> None:
    if lba + blocks > unit.blocks:
        raise lba_out_of_range()
    unit.medium.flush()
    no_data(command)


def verify_10(unit: VirtualUnit, command: Command) -> None:
    """VERIFY(10) (SBC-3 5.29)."""
    _verify(unit, command, fields(sbc.Verify10, command))


def verify_12(unit: VirtualUnit, command: Command) -> None:
    """VERIFY(12) (SBC-3 5.30)."""
    _verify(unit, command, fields(sbc.Verify12, command))


def verify_16(unit: VirtualUnit, command: Command) -> None:
    """VERIFY(16) (SBC-3 5.31)."""
    _verify(unit, command, fields(sbc.Verify16, command))


def _verify(unit: VirtualUnit, command: Command, cdb: sbc.Verify10 | sbc.Verify12 | sbc.Verify16) -> None:
    if cdb.vrprotect and not unit.lun_in_cdb:
        raise invalid_field(1, 7)
    lba, blocks = cdb.logical_block_address, cdb.verification_length
    if lba + blocks > unit.blocks:
        raise lba_out_of_range()
    if cdb.bytchk == 2:
        raise invalid_field(1, 2)
    if not cdb.bytchk or not blocks:
        no_data(command)
        return
    # BYTCHK 01b compares block for block, 11b compares one block with all of them.
    sent = 1 if cdb.bytchk == 3 else blocks
    if sent > unit.max_blocks:
        raise invalid_field(1, 2)
    expected = bytes(received(command, sent * unit.block_size))
    if cdb.bytchk == 3:
        expected *= max(1, min(blocks, (1 << 20) // unit.block_size))
    _compare(unit, lba, blocks, expected)


def _compare(unit: VirtualUnit, lba: int, blocks: int, expected: bytes) -> None:
    """Compare blocks with `expected`, over and over again if it is shorter than they are."""
    start, end = lba * unit.block_size, (lba + blocks) * unit.block_size
    for at in range(start, end, len(expected)):
        stored = bytearray(min(len(expected), end - at))
        unit.medium.read_into(at, memoryview(stored))
        if not expected.startswith(stored):
            pairs = zip(stored, expected, strict=False)
            offset = at - start + next(index for index, (one, other) in enumerate(pairs) if one != other)
            fits = offset <= _MAX_INFORMATION
            raise CheckCondition(fixed_sense(SenseKey.MISCOMPARE, 0x1D, information=offset if fits else None))


def unmap(unit: VirtualUnit, command: Command) -> None:
    """UNMAP (SBC-3 5.28)."""
    cdb = fields(sbc.Unmap, command)
    if cdb.anchor:
        raise invalid_field(1, 0)
    _check_writable(unit)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    if cdb.parameter_list_length < 8:
        raise illegal_request(0x1A)
    descriptors = sbc.decode_unmap_list(bytes(received(command, cdb.parameter_list_length)))
    if len(descriptors) > _MAX_UNMAP_DESCRIPTORS:
        raise invalid_parameter(2)
    for descriptor in descriptors:
        if descriptor.unmap_logical_block_address + descriptor.number_of_logical_blocks > unit.blocks:
            raise lba_out_of_range()
    for descriptor in descriptors:
        unit.medium.zero(
            descriptor.unmap_logical_block_address * unit.block_size,
            descriptor.number_of_logical_blocks * unit.block_size,
        )


def write_same_10(unit: VirtualUnit, command: Command) -> None:
    """WRITE SAME(10) (SBC-3 5.41)."""
    cdb = fields(sbc.WriteSame10, command)
    _write_same(unit, command, cdb, without_data=False)


def write_same_16(unit: VirtualUnit, command: Command) -> None:
    """WRITE SAME(16) (SBC-3 5.42)."""
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
    _check_writable(unit)
    pattern = b"" if without_data else bytes(received(command, unit.block_size))
    if without_data:
        no_data(command)
    if not any(pattern):
        unit.medium.zero(lba * unit.block_size, blocks * unit.block_size)
        return
    step = max(1, (1 << 20) // unit.block_size)
    chunk = pattern * min(step, blocks)
    for at in range(lba, lba + blocks, step):
        count = min(step, lba + blocks - at)
        unit.medium.write(at * unit.block_size, memoryview(chunk)[: count * unit.block_size])


def _check_writable(unit: VirtualUnit) -> None:
    if unit.spec.write_protected:
        raise CheckCondition(fixed_sense(SenseKey.DATA_PROTECT, 0x27))


READ_ONLY_TABLE: dict[int, Handler] = {
    Opcode.READ_CAPACITY_10: read_capacity_10,
    Opcode.READ_10: read_10,
    Opcode.READ_12: read_12,
}

SBC_TABLE: dict[int, Handler] = {
    **READ_ONLY_TABLE,
    Opcode.READ_6: read_6,
    Opcode.READ_16: read_16,
    Opcode.SERVICE_ACTION_IN_16: service_action_in_16,
    Opcode.WRITE_6: write_6,
    Opcode.WRITE_10: write_10,
    Opcode.WRITE_12: write_12,
    Opcode.WRITE_16: write_16,
    Opcode.SYNCHRONIZE_CACHE_10: synchronize_cache_10,
    Opcode.SYNCHRONIZE_CACHE_16: synchronize_cache_16,
    Opcode.VERIFY_10: verify_10,
    Opcode.VERIFY_12: verify_12,
    Opcode.VERIFY_16: verify_16,
    Opcode.WRITE_SAME_10: write_same_10,
    Opcode.WRITE_SAME_16: write_same_16,
}
