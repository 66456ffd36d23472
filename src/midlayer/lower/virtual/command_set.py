"""The commands of virtual logical units: what each looks at in its CDB, and who may use it when.

One row a command, or a service action, for everything that is asked of a command before it is run:
REPORT SUPPORTED OPERATION CODES prints the usage data, the guard looks at the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from midlayer.lower.virtual.command_rows import (
    ALWAYS,
    READS,
    WITH_SERVICE_ACTIONS,
    WRITES,
    Access,
    Key,
    Row,
    rows,
)
from midlayer.lower.virtual.command_set_types import OWN_ROWS
from midlayer.standards.opcodes import Opcode as Op
from midlayer.standards.spc import PeripheralDeviceType as Type

_ROWS: tuple[tuple[str, Access, bool], ...] = (
    ("00 00 00 00 00 00", ALWAYS, True),  # TEST UNIT READY
    ("03 01 00 00 ff 00", ALWAYS, False),  # REQUEST SENSE
    ("04 1f 00 00 00 00", WRITES, False),  # FORMAT UNIT
    ("08 1f ff ff ff 00", READS, True),  # READ(6)
    ("0a 1f ff ff ff 00", WRITES, True),  # WRITE(6)
    ("12 01 ff ff ff 00", ALWAYS, False),  # INQUIRY
    ("15 13 00 00 ff 00", WRITES, False),  # MODE SELECT(6)
    ("16 00 00 00 00 00", WRITES, False),  # RESERVE(6)
    ("17 00 00 00 00 00", ALWAYS, False),  # RELEASE(6)
    ("1a 08 ff ff ff 00", READS, False),  # MODE SENSE(6)
    ("1b 01 00 0f f7 00", WRITES, False),  # START STOP UNIT
    ("1c 01 ff ff ff 00", READS, False),  # RECEIVE DIAGNOSTIC RESULTS
    ("1d f7 00 ff ff 00", WRITES, False),  # SEND DIAGNOSTIC
    ("1e 00 00 00 03 00", WRITES, False),  # PREVENT ALLOW MEDIUM REMOVAL
    ("25 00 ff ff ff ff 00 00 01 00", ALWAYS, True),  # READ CAPACITY(10)
    ("28 f8 ff ff ff ff 00 ff ff 00", READS, True),  # READ(10)
    ("2a f8 ff ff ff ff 00 ff ff 00", WRITES, True),  # WRITE(10)
    ("2e f6 ff ff ff ff 00 ff ff 00", WRITES, True),  # WRITE AND VERIFY(10)
    ("2f f6 ff ff ff ff 00 ff ff 00", READS, True),  # VERIFY(10)
    ("34 02 ff ff ff ff 00 ff ff 00", READS, True),  # PRE-FETCH(10)
    ("35 02 ff ff ff ff 00 ff ff 00", WRITES, True),  # SYNCHRONIZE CACHE(10)
    ("37 00 1f 00 00 00 00 ff ff 00", READS, True),  # READ DEFECT DATA(10)
    ("3b 1f ff ff ff ff ff ff ff 00", WRITES, False),  # WRITE BUFFER
    ("3c 1f ff ff ff ff ff ff ff 00", READS, False),  # READ BUFFER(10)
    ("41 f8 ff ff ff ff 00 ff ff 00", WRITES, True),  # WRITE SAME(10)
    ("42 01 00 00 00 00 00 ff ff 00", WRITES, True),  # UNMAP
    ("48 81 00 00 00 00 00 ff ff 00", WRITES, False),  # SANITIZE, overwrite
    ("48 82 00 00 00 00 00 ff ff 00", WRITES, False),  # SANITIZE, block erase
    ("48 83 00 00 00 00 00 ff ff 00", WRITES, False),  # SANITIZE, cryptographic erase
    ("48 9f 00 00 00 00 00 ff ff 00", WRITES, False),  # SANITIZE, exit failure mode
    ("4d 01 ff ff 00 ff ff ff ff 00", ALWAYS, False),  # LOG SENSE
    ("55 13 00 00 00 00 00 ff ff 00", WRITES, False),  # MODE SELECT(10)
    ("56 10 00 00 00 00 00 00 00 00", WRITES, False),  # RESERVE(10)
    ("57 10 00 00 00 00 00 00 00 00", ALWAYS, False),  # RELEASE(10)
    ("5a 18 ff ff 00 00 00 ff ff 00", READS, False),  # MODE SENSE(10)
    ("5e 00 00 00 00 00 00 ff ff 00", ALWAYS, False),  # PERSISTENT RESERVE IN, read keys
    ("5e 01 00 00 00 00 00 ff ff 00", ALWAYS, False),  # …, read reservation
    ("5e 02 00 00 00 00 00 ff ff 00", ALWAYS, False),  # …, report capabilities
    ("5e 03 00 00 00 00 00 ff ff 00", ALWAYS, False),  # …, read full status
    ("5f 00 00 00 00 ff ff ff ff 00", ALWAYS, False),  # PERSISTENT RESERVE OUT, register
    ("5f 01 ff 00 00 ff ff ff ff 00", ALWAYS, False),  # …, reserve
    ("5f 02 ff 00 00 ff ff ff ff 00", ALWAYS, False),  # …, release
    ("5f 03 00 00 00 ff ff ff ff 00", ALWAYS, False),  # …, clear
    ("5f 04 ff 00 00 ff ff ff ff 00", ALWAYS, False),  # …, preempt
    ("5f 05 ff 00 00 ff ff ff ff 00", ALWAYS, False),  # …, preempt and abort
    ("5f 06 00 00 00 ff ff ff ff 00", ALWAYS, False),  # …, register and ignore existing key
    ("5f 07 00 00 00 ff ff ff ff 00", ALWAYS, False),  # …, register and move
    ("83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", WRITES, True),  # EXTENDED COPY(LID1)
    ("84 00 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00", READS, False),  # RECEIVE COPY STATUS(LID1)
    ("84 03 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", READS, False),  # …, operating parameters
    ("84 04 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00", READS, False),  # …, failure details
    ("88 f8 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", READS, True),  # READ(16)
    ("89 f8 ff ff ff ff ff ff ff ff 00 00 00 ff 00 00", WRITES, True),  # COMPARE AND WRITE
    ("8a f8 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE(16)
    ("8b f8 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # ORWRITE(16)
    ("8e f6 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE AND VERIFY(16)
    ("8f f6 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", READS, True),  # VERIFY(16)
    ("90 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", READS, True),  # PRE-FETCH(16)
    ("91 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # SYNCHRONIZE CACHE(16)
    ("93 f9 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE SAME(16)
    ("9c f8 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE ATOMIC(16)
    ("9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 00", ALWAYS, True),  # READ CAPACITY(16)
    ("9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", READS, True),  # GET LBA STATUS(16)
    ("a0 00 ff 00 00 00 ff ff ff ff 00 00", ALWAYS, False),  # REPORT LUNS
    ("a3 05 00 00 00 00 ff ff ff ff fe 00", ALWAYS, False),  # REPORT IDENTIFYING INFORMATION
    ("a3 ea 00 00 00 00 ff ff ff ff 00 00", ALWAYS, False),  # REPORT TARGET PORT GROUPS
    ("a3 0c 87 ff ff ff ff ff ff ff 00 00", READS, False),  # REPORT SUPPORTED OPERATION CODES
    ("a3 0d 80 00 00 00 ff ff ff ff 00 00", READS, False),  # REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
    ("a4 06 00 00 00 00 ff ff ff ff fe 00", WRITES, False),  # SET IDENTIFYING INFORMATION
    ("a4 0a 00 00 00 00 ff ff ff ff 00 00", WRITES, False),  # SET TARGET PORT GROUPS
    ("a8 f8 ff ff ff ff ff ff ff ff 00 00", READS, True),  # READ(12)
    ("aa f8 ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE(12)
    ("ae f6 ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # WRITE AND VERIFY(12)
    ("af f6 ff ff ff ff ff ff ff ff 00 00", READS, True),  # VERIFY(12)
    ("b7 1f 00 00 00 00 ff ff ff ff 00 00", READS, True),  # READ DEFECT DATA(12)
)

COMMANDS: Mapping[Key, Row] = rows(_ROWS)
"""What disks know, and all types that have no rows of their own."""

_BY_TYPE: Mapping[int, Mapping[Key, Row]] = {kind: {**COMMANDS, **own} for kind, own in OWN_ROWS.items()}


def rows_of(device_type: int) -> Mapping[Key, Row]:
    """Return operation code and service action → row of a device type."""
    return _BY_TYPE.get(device_type, COMMANDS)


def row_of(device_type: int, cdb: bytes) -> Row | None:
    """Return what is known of the command in a CDB; None for one that no virtual unit knows."""
    opcode = cdb[0]
    return rows_of(device_type).get((opcode, cdb[1] & 0x1F if opcode in WITH_SERVICE_ACTIONS else None))


def access_of(device_type: int, cdb: bytes) -> Access:
    """Return how a command stands to reservations; two commands are harmless in one of their forms."""
    opcode = cdb[0]
    if opcode == Op.PREVENT_ALLOW_MEDIUM_REMOVAL and not cdb[4] & 0x03:
        return ALWAYS
    tape = device_type == Type.SEQUENTIAL_ACCESS
    if opcode == Op.START_STOP_UNIT and cdb[4] & 0xF1 == 0x01 and not tape:
        return ALWAYS
    row = row_of(device_type, cdb)
    return ALWAYS if row is None else row.access  # a service action without a row is refused anyway
