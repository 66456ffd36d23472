"""A virtual unit that answers what another device answered: the table of a twin."""

from __future__ import annotations

from midlayer.lower.virtual.answers import fail, illegal_request, no_data, send
from midlayer.lower.virtual.unit import Handler, Table, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode
from midlayer.twin import Twin, allocation_length

_OF_THE_TARGET = frozenset({Opcode.REPORT_LUNS, Opcode.REQUEST_SENSE})
_WITHOUT_EFFECT = frozenset({Opcode.MODE_SELECT_6, Opcode.MODE_SELECT_10, Opcode.LOG_SELECT})


def twin_table(twin: Twin, behind: Table) -> Table:
    """Return the opcode table of a twin.

    Args:
        twin: What the device answered. It comes first.
        behind: What a virtual unit of the type does; it moves data, keeps reservations and the like. A
            command that the device does not list as supported is refused all the same. The commands that
            would change mode and log pages are refused, because the twin's pages are what they are.
    """

    def answer(unit: VirtualUnit, command: Command) -> None:
        known = twin.answer(command.cdb)
        if known is None:
            handler = behind.get(command.cdb[0])
            if handler is None:
                raise illegal_request(0x20)
            handler(unit, command)
        elif known.sense:
            fail(command, known.sense)
        elif known.data:
            length = allocation_length(command.cdb)
            send(command, known.data, len(known.data) if length is None else length)
        else:
            no_data(command)
        if known is not None:
            command.status = known.status

    answered: dict[int, Handler] = dict.fromkeys(twin.opcodes() - _OF_THE_TARGET, answer)
    supported = twin.supported_opcodes
    refused = _WITHOUT_EFFECT if supported is None else _WITHOUT_EFFECT | (behind.keys() - supported)
    kept = {opcode: handler for opcode, handler in behind.items() if opcode not in refused - _OF_THE_TARGET}
    return kept | answered
