"""What a fault does to a command that it hits: one function for each kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.lower.filters.blocks import blocks_of
from midlayer.lower.filters.fault import inquiry
from midlayer.lower.filters.fault.rule import ALL_BYTES
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host_template import DEVICE_BUSY, HOST_BUSY, TARGET_BUSY
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import SenseKey, descriptor_sense, fixed_sense

if TYPE_CHECKING:
    from midlayer.lower.filters.fault.fault import Fault
    from midlayer.lower.filters.filter import Done, QueueCommand
    from midlayer.lower.filters.holding import Holding

Action = Callable[["Fault", Command, "Done", "QueueCommand", "Holding"], int]

_BUSY = {"device": DEVICE_BUSY, "target": TARGET_BUSY, "host": HOST_BUSY}
_WITH_LBA = frozenset({SenseKey.RECOVERED_ERROR, SenseKey.MEDIUM_ERROR, SenseKey.HARDWARE_ERROR})
"""Sense keys whose INFORMATION field is the first block in error (SBC-3 4.18.1)."""


def action_of(fault: Fault) -> Action:
    """Return what a fault does."""
    rule = fault.rule
    if rule.state:
        return _missing_lun if rule.state == "lun-gone" else _path_down
    if rule.unit_attention is not None:
        return _unit_attention
    if rule.qualifier is not None or rule.identity:
        return _other_inquiry
    if rule.lost:
        return _lose
    if rule.busy:
        return _refuse
    return _carry_out if rule.executes else _answer


def _lose(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    holding.lose(command, done)
    return 0


def _refuse(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    return _BUSY[fault.rule.busy]


def _path_down(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    command.host_byte = HostByte.DID_NO_CONNECT
    return _complete(command, done)


def _unit_attention(
    fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding
) -> int:
    assert fault.rule.unit_attention is not None
    _check_condition(command, fixed_sense(SenseKey.UNIT_ATTENTION, *fault.rule.unit_attention))
    return _complete(command, done)


def _missing_lun(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    if command.cdb[0] == Opcode.REPORT_LUNS:
        lun = fault.rule.device.lun
        assert lun is not None
        return behind(command, lambda command: done(inquiry.leave_out_lun(command, lun)))
    if not inquiry.answer_for_missing_lun(command):
        _check_condition(command, fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x25))
        return _complete(command, done)
    done(command)
    return 0


def _other_inquiry(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    rule = fault.rule
    if rule.identity:
        if inquiry.answer_with_identity(command, rule.identity):
            done(command)
            return 0
        return behind(command, done)
    qualifier = rule.qualifier
    assert qualifier is not None
    return behind(command, lambda command: done(inquiry.with_qualifier(command, qualifier)))


def _answer(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    """End a command that the device never sees."""
    command.residual = command.requested_bytes
    _finish(fault, command, done, holding)
    return 0


def _carry_out(fault: Fault, command: Command, done: Done, behind: QueueCommand, holding: Holding) -> int:
    """Let the device do its work, and change data and answer on the way up."""
    rule = fault.rule
    data_in, data_out = command.data_in, command.data_out
    command.borrows = False  # what is kept, or looked at, must not be lent: it may be gone by then
    if data_in is not None and (rule.short or rule.corrupt):
        command.data_in = memoryview(bytearray(len(data_in)))
    elif data_out is not None and rule.corrupt:
        damaged = bytearray(data_out)
        fault.damage(damaged)
        command.data_out = damaged

    def coming_up(command: Command) -> None:
        if command.data_in is not data_in and data_in is not None:
            _take_data(fault, command, data_in)
        elif rule.short:
            command.residual = min(command.residual + rule.short, command.requested_bytes)
        command.data_out = data_out
        _finish(fault, command, done, holding)

    try:
        busy = behind(command, coming_up)
    except BaseException:
        command.data_in, command.data_out = data_in, data_out
        raise
    if busy:
        command.data_in, command.data_out = data_in, data_out
    return busy


def _take_data(fault: Fault, command: Command, data_in: memoryview) -> None:
    """Put into the submitter's buffer what is left of the data that the device sent."""
    sent = command.data_in
    assert sent is not None
    count = max(0, len(sent) - command.residual - fault.rule.short)
    data = bytearray(sent[:count])
    fault.damage(data)
    data_in[:count] = data
    command.data_in = data_in
    command.residual = len(sent) - count


def _finish(fault: Fault, command: Command, done: Done, holding: Holding) -> None:
    """Give a command what the rule says of its answer, and complete it, now or later."""
    rule = fault.rule
    if rule.ends_command:
        command.host_byte = rule.host_byte or HostByte.DID_OK
        usual = Status.CHECK_CONDITION if rule.sense else Status.GOOD
        command.status = usual if rule.status is None else rule.status
        command.sense_data = _located(rule.sense, rule.lba, command.cdb) if rule.sense else b""
    if rule.residual is not None:
        most = command.requested_bytes
        command.residual = most if rule.residual == ALL_BYTES else min(rule.residual, most)
    delay_s = fault.delay_s()
    if delay_s:
        holding.late(command, delay_s, done, done)
    else:
        done(command)


def _complete(command: Command, done: Done) -> int:
    command.residual = command.requested_bytes
    done(command)
    return 0


def _check_condition(command: Command, sense: bytes) -> None:
    command.status, command.sense_data = Status.CHECK_CONDITION, sense


def _located(sense: bytes, lba: tuple[int, int] | None, cdb: bytes) -> bytes:
    """Put the first block in error into sense data that does not name one itself."""
    blocks = blocks_of(cdb)
    descriptor = sense[0] & 0x7F >= 0x72
    key, *codes = (sense[1] & 0x0F, *sense[2:4]) if descriptor else (sense[2] & 0x0F, *sense[12:14])
    if lba is None or blocks is None or key not in _WITH_LBA or len(codes) < 2:
        return sense
    encode = descriptor_sense if descriptor else fixed_sense
    first = max(lba[0], blocks[0])
    if sense != encode(key, *codes) or (not descriptor and first >> 32):
        return sense
    return encode(key, *codes, information=first)
