"""What stands between an initiator and a unit: unit attentions, reservations, paths, a medium not ready.

A unit looks its commands up here only as long as there is something to look at; see `VirtualUnit.regard`.
"""

from __future__ import annotations

from midlayer.lower.virtual.answers import CheckCondition, ReservationConflict, illegal_request
from midlayer.lower.virtual.command_set import access_of, row_of
from midlayer.lower.virtual.unit import Table, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode
from midlayer.standards.port_groups import AccessState
from midlayer.standards.sense import SenseKey

_TELLS_NO_ATTENTION = frozenset(
    {
        Opcode.INQUIRY,
        Opcode.REPORT_LUNS,
        Opcode.REQUEST_SENSE,
        Opcode.GET_CONFIGURATION,
        Opcode.GET_EVENT_STATUS_NOTIFICATION,
    }
)
"""Commands that leave unit attentions alone, or report them in their own way (SAM-5 5.14.1, MMC-6 4.1.6)."""

_IN_SPITE_OF_RESERVE = frozenset(
    {
        Opcode.INQUIRY,
        Opcode.LOG_SENSE,
        Opcode.READ_CAPACITY_10,
        Opcode.RELEASE_6,
        Opcode.RELEASE_10,
        Opcode.REPORT_LUNS,
        Opcode.REQUEST_SENSE,
    }
)
"""Commands that another initiator's RESERVE does not stop (SPC-2 table 8)."""

_NEVER_BESIDE_RESERVE = frozenset({Opcode.PERSISTENT_RESERVE_IN, Opcode.PERSISTENT_RESERVE_OUT})
"""Commands that conflict with a RESERVE of whatever initiator, their own too (SPC-2 5.5.1)."""

_ON_ANY_PATH = frozenset(
    {
        Opcode.INQUIRY,
        Opcode.LOG_SENSE,
        Opcode.MAINTENANCE_IN,
        Opcode.MAINTENANCE_OUT,
        Opcode.MODE_SENSE_6,
        Opcode.MODE_SENSE_10,
        Opcode.PERSISTENT_RESERVE_IN,
        Opcode.PERSISTENT_RESERVE_OUT,
        Opcode.REPORT_LUNS,
        Opcode.REQUEST_SENSE,
    }
)
"""Commands of a target port group in any state (SPC-4 5.15.2.4.4)."""

_READ_CAPACITY_16 = 0x10
_IN_STANDBY = frozenset(
    {
        Opcode.MODE_SELECT_6,
        Opcode.MODE_SELECT_10,
        Opcode.READ_BUFFER_10,
        Opcode.READ_CAPACITY_10,
        Opcode.RECEIVE_DIAGNOSTIC_RESULTS,
        Opcode.SEND_DIAGNOSTIC,
        Opcode.SERVICE_ACTION_IN_16,
        Opcode.WRITE_BUFFER,
    }
)
"""Commands of a group in standby as well. Without READ CAPACITY Linux takes the disk for one of no blocks,
and goes by that when the path has become active."""

_WHILE_BUSY = frozenset({Opcode.INQUIRY, Opcode.REPORT_LUNS, Opcode.REQUEST_SENSE})
"""Commands that SANITIZE and FORMAT UNIT do not keep from a unit (SBC-3 4.11.2, 5.3.1)."""


def guard(unit: VirtualUnit, command: Command) -> None:
    """Run a command unless something is against it."""
    opcode = command.cdb[0]
    if opcode not in _TELLS_NO_ATTENTION:
        attention = unit.attentions.take(command.nexus)
        if attention is not None:
            unit.regard()
            raise CheckCondition(SenseKey.UNIT_ATTENTION, attention.asc, attention.ascq)
    handler = unit.commands.get(opcode)
    if handler is None:
        raise illegal_request(0x20)
    _check_reservations(unit, command)
    if opcode not in _ON_ANY_PATH:
        port = command.nexus.relative_target_port
        refusal = unit.ports.refusal(port)
        if refusal is not None and not _goes_in_standby(unit.ports.state_of(port), command.cdb):
            raise refusal
    operation = unit.operation
    if operation is not None and opcode not in _WHILE_BUSY:
        raise operation.refusal()
    if unit.not_ready is not None:
        row = row_of(unit.spec.type, command.cdb)
        if row is not None and row.medium:
            raise CheckCondition(*unit.not_ready)
    handler(unit, command)


def _goes_in_standby(state: AccessState, cdb: bytes) -> bool:
    """Say whether a path that is not active takes a command, because it is in standby."""
    if state is not AccessState.STANDBY or cdb[0] not in _IN_STANDBY:
        return False
    return cdb[0] != Opcode.SERVICE_ACTION_IN_16 or cdb[1] & 0x1F == _READ_CAPACITY_16


def _check_reservations(unit: VirtualUnit, command: Command) -> None:
    """Raise ReservationConflict if a reservation of another nexus stops the command."""
    reservations, opcode = unit.reservations, command.cdb[0]
    if reservations.reserved_by is not None:
        if opcode in _NEVER_BESIDE_RESERVE:
            raise ReservationConflict
        if reservations.reserved_by != command.nexus and opcode not in _IN_SPITE_OF_RESERVE:
            raise ReservationConflict
    if reservations.holder is not None and reservations.conflicts(
        command.nexus, access_of(unit.spec.type, command.cdb)
    ):
        raise ReservationConflict


GUARDED: Table = dict.fromkeys(range(256), guard)
