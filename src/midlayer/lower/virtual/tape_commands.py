"""Commands of a virtual tape that move blocks and filemarks (SSC-4)."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.lower.virtual.answers import (
    CheckCondition,
    fail_with_data,
    fields,
    invalid_field,
    no_data,
)
from midlayer.lower.virtual.tape import LONGEST_BLOCK, TapeDrive
from midlayer.lower.virtual.tape_medium import MARK, room
from midlayer.lower.virtual.unit import MAX_TRANSFER_BYTES, Handler, VirtualUnit
from midlayer.mid.command import Command, HostByte
from midlayer.standards import ssc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey

FILEMARK, END_OF_MEDIUM, END_OF_DATA = (0x00, 0x01), (0x00, 0x02), (0x00, 0x05)


def on_tape(handler: Callable[[VirtualUnit, Command, TapeDrive], None]) -> Handler:
    """Return the handler of a command that needs the drive for itself."""

    def run(unit: VirtualUnit, command: Command) -> None:
        with unit.tape.lock:
            handler(unit, command, unit.tape)

    return run


def filemark_met(left: int) -> CheckCondition:
    """Return what a command ends with that met a filemark; `left` of it was not done."""
    return CheckCondition(SenseKey.NO_SENSE, *FILEMARK, information=left, filemark=True)


def end_of_data_met(left: int) -> CheckCondition:
    """Return what a command ends with that came to where nothing is written."""
    return CheckCondition(SenseKey.BLANK_CHECK, *END_OF_DATA, information=left)


def wrong_length(left: int) -> CheckCondition:
    """Return what a READ ends with whose block has another length; negative `left` if it is longer."""
    return CheckCondition(SenseKey.NO_SENSE, 0x00, 0x00, information=left, ili=True)


def _fail(unit: VirtualUnit, command: Command, refusal: CheckCondition, moved: int) -> None:
    fail_with_data(command, refusal.sense_data(descriptor=unit.settings.d_sense), moved)


def read(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """READ(6): one block of any length, or so many blocks of the length that the mode parameters say."""
    cdb = fields(ssc.ReadWrite6, command)
    drive.loaded()
    if cdb.fixed:
        _read_fixed(unit, command, drive, cdb)
    else:
        _read_variable(unit, command, drive, cdb)


def _read_variable(unit: VirtualUnit, command: Command, drive: TapeDrive, cdb: ssc.ReadWrite6) -> None:
    medium, wanted = drive.loaded(), cdb.transfer_length
    if not wanted:
        no_data(command)
        return
    stop = _what_stops(drive, wanted)
    if stop is not None:
        raise stop
    length = medium.lengths[drive.position]
    moved = _into(command, drive, 0, min(length, wanted))
    drive.position += 1
    drive.moved.read += length
    drive.moved.sent += moved
    # SILI leaves a short block unsaid, and a long one where no block length is set (SSC-4 7.4).
    if (length < wanted and not cdb.sili) or (
        length > wanted and not (cdb.sili and not unit.tape_settings.block_length)
    ):
        _fail(unit, command, wrong_length(wanted - length), moved)
    else:
        command.residual = command.requested_bytes - moved


def _read_fixed(unit: VirtualUnit, command: Command, drive: TapeDrive, cdb: ssc.ReadWrite6) -> None:
    medium, size = drive.loaded(), unit.tape_settings.block_length
    if not size or cdb.sili:
        raise invalid_field(1, 0 if not size else 1)
    if cdb.transfer_length * size > MAX_TRANSFER_BYTES:
        raise invalid_field(2)
    moved = 0
    for done in range(cdb.transfer_length):
        left = cdb.transfer_length - done
        stop = _what_stops(drive, left)
        if stop is None and medium.lengths[drive.position] != size:
            drive.moved.read += medium.lengths[drive.position]
            drive.position += 1
            stop = wrong_length(left)
        if stop is not None:
            _fail(unit, command, stop, moved)
            return
        moved += _into(command, drive, moved, size)
        drive.position += 1
        drive.moved.read += size
        drive.moved.sent += size
    command.residual = command.requested_bytes - moved


def _what_stops(drive: TapeDrive, left: int) -> CheckCondition | None:
    """Return why there is no block to read, and go over a filemark that is the reason."""
    medium = drive.loaded()
    if drive.position == len(medium.lengths):
        return end_of_data_met(left)
    if medium.lengths[drive.position] == MARK:
        drive.position += 1
        return filemark_met(left)
    return None


def _into(command: Command, drive: TapeDrive, at: int, length: int) -> int:
    """Read the beginning of the next block to a place of the buffer, as far as that goes; return how much."""
    buffer = command.data_in
    if buffer is None:
        return 0
    piece = buffer[at : at + length]
    drive.loaded().read_into(drive.position, piece)
    return len(piece)


def write(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """WRITE(6): what came after is gone."""
    cdb = fields(ssc.ReadWrite6, command)
    size = unit.tape_settings.block_length if cdb.fixed else cdb.transfer_length
    count = cdb.transfer_length if cdb.fixed else min(cdb.transfer_length, 1)
    if cdb.sili or (cdb.fixed and not size):
        raise invalid_field(1, 1 if cdb.sili else 0)
    if size > LONGEST_BLOCK or size * count > MAX_TRANSFER_BYTES:
        raise invalid_field(2)
    check_writable(unit, drive)
    data = memoryview(command.data_out if command.data_out is not None else b"")
    if len(data) < size * count:
        # The initiator promised more than it has: a host adapter sees that, a device can not.
        command.host_byte = HostByte.DID_ERROR
        no_data(command)
        return
    for done in range(count):
        piece = data[done * size : (done + 1) * size]
        if not drive.room_for(room(piece)):
            left = count - done if cdb.fixed else size
            full = CheckCondition(SenseKey.VOLUME_OVERFLOW, *END_OF_MEDIUM, information=left, eom=True)
            _fail(unit, command, full, done * size)
            return
        drive.loaded().put(drive.position, piece)
        drive.position += 1
        drive.moved.received += size
        drive.moved.written += size
    command.residual = len(data) - size * count
    if count:
        _warn_early(unit, command, drive, size * count)


def _warn_early(unit: VirtualUnit, command: Command, drive: TapeDrive, moved: int) -> None:
    """End a command that has done everything with a word that the end is near (SSC-4 4.2.8)."""
    if drive.at_early_warning:
        warning = CheckCondition(SenseKey.NO_SENSE, *END_OF_MEDIUM, information=0, eom=True)
        _fail(unit, command, warning, moved)


def write_filemarks(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """WRITE FILEMARKS(6): what was written before is safe when it ends, if IMMED is zero."""
    cdb = fields(ssc.WriteFilemarks6, command)
    if cdb.wsmk:
        raise invalid_field(1, 1)
    no_data(command)
    medium = drive.loaded()
    if cdb.filemark_count:
        check_writable(unit, drive)
    for done in range(cdb.filemark_count):
        if not drive.room_for(room(None)):
            left = cdb.filemark_count - done
            raise CheckCondition(SenseKey.VOLUME_OVERFLOW, *END_OF_MEDIUM, information=left, eom=True)
        medium.put(drive.position, None)
        drive.position += 1
    if not cdb.immed:
        medium.flush()
    if cdb.filemark_count:
        _warn_early(unit, command, drive, 0)


def erase(unit: VirtualUnit, command: Command, drive: TapeDrive) -> None:
    """ERASE(6): nothing is behind the position afterwards, whether LONG is set or not."""
    fields(ssc.Erase6, command)
    check_writable(unit, drive)
    no_data(command)
    drive.loaded().cut(drive.position)
    drive.loaded().flush()


def check_writable(unit: VirtualUnit, drive: TapeDrive) -> None:
    """Raise CheckCondition unless the medium, and the mode parameters, let it be written."""
    if not drive.loaded().writable or unit.spec.write_protected:
        raise CheckCondition(SenseKey.DATA_PROTECT, 0x27, 0x00)
    if unit.settings.swp:
        raise CheckCondition(SenseKey.DATA_PROTECT, 0x27, 0x02)


TAPE_DATA_TABLE: dict[int, Handler] = {
    Opcode.READ_6: on_tape(read),
    Opcode.WRITE_6: on_tape(write),
    Opcode.WRITE_FILEMARKS_6: on_tape(write_filemarks),
    Opcode.ERASE_6: on_tape(erase),
}
