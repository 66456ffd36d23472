"""What a virtual unit says that it can do: commands (SPC-4 6.35) and task management (6.36)."""

from __future__ import annotations

from collections.abc import Iterator

from midlayer.lower.virtual.answers import fields, invalid_field, send
from midlayer.lower.virtual.command_set import rows_of
from midlayer.lower.virtual.unit import ServiceActions, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards.maintenance import ReportSupportedTaskManagementFunctions
from midlayer.standards.spc import ReportSupportedOperationCodes

_NOT_SUPPORTED, _SUPPORTED = 0b001, 0b011
_SERVACTV, _CTDP = 0x01, 0x02
_TIMEOUTS = bytes((0x00, 0x0A)) + bytes(10)  # no nominal and no recommended time is stated
_ALL, _NO_ACTION, _WITH_ACTION, _EITHER = range(4)

# ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET; then I_T NEXUS RESET
_TASK_MANAGEMENT = bytes((0xD8, 0x01, 0, 0))


def supported_operation_codes(unit: VirtualUnit, command: Command) -> None:
    """REPORT SUPPORTED OPERATION CODES (SPC-4 6.35)."""
    cdb = fields(ReportSupportedOperationCodes, command)
    if cdb.reporting_options > _EITHER:
        raise invalid_field(2, 2)
    data = _all(unit, cdb) if cdb.reporting_options == _ALL else _one(unit, cdb)
    send(command, data, cdb.allocation_length)


def supported_task_management(unit: VirtualUnit, command: Command) -> None:
    """REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36)."""
    cdb = fields(ReportSupportedTaskManagementFunctions, command)
    data = _TASK_MANAGEMENT if not cdb.repd else _TASK_MANAGEMENT[:3] + b"\x0c" + bytes(12)
    send(command, data, cdb.allocation_length)


def known_commands(unit: VirtualUnit) -> Iterator[tuple[int, int | None]]:
    """Yield operation code and service action of everything that a unit knows, in order."""
    for opcode in sorted(unit.commands):
        handler = unit.commands[opcode]
        if isinstance(handler, ServiceActions):
            for action in sorted(handler.actions):
                yield opcode, action
        else:
            yield opcode, None


def _all(unit: VirtualUnit, cdb: ReportSupportedOperationCodes) -> bytes:
    """Return a descriptor for each command (SPC-4 table 306)."""
    descriptors, rows = bytearray(), rows_of(unit.spec.type)
    for opcode, action in known_commands(unit):
        flags = (_SERVACTV if action is not None else 0) | (_CTDP if cdb.rctd else 0)
        descriptors += bytes((opcode, 0)) + (action or 0).to_bytes(2, "big") + bytes((0, flags))
        descriptors += len(rows[opcode, action].usage).to_bytes(2, "big")
        if cdb.rctd:
            descriptors += _TIMEOUTS
    return len(descriptors).to_bytes(4, "big") + descriptors


def _one(unit: VirtualUnit, cdb: ReportSupportedOperationCodes) -> bytes:
    """Return what is known of one command (SPC-4 table 308)."""
    opcode = cdb.requested_operation_code
    handler = unit.commands.get(opcode)
    has_actions = isinstance(handler, ServiceActions)
    if handler is not None and (
        (cdb.reporting_options == _NO_ACTION and has_actions)
        or (cdb.reporting_options == _WITH_ACTION and not has_actions)
    ):
        raise invalid_field(2, 2)
    action = cdb.requested_service_action
    if isinstance(handler, ServiceActions):
        known = action in handler.actions
    else:
        known = handler is not None and (cdb.reporting_options == _NO_ACTION or not action)
    if not known:
        return bytes((0, _NOT_SUPPORTED, 0, 0))
    usage = rows_of(unit.spec.type)[opcode, action if has_actions else None].usage
    support = _SUPPORTED | (0x80 if cdb.rctd else 0)
    return bytes((0, support)) + len(usage).to_bytes(2, "big") + usage + (_TIMEOUTS if cdb.rctd else b"")
