"""MODE SENSE and MODE SELECT of a virtual logical unit (SPC-4 6.11 to 6.14)."""

from __future__ import annotations

from dataclasses import replace

from midlayer.lower.virtual.answers import (
    fields,
    illegal_request,
    invalid_field,
    invalid_parameter,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.attentions import MODE_PARAMETERS_CHANGED
from midlayer.lower.virtual.unit import Handler, Settings, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import mode
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import ModeSelect6, ModeSelect10, ModeSense6, ModeSense10

ALL_PAGES = 0x3F
ALL_SUBPAGES = 0xFF
SAVED_VALUES = 0b11
CHANGEABLE_VALUES = 0b01
DEFAULT_VALUES = 0b10

_KEEP_CAPACITY = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def mode_pages(unit: VirtualUnit, settings: Settings) -> dict[int, bytes]:
    """Return the mode pages by code, as they are with these settings."""
    known = {
        0x0A: mode.ControlPage(d_sense=settings.d_sense, swp=settings.swp).encode(),
        0x1C: mode.InformationalExceptionsPage(dexcpt=True).encode(),
    }
    if unit.blocks:
        known[0x01] = mode.ReadWriteErrorRecoveryPage(awre=True, arre=True).encode()
        known[0x08] = mode.CachingPage(wce=settings.wce and not unit.spec.write_protected).encode()
    return known


def changeable(unit: VirtualUnit) -> dict[int, bytes]:
    """Return the pages with one bits where MODE SELECT may change something."""
    masks = {code: page[:2] + bytes(len(page) - 2) for code, page in mode_pages(unit, Settings()).items()}
    if unit.blocks:
        swp = not unit.spec.write_protected
        masks[0x0A] = mode.ControlPage(d_sense=True, swp=swp).encode()
        masks[0x08] = mode.CachingPage(wce=swp).encode()
    else:
        masks[0x0A] = mode.ControlPage(d_sense=True).encode()
    return masks


def block_descriptor(unit: VirtualUnit, *, long: bool) -> bytes:
    """Return the block descriptor of MODE SENSE; empty for a unit without blocks."""
    if not unit.blocks:
        return b""
    if long:
        return mode.LongBlockDescriptor(
            number_of_logical_blocks=unit.blocks, logical_block_length=unit.block_size
        ).encode()
    return mode.ShortBlockDescriptor(
        number_of_logical_blocks=min(unit.blocks, 0xFFFFFFFF), logical_block_length=unit.block_size
    ).encode()


def mode_sense_6(unit: VirtualUnit, command: Command) -> None:
    """MODE SENSE(6) (SPC-4 6.13)."""
    cdb = fields(ModeSense6, command)
    body = _pages(unit, cdb.page_code, cdb.subpage_code, cdb.page_control)
    blocks = b"" if cdb.dbd else block_descriptor(unit, long=False)
    header = mode.ModeHeader6(
        mode_data_length=3 + len(blocks) + len(body),
        wp=unit.read_only,
        dpofua=unit.blocks > 0,
        block_descriptor_length=len(blocks),
    )
    send(command, header.encode() + blocks + body, cdb.allocation_length)


def mode_sense_10(unit: VirtualUnit, command: Command) -> None:
    """MODE SENSE(10) (SPC-4 6.14)."""
    cdb = fields(ModeSense10, command)
    body = _pages(unit, cdb.page_code, cdb.subpage_code, cdb.page_control)
    blocks = b"" if cdb.dbd else block_descriptor(unit, long=cdb.llbaa)
    header = mode.ModeHeader10(
        mode_data_length=6 + len(blocks) + len(body),
        wp=unit.read_only,
        dpofua=unit.blocks > 0,
        longlba=cdb.llbaa and bool(blocks),
        block_descriptor_length=len(blocks),
    )
    send(command, header.encode() + blocks + body, cdb.allocation_length)


def _pages(unit: VirtualUnit, page_code: int, subpage_code: int, page_control: int) -> bytes:
    if page_control == SAVED_VALUES:
        raise illegal_request(0x39)
    if page_control == CHANGEABLE_VALUES:
        known = changeable(unit)
    else:
        known = mode_pages(unit, Settings() if page_control == DEFAULT_VALUES else unit.settings)
    if subpage_code not in (0, ALL_SUBPAGES):
        raise invalid_field(3)
    if page_code == ALL_PAGES:
        return b"".join(known[code] for code in sorted(known))
    if page_code not in known:
        raise invalid_field(2, 5)
    return known[page_code]


def mode_select_6(unit: VirtualUnit, command: Command) -> None:
    """MODE SELECT(6) (SPC-4 6.11)."""
    _select(unit, command, fields(ModeSelect6, command), ten=False)


def mode_select_10(unit: VirtualUnit, command: Command) -> None:
    """MODE SELECT(10) (SPC-4 6.12)."""
    _select(unit, command, fields(ModeSelect10, command), ten=True)


def _select(unit: VirtualUnit, command: Command, cdb: ModeSelect6 | ModeSelect10, *, ten: bool) -> None:
    if not cdb.pf:
        raise invalid_field(1, 4)
    if cdb.sp or cdb.rtd:
        raise invalid_field(1, 0 if cdb.sp else 1)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    data = bytes(received(command, cdb.parameter_list_length))
    at = _after_descriptors(unit, data, ten=ten)
    settings = replace(unit.settings)
    while at < len(data):
        at = _take_page(unit, data, at, settings)
    if settings == unit.settings:
        return
    if unit.settings.wce and not settings.wce:
        unit.medium.flush()  # from now on nothing may wait
    unit.take_settings(settings)
    unit.attend(MODE_PARAMETERS_CHANGED, spare=command.nexus)


def _after_descriptors(unit: VirtualUnit, data: bytes, *, ten: bool) -> int:
    """Check header and block descriptor, and return where the pages begin."""
    header: mode.ModeHeader6 | mode.ModeHeader10
    kind = mode.ModeHeader10 if ten else mode.ModeHeader6
    if len(data) < kind.size:
        raise parameter_list_length_error()
    header = kind.decode(data)
    length, long = header.block_descriptor_length, isinstance(header, mode.ModeHeader10) and header.longlba
    if kind.size + length > len(data):
        raise parameter_list_length_error()
    if not length:
        return kind.size
    shape = mode.LongBlockDescriptor if long else mode.ShortBlockDescriptor
    if length != shape.size or not unit.blocks:
        raise invalid_parameter(kind.size - 1)
    given = shape.decode(data[kind.size :])
    if given.number_of_logical_blocks not in (*_KEEP_CAPACITY, unit.blocks):
        raise invalid_parameter(kind.size)
    if given.logical_block_length not in (0, unit.block_size):
        raise invalid_parameter(kind.size + shape.fields["logical_block_length"].byte)
    return kind.size + length


def _take_page(unit: VirtualUnit, data: bytes, at: int, settings: Settings) -> int:
    """Note in `settings` what one page asks for, and return where the next begins."""
    code = data[at] & 0x3F
    current = mode_pages(unit, settings).get(code)
    if current is None or data[at] & 0x40:
        raise invalid_parameter(at)
    if at + 1 < len(data) and data[at + 1] != len(current) - 2:
        raise invalid_parameter(at + 1)
    page = data[at : at + len(current)]
    if len(page) < len(current):
        raise parameter_list_length_error()
    mask = changeable(unit)[code]
    for index in range(2, len(current)):
        if (page[index] ^ current[index]) & ~mask[index]:
            raise invalid_parameter(at + index)
    if code == mode.ControlPage.page_code:
        control = mode.ControlPage.decode(page)
        settings.d_sense, settings.swp = control.d_sense, control.swp
    elif code == mode.CachingPage.page_code and not unit.spec.write_protected:
        settings.wce = mode.CachingPage.decode(page).wce
    return at + len(current)


MODE_TABLE: dict[int, Handler] = {
    Opcode.MODE_SENSE_6: mode_sense_6,
    Opcode.MODE_SENSE_10: mode_sense_10,
    Opcode.MODE_SELECT_6: mode_select_6,
    Opcode.MODE_SELECT_10: mode_select_10,
}
