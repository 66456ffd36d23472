"""Commands of a virtual tape that move the medium, or say where it stands and what it is (SSC-4)."""

from __future__ import annotations

from midlayer.lower.virtual.answers import (
    CheckCondition,
    fields,
    illegal_request,
    invalid_field,
    no_data,
    send,
)
from midlayer.lower.virtual.attentions import MEDIUM_MAY_HAVE_CHANGED
from midlayer.lower.virtual.tape import DENSITY, LONGEST_BLOCK, NO_MEDIUM, TapeDrive
from midlayer.lower.virtual.tape_commands import end_of_data_met, filemark_met, on_tape
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import ssc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey
from midlayer.standards.ssc import SpaceCode

_BEGINNING = (0x00, 0x04)
_SHORT, _SHORT_VENDOR, _LONG, _EXTENDED = 0x00, 0x01, 0x06, 0x08
_OBJECT, _FILE, _END = 0, 1, 3
_MOST_32 = 0xFFFFFFFF


def rewind(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """REWIND."""
    fields(ssc.Rewind, command)
    no_data(command)
    drive.loaded().flush()
    drive.position = 0


def space_6(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """SPACE(6)."""
    cdb = fields(ssc.Space6, command)
    _space(command, drive, cdb.code, _signed(cdb.count, 24))


def space_16(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """SPACE(16), without a parameter list."""
    cdb = fields(ssc.Space16, command)
    if cdb.parameter_length:
        raise invalid_field(12)
    _space(command, drive, cdb.code, _signed(cdb.count, 64))


def _signed(number: int, width: int) -> int:
    return number - (1 << width) if number >> (width - 1) else number


def _space(command: Command, drive: TapeDrive, code: int, count: int) -> None:
    medium = drive.loaded()
    no_data(command)
    if code == SpaceCode.END_OF_DATA:
        drive.position = len(medium.lengths)
    elif code == SpaceCode.LOGICAL_BLOCKS:
        left = drive.blocks(count) if count else 0
        if left:
            _stopped_in_blocks(drive, left, forward=count > 0)
    elif code == SpaceCode.FILEMARKS:
        left = drive.filemarks(count)
        if left:
            raise end_of_data_met(left) if count > 0 else _beginning_met(left)
    else:
        raise invalid_field(1, 3)


def _stopped_in_blocks(drive: TapeDrive, left: int, *, forward: bool) -> None:
    """Go over the filemark that has stopped a SPACE over blocks, or stand at an end, and say so."""
    if forward and drive.position == len(drive.loaded().lengths):
        raise end_of_data_met(left)
    if not forward and not drive.position:
        raise _beginning_met(left)
    drive.position += 1 if forward else -1
    raise filemark_met(left)


def _beginning_met(left: int) -> CheckCondition:
    return CheckCondition(SenseKey.NO_SENSE, *_BEGINNING, information=left, eom=True)


def locate_10(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """LOCATE(10): filemarks count as objects, whether BT is set or not."""
    cdb = fields(ssc.Locate10, command)
    if cdb.cp and cdb.partition:
        raise invalid_field(8)
    no_data(command)
    _locate(drive, cdb.logical_object_identifier)


def locate_16(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """LOCATE(16): an object, the beginning of a file, or the end of data."""
    cdb = fields(ssc.Locate16, command)
    if cdb.cp and cdb.partition:
        raise invalid_field(3)
    no_data(command)
    medium = drive.loaded()
    if cdb.dest_type == _OBJECT:
        _locate(drive, cdb.logical_identifier)
    elif cdb.dest_type == _FILE:
        number = cdb.logical_identifier
        missing = number > len(medium.marks)
        _locate(drive, len(medium.lengths) + 1 if missing else medium.marks[number - 1] + 1 if number else 0)
    elif cdb.dest_type == _END:
        drive.position = len(medium.lengths)
    else:
        raise invalid_field(1, 5)


def _locate(drive: TapeDrive, index: int) -> None:
    end = len(drive.loaded().lengths)
    drive.position = min(index, end)
    if index > end:
        raise CheckCondition(SenseKey.BLANK_CHECK, 0x00, 0x05)


def read_position(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """READ POSITION: short, long and extended form."""
    cdb = fields(ssc.ReadPosition, command)
    at, near_end = drive.position, drive.at_early_warning
    if cdb.service_action in (_SHORT, _SHORT_VENDOR):
        _refuse_length(cdb)
        short = ssc.ShortPosition(
            bop=not at,
            eop=near_end,
            perr=at > _MOST_32,
            first_logical_object_location=min(at, _MOST_32),
            last_logical_object_location=min(at, _MOST_32),
        )
        send(command, short.encode(), short.size)
    elif cdb.service_action == _LONG:
        _refuse_length(cdb)
        long = ssc.LongPosition(
            bop=not at, eop=near_end, logical_object_number=at, logical_file_identifier=drive.file_number
        )
        send(command, long.encode(), long.size)
    elif cdb.service_action == _EXTENDED:
        extended = ssc.ExtendedPosition(
            bop=not at,
            eop=near_end,
            additional_length=ssc.ExtendedPosition.size - 4,
            first_logical_object_location=at,
            last_logical_object_location=at,
        )
        send(command, extended.encode(), cdb.allocation_length)
    else:
        raise invalid_field(1, 4)


def _refuse_length(cdb: ssc.ReadPosition) -> None:
    """The two older forms have no allocation length (SSC-4 7.7.1)."""
    if cdb.allocation_length:
        raise invalid_field(7)


def read_block_limits(unit: VirtualUnit, command: Command) -> None:
    """READ BLOCK LIMITS."""
    fields(ssc.ReadBlockLimits, command)
    limits = ssc.BlockLimits(maximum_block_length_limit=LONGEST_BLOCK, minimum_block_length_limit=1)
    send(command, limits.encode(), limits.size)


def report_density_support(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """REPORT DENSITY SUPPORT: the one density that there is."""
    cdb = fields(ssc.ReportDensitySupport, command)
    if cdb.medium_type:
        raise invalid_field(1, 1)
    if cdb.media and unit.not_ready is not None:
        raise CheckCondition(*unit.not_ready)
    descriptor = ssc.DensityDescriptor(
        primary_density_code=DENSITY,
        secondary_density_code=DENSITY,
        wrtok=True,
        deflt=True,
        bits_per_mm=12725,
        media_width_tenths_mm=127,
        tracks=896,
        capacity_megabytes=min(drive.capacity_bytes // 1_000_000, _MOST_32),
        assigning_organization="LTO-CVE",
        density_name="U-416",
        description="Ultrium 4/16T",
    )
    send(command, ssc.encode_density_support([descriptor]), cdb.allocation_length)


def load_unload(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """LOAD UNLOAD: what was unloaded stays in the mouth of the drive, and LOAD takes it in again."""
    cdb = fields(ssc.LoadUnload, command)
    if cdb.load and cdb.eot:
        raise invalid_field(4, 2)
    no_data(command)
    medium = drive.loaded()
    medium.flush()
    drive.position = 0
    if cdb.load:
        if unit.not_ready == NO_MEDIUM:
            unit.not_ready = None
            unit.attend(MEDIUM_MAY_HAVE_CHANGED, spare=command.nexus)
    elif not cdb.hold:
        if unit.prevented:
            raise illegal_request(0x53, 0x02)
        unit.not_ready = NO_MEDIUM
    unit.regard()


TAPE_POSITION_TABLE: dict[int, Handler] = {
    Opcode.REWIND: on_tape(rewind),
    Opcode.SPACE_6: on_tape(space_6),
    Opcode.SPACE_16: on_tape(space_16),
    Opcode.LOCATE_10: on_tape(locate_10),
    Opcode.LOCATE_16: on_tape(locate_16),
    Opcode.READ_POSITION: on_tape(read_position),
    Opcode.READ_BLOCK_LIMITS: read_block_limits,
    Opcode.REPORT_DENSITY_SUPPORT: on_tape(report_density_support),
    Opcode.LOAD_UNLOAD: on_tape(load_unload),
}
