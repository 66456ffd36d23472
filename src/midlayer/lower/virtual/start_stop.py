"""START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL (SBC-3 5.25, SPC-4 6.17)."""

from __future__ import annotations

from midlayer.lower.virtual.answers import CheckCondition, fields, illegal_request, invalid_field, no_data
from midlayer.lower.virtual.attentions import MEDIUM_MAY_HAVE_CHANGED
from midlayer.lower.virtual.disc import MEDIUM_REMOVED, NEW_MEDIUM
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import sbc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import PreventAllow

_STOPPED = (int(SenseKey.NOT_READY), 0x04, 0x02)
_NO_MEDIUM = (int(SenseKey.NOT_READY), 0x3A, 0x00)
_TRAY_OPEN = (int(SenseKey.NOT_READY), 0x3A, 0x02)
_EJECTED = (_NO_MEDIUM, _TRAY_OPEN)
_STOPS = (_STOPPED, *_EJECTED)


def start_stop_unit(unit: VirtualUnit, command: Command) -> None:
    """START STOP UNIT: start, stop, load and eject."""
    cdb = fields(sbc.StartStopUnit, command)
    no_data(command)
    if cdb.power_condition:
        return  # a unit of memory is always in the active one, whichever is asked for
    if cdb.loej and not unit.spec.is_removable:
        raise invalid_field(4, 1)
    if cdb.loej and unit.prevented:
        raise illegal_request(0x53, 0x02)
    if unit.not_ready is not None and unit.not_ready not in _STOPS:
        raise CheckCondition(*unit.not_ready)  # a sanitize operation that failed
    if cdb.start:
        _start(unit, command, load=cdb.loej)
    else:
        _stop(unit, eject=cdb.loej, flush=not cdb.no_flush)
    unit.regard()


def _start(unit: VirtualUnit, command: Command, *, load: bool) -> None:
    if unit.not_ready is None:
        return
    ejected = unit.not_ready in _EJECTED
    if ejected and not load:
        raise CheckCondition(*unit.not_ready)
    unit.not_ready = None
    unit.counters.starts += 1
    if ejected:
        unit.attend(MEDIUM_MAY_HAVE_CHANGED, spare=command.nexus)
        if unit.is_disc:
            unit.disc.note(NEW_MEDIUM, unit.attentions.known())


def _stop(unit: VirtualUnit, *, eject: bool, flush: bool) -> None:
    if flush:
        unit.medium.flush()
    if eject:
        unit.not_ready = _TRAY_OPEN if unit.is_disc else _NO_MEDIUM
        if unit.is_disc:
            unit.disc.note(MEDIUM_REMOVED, unit.attentions.known())
    elif not unit.spec.is_removable:  # a removable medium has no motor that could be stopped
        unit.not_ready = _STOPPED


def prevent_allow(unit: VirtualUnit, command: Command) -> None:
    """PREVENT ALLOW MEDIUM REMOVAL: any nexus that prevents it keeps the medium in."""
    cdb = fields(PreventAllow, command)
    if cdb.prevent > 1:
        raise invalid_field(4, 1)
    no_data(command)
    if cdb.prevent:
        unit.prevented.add(command.nexus)
    else:
        unit.prevented.discard(command.nexus)


START_STOP_TABLE: dict[int, Handler] = {
    Opcode.START_STOP_UNIT: start_stop_unit,
    Opcode.PREVENT_ALLOW_MEDIUM_REMOVAL: prevent_allow,
}
