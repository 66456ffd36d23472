"""MAINTENANCE IN and OUT: supported commands, target port groups, identifying information (SPC-4)."""

from __future__ import annotations

from midlayer.layout import DecodeError
from midlayer.lower.virtual.answers import (
    fields,
    invalid_field,
    invalid_parameter,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.supported import supported_operation_codes, supported_task_management
from midlayer.lower.virtual.unit import Handler, ServiceActions, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import port_groups
from midlayer.standards.maintenance import IdentifyingInformation
from midlayer.standards.opcodes import Opcode
from midlayer.standards.port_groups import AccessState, PortGroup

_SETTABLE = frozenset(AccessState) - {AccessState.OFFLINE, AccessState.TRANSITIONING}
_EXTENDED = 1
_LONGEST_TEXT, _LONGEST_NUMBER = 256, 64
_NUMBER, _TEXT, _SUPPORTED_TYPES = 0x00, 0x02, 0x7F


def report_target_port_groups(unit: VirtualUnit, command: Command) -> None:
    """REPORT TARGET PORT GROUPS (SPC-4 6.37)."""
    cdb = fields(port_groups.ReportTargetPortGroups, command)
    if cdb.parameter_data_format > _EXTENDED:
        raise invalid_field(1, 7)
    groups = [
        PortGroup(number=number, state=state, ports=(number,), status=cause)
        for number, state, cause in zip(unit.ports.numbers, unit.ports.states, unit.ports.causes, strict=True)
    ]
    data = port_groups.encode_port_groups(groups, extended=cdb.parameter_data_format == _EXTENDED)
    send(command, data, cdb.allocation_length)


def set_target_port_groups(unit: VirtualUnit, command: Command) -> None:
    """SET TARGET PORT GROUPS (SPC-4 6.45): a path takes its new state at once."""
    cdb = fields(port_groups.SetTargetPortGroups, command)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    try:
        wanted = port_groups.decode_port_group_settings(bytes(received(command, cdb.parameter_list_length)))
    except DecodeError:
        raise parameter_list_length_error() from None
    for index, (group, state) in enumerate(wanted):
        if state not in _SETTABLE:
            raise invalid_parameter(4 + 4 * index)
        if group not in unit.ports.numbers:
            raise invalid_parameter(6 + 4 * index)
    for group, state in wanted:
        unit.set_access_state(group, AccessState(state), spare=command.nexus)


def report_identifying_information(unit: VirtualUnit, command: Command) -> None:
    """REPORT IDENTIFYING INFORMATION (SPC-4 6.32)."""
    cdb = fields(IdentifyingInformation, command)
    if cdb.identifying_information_type == _SUPPORTED_TYPES:
        listed = bytes((_NUMBER << 1, 0)) + _LONGEST_NUMBER.to_bytes(2, "big")
        listed += bytes((_TEXT << 1, 0)) + _LONGEST_TEXT.to_bytes(2, "big")
        send(command, bytes(2) + len(listed).to_bytes(2, "big") + listed, cdb.length)
        return
    if cdb.identifying_information_type not in (_NUMBER, _TEXT):
        raise invalid_field(10, 7)
    text = unit.identifying_text.get(cdb.identifying_information_type, b"")
    send(command, bytes(2) + len(text).to_bytes(2, "big") + text, cdb.length)


def set_identifying_information(unit: VirtualUnit, command: Command) -> None:
    """SET IDENTIFYING INFORMATION (SPC-4 6.44)."""
    cdb = fields(IdentifyingInformation, command)
    longest = {_NUMBER: _LONGEST_NUMBER, _TEXT: _LONGEST_TEXT}.get(cdb.identifying_information_type)
    if longest is None:
        raise invalid_field(10, 7)
    if cdb.length > longest:
        raise parameter_list_length_error()
    text = bytes(received(command, cdb.length))
    if cdb.identifying_information_type == _TEXT and text and text[-1]:
        raise invalid_parameter(len(text) - 1)  # text ends with a NUL
    unit.identifying_text[cdb.identifying_information_type] = text


_COMMON_IN: dict[int, Handler] = {
    0x05: report_identifying_information,
    0x0C: supported_operation_codes,
    0x0D: supported_task_management,
}
_COMMON_OUT: dict[int, Handler] = {0x06: set_identifying_information}

MAINTENANCE_TABLE: dict[int, Handler] = {
    Opcode.MAINTENANCE_IN: ServiceActions(_COMMON_IN),
    Opcode.MAINTENANCE_OUT: ServiceActions(_COMMON_OUT),
}

ALUA_TABLE: dict[int, Handler] = {
    Opcode.MAINTENANCE_IN: ServiceActions({**_COMMON_IN, 0x0A: report_target_port_groups}),
    Opcode.MAINTENANCE_OUT: ServiceActions({**_COMMON_OUT, 0x0A: set_target_port_groups}),
}
"""What a unit with target port groups has in the place of `MAINTENANCE_TABLE`."""
