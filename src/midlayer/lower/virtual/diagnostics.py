"""SEND and RECEIVE DIAGNOSTIC, READ and WRITE BUFFER (SPC-4 6.43, 6.23, 6.17, 6.49)."""

from __future__ import annotations

from midlayer.lower.virtual.answers import (
    CheckCondition,
    fields,
    illegal_request,
    invalid_field,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import diagnostic
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey

_DATA, _DESCRIPTOR, _ECHO, _ECHO_DESCRIPTOR = 0x02, 0x03, 0x0A, 0x0B
_BUFFER_BYTES = 65536
_ECHO_BYTES = 4096
_SELF_TESTS = frozenset({0, 1, 2, 4, 5, 6})
_ABORT_BACKGROUND = 4


def send_diagnostic(unit: VirtualUnit, command: Command) -> None:
    """SEND DIAGNOSTIC: a self-test flushes the medium and reads both of its ends."""
    cdb = fields(diagnostic.SendDiagnostic, command)
    if cdb.self_test_code not in _SELF_TESTS or (cdb.selftest and cdb.self_test_code):
        raise invalid_field(1, 7)
    if cdb.parameter_list_length:
        raise invalid_field(3)  # no diagnostic page takes anything
    no_data(command)
    if cdb.self_test_code == _ABORT_BACKGROUND:
        return  # a test in the background has ended before the next command begins
    if cdb.selftest or cdb.self_test_code:
        _self_test(unit)


def _self_test(unit: VirtualUnit) -> None:
    if not unit.blocks:
        return
    block = memoryview(bytearray(unit.block_size))
    try:
        unit.medium.flush()
        unit.medium.read_into(0, block)
        unit.medium.read_into((unit.blocks - 1) * unit.block_size, block)
    except OSError:
        raise CheckCondition(SenseKey.HARDWARE_ERROR, 0x3E, 0x03) from None


def receive_diagnostic(unit: VirtualUnit, command: Command) -> None:
    """RECEIVE DIAGNOSTIC RESULTS: the list of pages, which has only itself."""
    cdb = fields(diagnostic.ReceiveDiagnosticResults, command)
    if cdb.pcv and cdb.page_code:
        raise invalid_field(2)
    send(command, diagnostic.supported_pages((0x00,)), cdb.allocation_length)


def read_buffer(unit: VirtualUnit, command: Command) -> None:
    """READ BUFFER(10): data, echo buffer, and the descriptors of both."""
    cdb = fields(diagnostic.ReadBuffer, command)
    if cdb.mode == _ECHO:
        if unit.echo is None:
            raise illegal_request(0x2C)
        send(command, unit.echo, cdb.allocation_length)
    elif cdb.mode == _ECHO_DESCRIPTOR:
        send(command, bytes(2) + _ECHO_BYTES.to_bytes(2, "big"), cdb.allocation_length)
    elif cdb.mode not in (_DATA, _DESCRIPTOR):
        raise invalid_field(1, 4)
    elif cdb.mode == _DESCRIPTOR:
        there = _BUFFER_BYTES if cdb.buffer_id == 0 else 0  # what is no buffer has no bytes (SPC-4 6.17.4)
        send(command, bytes(1) + there.to_bytes(3, "big"), cdb.allocation_length)
    else:
        if cdb.buffer_id:
            raise invalid_field(2)
        if cdb.buffer_offset > _BUFFER_BYTES:
            raise invalid_field(3)
        send(
            command,
            bytes(unit.buffer).ljust(_BUFFER_BYTES, b"\0")[cdb.buffer_offset :],
            cdb.allocation_length,
        )


def write_buffer(unit: VirtualUnit, command: Command) -> None:
    """WRITE BUFFER: data and echo buffer; no microcode."""
    cdb = fields(diagnostic.WriteBuffer, command)
    if cdb.mode not in (_DATA, _ECHO):
        raise invalid_field(1, 4)
    if cdb.mode == _ECHO:
        if cdb.parameter_list_length > _ECHO_BYTES:
            raise parameter_list_length_error()
        unit.echo = bytes(received(command, cdb.parameter_list_length))
        return
    if cdb.buffer_id:
        raise invalid_field(2)
    end = cdb.buffer_offset + cdb.parameter_list_length
    if end > _BUFFER_BYTES:
        raise invalid_field(3)
    data = received(command, cdb.parameter_list_length)
    unit.buffer = unit.buffer.ljust(_BUFFER_BYTES, b"\0")
    unit.buffer[cdb.buffer_offset : end] = data


DIAGNOSTIC_TABLE: dict[int, Handler] = {
    Opcode.SEND_DIAGNOSTIC: send_diagnostic,
    Opcode.RECEIVE_DIAGNOSTIC_RESULTS: receive_diagnostic,
    Opcode.READ_BUFFER_10: read_buffer,
    Opcode.WRITE_BUFFER: write_buffer,
}
