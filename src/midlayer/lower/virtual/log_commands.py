"""LOG SENSE of a virtual logical unit (SPC-4 6.8)."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.lower.virtual.answers import fields, invalid_field, send
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.lower.virtual.vpd_pages import THRESHOLD_SET_BYTES
from midlayer.mid.command import Command
from midlayer.standards.log_pages import LIST_PARAMETER, LogPage, LogParameter, supported_pages
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import LogSense, PeripheralDeviceType

_UNCORRECTED = 6
_ALL_SUBPAGES = 0xFF
_TAPE_ALERT_FLAGS = 64
_DEDICATED = bytes((0x01, 0, 0, 0))  # scope of a count of resources: of this unit alone


def log_sense(unit: VirtualUnit, command: Command) -> None:
    """LOG SENSE: cumulative values, which are the thresholds and the defaults as well."""
    cdb = fields(LogSense, command)
    if cdb.sp:
        raise invalid_field(1, 0)
    page = _page(unit, cdb.page_code, cdb.subpage_code)
    if page is None:
        raise invalid_field(2 if cdb.subpage_code == 0 else 3)
    if cdb.parameter_pointer:
        kept = tuple(one for one in page.parameters if one.code >= cdb.parameter_pointer)
        if not kept:
            raise invalid_field(5)
        page = LogPage(page=page.page, subpage=page.subpage, parameters=kept)
    send(command, page.encode(), cdb.allocation_length)


def _page(unit: VirtualUnit, code: int, subpage: int) -> LogPage | None:
    pages = _pages(unit)
    if code == 0x00 and subpage in (0, _ALL_SUBPAGES):
        codes = [(0, 0), (0, _ALL_SUBPAGES), *((number, 0) for number in pages)]
        return supported_pages(codes, subpages=subpage == _ALL_SUBPAGES)
    if code not in pages or subpage:
        return None
    return LogPage(page=code, parameters=pages[code](unit))


def _pages(unit: VirtualUnit) -> dict[int, Callable[[VirtualUnit], Parameters]]:
    if unit.spec.type == PeripheralDeviceType.SEQUENTIAL_ACCESS:
        return _TAPE_PAGES
    pages = {number: make for number, make in _PAGES.items() if unit.blocks or number not in _OF_BLOCKS}
    if not unit.spec.thin:
        pages.pop(0x0C, None)
    return pages


Parameters = tuple[LogParameter, ...]


def _write_errors(unit: VirtualUnit) -> Parameters:
    return (_counter(_UNCORRECTED, unit.counters.write_errors, 8),)


def _read_errors(unit: VirtualUnit) -> Parameters:
    return (_counter(_UNCORRECTED, unit.counters.read_errors, 8),)


def _provisioning(unit: VirtualUnit) -> Parameters:
    """Threshold sets that may still be mapped, and those that are (SBC-3 6.4.3)."""
    used = unit.medium.used_bytes()
    limit = unit.spec.pool_size or unit.blocks * unit.block_size
    sets = (max(limit - used, 0) // THRESHOLD_SET_BYTES, -(-used // THRESHOLD_SET_BYTES))
    return tuple(
        LogParameter(
            code=code, control=LIST_PARAMETER, value=min(count, 0xFFFFFFFF).to_bytes(4, "big") + _DEDICATED
        )
        for code, count in enumerate(sets, 1)
    )


def _sequential_access(unit: VirtualUnit) -> Parameters:
    """Bytes that WRITE has received and written, and READ has read and sent (SSC-4 8.2.3)."""
    moved = unit.tape.moved
    counts = (moved.received, moved.written, moved.read, moved.sent)
    return tuple(_counter(code, count, 8) for code, count in enumerate(counts))


def _tape_alert(unit: VirtualUnit) -> Parameters:
    """The flags of TapeAlert (SSC-4 8.2.4), none of which is ever set."""
    return tuple(LogParameter(code=code, value=bytes(1)) for code in range(1, _TAPE_ALERT_FLAGS + 1))


def _temperature(unit: VirtualUnit) -> Parameters:
    return (LogParameter(code=0, control=LIST_PARAMETER, value=bytes((0, unit.spec.temperature))),)


def _start_stop(unit: VirtualUnit) -> Parameters:
    return (_counter(4, unit.counters.starts, 4),)


def _exceptions(unit: VirtualUnit) -> Parameters:
    return (LogParameter(code=0, control=LIST_PARAMETER, value=bytes((0, 0, unit.spec.temperature))),)


def _counter(code: int, count: int, length: int) -> LogParameter:
    return LogParameter(code=code, value=min(count, (1 << 8 * length) - 1).to_bytes(length, "big"))


_PAGES: dict[int, Callable[[VirtualUnit], Parameters]] = {
    0x02: _write_errors,
    0x03: _read_errors,
    0x0C: _provisioning,
    0x0D: _temperature,
    0x0E: _start_stop,
    0x2F: _exceptions,
}
_OF_BLOCKS = frozenset({0x02, 0x03, 0x0C, 0x0E})

_TAPE_PAGES: dict[int, Callable[[VirtualUnit], Parameters]] = {
    0x02: _write_errors,
    0x03: _read_errors,
    0x0C: _sequential_access,
    0x0D: _temperature,
    0x2E: _tape_alert,
    0x2F: _exceptions,
}

LOG_TABLE: dict[int, Handler] = {Opcode.LOG_SENSE: log_sense}
