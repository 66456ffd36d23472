"""MODE SENSE and MODE SELECT of a virtual logical unit (SPC-4 6.11 to 6.14)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

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
from midlayer.lower.virtual.settings import Settings
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import mode, ssc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import ModeSelect6, ModeSelect10, ModeSense6, ModeSense10

ShortHeader = mode.ModeHeader6 | ssc.TapeModeHeader6
LongHeader = mode.ModeHeader10 | ssc.TapeModeHeader10
Header = ShortHeader | LongHeader

ALL_PAGES = 0x3F
ALL_SUBPAGES = 0xFF
SAVED_VALUES = 0b11
CHANGEABLE_VALUES = 0b01
DEFAULT_VALUES = 0b10

_KEEP_CAPACITY = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


class Modes:
    """What a device type has of mode parameters: here disks, and types without any of their own.

    `mode_table` makes the handlers of it.
    """

    headers: tuple[type[ShortHeader], type[LongHeader]] = (mode.ModeHeader6, mode.ModeHeader10)

    def pages(self, unit: VirtualUnit, settings: Settings) -> dict[int, bytes]:
        """Return the mode pages by code, as they are with these settings."""
        known = {
            0x0A: mode.ControlPage(d_sense=settings.d_sense, swp=settings.swp).encode(),
            0x1C: mode.InformationalExceptionsPage(dexcpt=True).encode(),
        }
        if unit.blocks:
            known[0x01] = mode.ReadWriteErrorRecoveryPage(awre=True, arre=True).encode()
            known[0x08] = mode.CachingPage(wce=settings.wce and not unit.spec.write_protected).encode()
        return known

    def changeable(self, unit: VirtualUnit) -> dict[int, bytes]:
        """Return the pages with one bits where MODE SELECT may change something."""
        masks = {
            code: page[:2] + bytes(max(len(page) - 2, 0))
            for code, page in self.pages(unit, unit.first_settings).items()
        }
        if unit.blocks:
            swp = not unit.spec.write_protected
            masks[0x0A] = mode.ControlPage(d_sense=True, swp=swp).encode()
            masks[0x08] = mode.CachingPage(wce=swp).encode()
        else:
            masks[0x0A] = mode.ControlPage(d_sense=True).encode()
        return masks

    def descriptor(self, unit: VirtualUnit, settings: Settings, *, long: bool) -> bytes:
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

    def header_fields(self, unit: VirtualUnit, settings: Settings) -> dict[str, Any]:
        """Return the device-specific fields of the header."""
        return {"wp": unit.read_only, "dpofua": unit.blocks > 0}

    def take_header(self, header: Header, settings: Settings) -> None:
        """Note in `settings` what the header of a MODE SELECT asks for."""

    def take_descriptor(
        self, unit: VirtualUnit, settings: Settings, data: bytes, at: int, *, long: bool
    ) -> None:
        """Note in `settings` what a block descriptor asks for.

        Raises:
            CheckCondition: It can not be had.
        """
        shape = mode.LongBlockDescriptor if long else mode.ShortBlockDescriptor
        if len(data) != shape.size or not unit.blocks:
            raise invalid_parameter(at - 1)
        given = shape.decode(data)
        if given.number_of_logical_blocks not in (*_KEEP_CAPACITY, unit.blocks):
            raise invalid_parameter(at)
        if given.logical_block_length not in (0, unit.block_size):
            raise invalid_parameter(at + shape.fields["logical_block_length"].byte)

    def take_page(self, unit: VirtualUnit, settings: Settings, code: int, page: bytes) -> None:
        """Note in `settings` what a page asks for, of which only changeable bits differ from what it was."""
        if code == mode.ControlPage.page_code:
            control = mode.ControlPage.decode(page)
            settings.d_sense, settings.swp = control.d_sense, control.swp
        elif code == mode.CachingPage.page_code and not unit.spec.write_protected:
            settings.wce = mode.CachingPage.decode(page).wce


def mode_table(modes: Modes) -> dict[int, Handler]:
    """Return MODE SENSE and MODE SELECT of a device type."""
    return {
        Opcode.MODE_SENSE_6: partial(_sense_6, modes),
        Opcode.MODE_SENSE_10: partial(_sense_10, modes),
        Opcode.MODE_SELECT_6: partial(_select_6, modes),
        Opcode.MODE_SELECT_10: partial(_select_10, modes),
    }


def _sense_6(modes: Modes, unit: VirtualUnit, command: Command) -> None:
    """MODE SENSE(6) (SPC-4 6.13)."""
    cdb = fields(ModeSense6, command)
    settings = _settings(unit, cdb.page_control)
    body = _pages(modes, unit, cdb, settings)
    blocks = b"" if cdb.dbd else modes.descriptor(unit, settings, long=False)
    header = modes.headers[0](
        mode_data_length=3 + len(blocks) + len(body),
        block_descriptor_length=len(blocks),
        **modes.header_fields(unit, settings),
    )
    send(command, header.encode() + blocks + body, cdb.allocation_length)


def _sense_10(modes: Modes, unit: VirtualUnit, command: Command) -> None:
    """MODE SENSE(10) (SPC-4 6.14)."""
    cdb = fields(ModeSense10, command)
    settings = _settings(unit, cdb.page_control)
    body = _pages(modes, unit, cdb, settings)
    blocks = b"" if cdb.dbd else modes.descriptor(unit, settings, long=cdb.llbaa)
    header = modes.headers[1](
        mode_data_length=6 + len(blocks) + len(body),
        longlba=len(blocks) == mode.LongBlockDescriptor.size,
        block_descriptor_length=len(blocks),
        **modes.header_fields(unit, settings),
    )
    send(command, header.encode() + blocks + body, cdb.allocation_length)


def _settings(unit: VirtualUnit, page_control: int) -> Settings:
    return unit.first_settings if page_control == DEFAULT_VALUES else unit.settings


def _pages(modes: Modes, unit: VirtualUnit, cdb: ModeSense6 | ModeSense10, settings: Settings) -> bytes:
    if cdb.page_control == SAVED_VALUES:
        raise illegal_request(0x39)
    known = modes.changeable(unit) if cdb.page_control == CHANGEABLE_VALUES else modes.pages(unit, settings)
    if cdb.subpage_code not in (0, ALL_SUBPAGES):
        raise invalid_field(3)
    if cdb.page_code == ALL_PAGES:
        return b"".join(known[code] for code in sorted(known))
    if cdb.page_code not in known:
        raise invalid_field(2, 5)
    return known[cdb.page_code]


def _select_6(modes: Modes, unit: VirtualUnit, command: Command) -> None:
    """MODE SELECT(6) (SPC-4 6.11)."""
    _select(modes, unit, command, fields(ModeSelect6, command), modes.headers[0])


def _select_10(modes: Modes, unit: VirtualUnit, command: Command) -> None:
    """MODE SELECT(10) (SPC-4 6.12)."""
    _select(modes, unit, command, fields(ModeSelect10, command), modes.headers[1])


def _select(
    modes: Modes, unit: VirtualUnit, command: Command, cdb: ModeSelect6 | ModeSelect10, kind: type[Header]
) -> None:
    if not cdb.pf:
        raise invalid_field(1, 4)
    if cdb.sp or cdb.rtd:
        raise invalid_field(1, 0 if cdb.sp else 1)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    data = bytes(received(command, cdb.parameter_list_length))
    settings = replace(unit.settings)
    at = _after_descriptors(modes, unit, data, settings, kind)
    while at < len(data):
        at = _take_page(modes, unit, data, at, settings)
    if settings == unit.settings:
        return
    if unit.settings.wce and not settings.wce:
        unit.medium.flush()  # from now on nothing may wait
    unit.take_settings(settings)
    unit.attend(MODE_PARAMETERS_CHANGED, spare=command.nexus)


def _after_descriptors(
    modes: Modes, unit: VirtualUnit, data: bytes, settings: Settings, kind: type[Header]
) -> int:
    """Take header and block descriptor, and return where the pages begin."""
    if len(data) < kind.size:
        raise parameter_list_length_error()
    header = kind.decode(data)
    length = header.block_descriptor_length
    end = kind.size + length
    if end > len(data):
        raise parameter_list_length_error()
    modes.take_header(header, settings)
    if length:
        long = bool(getattr(header, "longlba", False))  # a header of four bytes has no such bit
        modes.take_descriptor(unit, settings, data[kind.size : end], kind.size, long=long)
    return end


def _take_page(modes: Modes, unit: VirtualUnit, data: bytes, at: int, settings: Settings) -> int:
    """Note in `settings` what one page asks for, and return where the next begins."""
    code = data[at] & 0x3F
    current = modes.pages(unit, settings).get(code)
    if not current or data[at] & 0x40:
        raise invalid_parameter(at)
    if at + 1 < len(data) and data[at + 1] != len(current) - 2:
        raise invalid_parameter(at + 1)
    page = data[at : at + len(current)]
    if len(page) < len(current):
        raise parameter_list_length_error()
    mask = modes.changeable(unit)[code]
    for index in range(2, len(current)):
        if (page[index] ^ current[index]) & ~mask[index]:
            raise invalid_parameter(at + index)
    modes.take_page(unit, settings, code, page)
    return at + len(current)


MODE_TABLE: dict[int, Handler] = mode_table(Modes())
