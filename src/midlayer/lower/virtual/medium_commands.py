"""Commands that are about the whole medium: FORMAT UNIT, SANITIZE, READ DEFECT DATA (SBC-3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from midlayer.lower.virtual.answers import (
    CheckCondition,
    fields,
    invalid_field,
    invalid_parameter,
    no_data,
    received,
    send,
)
from midlayer.lower.virtual.blocks import check_writable, erase, fill
from midlayer.lower.virtual.operations import (
    FORMAT,
    FORMAT_CORRUPT,
    SANITIZE,
    SANITIZE_FAILED,
    Why,
    carry_out,
)
from midlayer.lower.virtual.unit import Handler, ServiceActions, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import sbc_medium
from midlayer.standards.opcodes import Opcode

OVERWRITE, BLOCK_ERASE, CRYPTOGRAPHIC_ERASE, EXIT_FAILURE_MODE = 0x01, 0x02, 0x03, 0x1F
_CURABLE: frozenset[Why | None] = frozenset({None, SANITIZE_FAILED, FORMAT_CORRUPT})
"""States of a unit that SANITIZE makes good again."""


def format_unit(unit: VirtualUnit, command: Command) -> None:
    """FORMAT UNIT (SBC-3 5.3): every block is zeros afterwards."""
    cdb = fields(sbc_medium.FormatUnit, command)
    if cdb.fmtpinfo:
        raise invalid_field(1, 7)
    if unit.not_ready not in (None, FORMAT_CORRUPT):
        raise CheckCondition(*unit.not_ready)
    check_writable(unit)
    immediate = False
    if cdb.fmtdata:
        immediate = _check_format_list(command, long=cdb.longlist)
    else:
        no_data(command)
    work = partial(erase, unit, 0, unit.blocks)
    carry_out(unit, FORMAT, work, unit.spec.format_s, immediate=immediate)


def _check_format_list(command: Command, *, long: bool) -> bool:
    """Refuse what a format of this disk can not do (SBC-3 5.3.2); return IMMED."""
    header: sbc_medium.FormatHeaderLong | sbc_medium.FormatHeaderShort
    kind = sbc_medium.FormatHeaderLong if long else sbc_medium.FormatHeaderShort
    header = kind.decode(received(command, kind.size))
    if header.protection_fields_usage:
        raise invalid_parameter(0, 2)
    if header.ip:
        raise invalid_parameter(1, 3)
    if header.defect_list_length:
        raise invalid_parameter(kind.fields["defect_list_length"].byte)
    return header.immed


def _sanitizing(operation: Callable[[VirtualUnit, Command, int], None]) -> Handler:
    """Return the handler of one kind of sanitize operation (SBC-3 5.20)."""

    def sanitize(unit: VirtualUnit, command: Command) -> None:
        cdb = _sanitize_fields(command)
        if unit.not_ready is not None and unit.not_ready not in _CURABLE:
            raise CheckCondition(*unit.not_ready)
        check_writable(unit)
        # A failure lasts until EXIT FAILURE MODE, or a sanitize operation that ends well.
        unit.may_exit_failure = cdb.ause
        work = partial(operation, unit, command, cdb.parameter_list_length)
        carry_out(unit, SANITIZE, work, unit.spec.sanitize_s, immediate=cdb.immed)

    return sanitize


def _sanitize_fields(command: Command) -> sbc_medium.Sanitize:
    """Decode a SANITIZE; no reserved bit passes, as what it might come to mean could not be undone."""
    cdb = fields(sbc_medium.Sanitize, command)
    if cdb.reserved_1:
        raise invalid_field(1, 6)
    if cdb.reserved_2:
        raise invalid_field(2)
    return cdb


def _overwrite(unit: VirtualUnit, command: Command, length: int) -> None:
    if not sbc_medium.OverwriteHeader.size < length <= sbc_medium.OverwriteHeader.size + unit.block_size:
        raise invalid_field(7)
    data = bytes(received(command, length))
    header = sbc_medium.OverwriteHeader.decode(data)
    pattern = data[sbc_medium.OverwriteHeader.size :]
    if not header.overwrite_count:
        raise invalid_parameter(0, 4)
    if header.initialization_pattern_length != len(pattern):
        raise invalid_parameter(2)
    block = (pattern * (unit.block_size // len(pattern) + 1))[: unit.block_size]
    if header.invert and not header.overwrite_count % 2:  # the last of an even number of passes is inverted
        block = bytes(byte ^ 0xFF for byte in block)
    fill(unit, 0, unit.blocks, block)


def _erase(unit: VirtualUnit, command: Command, length: int) -> None:
    if length:
        raise invalid_field(7)
    no_data(command)
    erase(unit, 0, unit.blocks)


def exit_failure_mode(unit: VirtualUnit, command: Command) -> None:
    """SANITIZE, exit failure mode (SBC-3 5.20.5)."""
    cdb = _sanitize_fields(command)
    if cdb.parameter_list_length:
        raise invalid_field(7)
    no_data(command)
    if unit.not_ready != SANITIZE_FAILED:
        return
    if not unit.may_exit_failure:
        raise invalid_field(1, 4)
    unit.not_ready = None
    unit.regard()


def read_defect_data_10(unit: VirtualUnit, command: Command) -> None:
    """READ DEFECT DATA(10) (SBC-3 5.17): the lists are empty."""
    cdb = fields(sbc_medium.ReadDefectData10, command)
    data = bytes((0, cdb.req_plist << 4 | cdb.req_glist << 3 | cdb.defect_list_format, 0, 0))
    send(command, data, cdb.allocation_length)


def read_defect_data_12(unit: VirtualUnit, command: Command) -> None:
    """READ DEFECT DATA(12) (SBC-3 5.18): the lists are empty."""
    cdb = fields(sbc_medium.ReadDefectData12, command)
    data = bytes((0, cdb.req_plist << 4 | cdb.req_glist << 3 | cdb.defect_list_format)) + bytes(6)
    send(command, data, cdb.allocation_length)


_SANITIZE: dict[int, Handler] = {
    OVERWRITE: _sanitizing(_overwrite),
    CRYPTOGRAPHIC_ERASE: _sanitizing(_erase),
    EXIT_FAILURE_MODE: exit_failure_mode,
}

MEDIUM_TABLE: dict[int, Handler] = {
    Opcode.FORMAT_UNIT: format_unit,
    Opcode.SANITIZE: ServiceActions(_SANITIZE),
    Opcode.READ_DEFECT_DATA_10: read_defect_data_10,
    Opcode.READ_DEFECT_DATA_12: read_defect_data_12,
}

THIN_SANITIZE = ServiceActions({**_SANITIZE, BLOCK_ERASE: _sanitizing(_erase)})
"""SANITIZE of a thin disk, which can be erased block by block."""
