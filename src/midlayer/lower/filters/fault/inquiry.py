"""Answers that say who a logical unit is, or that it is not there: INQUIRY, REPORT LUNS, REQUEST SENSE."""

from __future__ import annotations

import hashlib

from midlayer.layout import LayoutError
from midlayer.mid.command import Command
from midlayer.standards.designators import Association, CodeSet, Designator, DesignatorType
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey, descriptor_sense, fixed_sense
from midlayer.standards.spc import (
    PeripheralDeviceType,
    PeripheralQualifier,
    StandardInquiry,
    decode_lun_list,
    encode_lun_list,
)

_SERIAL_NUMBER, _DEVICE_IDENTIFICATION = 0x80, 0x83

_NO_LOGICAL_UNIT = StandardInquiry(
    peripheral_qualifier=PeripheralQualifier.NOT_SUPPORTED,
    peripheral_device_type=PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE,
    version=6,
    response_data_format=2,
    additional_length=31,
).encode_sized()


def with_qualifier(command: Command, qualifier: int) -> Command:
    """Change the peripheral qualifier in INQUIRY data, of any page, that came from the device."""
    data = command.data_in
    if data is not None and len(data) - command.residual > 0 and not (command.status or command.host_byte):
        first = bytes([qualifier << 5 | data[0] & 0x1F])
        if command.borrows:  # the view may be of the device's own memory
            command.data_in = memoryview(first + bytes(data[1:]))
        else:
            data[:1] = first
    return command


def answer_with_identity(command: Command, serial: str) -> bool:
    """Answer INQUIRY for the pages that name a unit; False for the others."""
    if len(command.cdb) < 6 or not command.cdb[1] & 1:
        return False
    page = command.cdb[2]
    if page == _SERIAL_NUMBER:
        body = serial.encode("ascii")
    elif page == _DEVICE_IDENTIFICATION:
        digest = hashlib.sha256(serial.encode("ascii")).digest()
        body = Designator(
            code_set=CodeSet.BINARY,
            association=Association.LOGICAL_UNIT,
            designator_type=DesignatorType.NAA,
            identifier=bytes([0x30 | digest[0] & 0x0F]) + digest[1:8],  # 3h: locally assigned
        ).encode()
    else:
        return False
    known = command.device.inquiry_data[:1] or b"\0"
    send(command, known + bytes([page]) + len(body).to_bytes(2, "big") + body, _length(command, 3, 2))
    return True


def answer_for_missing_lun(command: Command) -> bool:
    """Answer as a target does for a LUN that it does not have; False for what it refuses."""
    cdb = command.cdb
    if cdb[0] == Opcode.INQUIRY and len(cdb) >= 6 and not cdb[1] & 1:
        send(command, _NO_LOGICAL_UNIT, _length(command, 3, 2))
        return True
    if cdb[0] == Opcode.REQUEST_SENSE and len(cdb) >= 6:
        encode = descriptor_sense if cdb[1] & 1 else fixed_sense
        send(command, encode(SenseKey.ILLEGAL_REQUEST, 0x25), cdb[4])
        return True
    return False


def leave_out_lun(command: Command, lun: int) -> Command:
    """Take a LUN out of a list that came up."""
    if command.status or command.host_byte or command.data_in is None:
        return command
    try:
        luns = decode_lun_list(bytes(command.data_in[: len(command.data_in) - command.residual]))
    except LayoutError:
        return command
    kept = [one for one in luns if one != lun]
    claimed = luns.claimed - (len(luns) - len(kept))  # a list that was cut says how long it would be
    data = (claimed * 8).to_bytes(4, "big") + encode_lun_list(kept)[4:]
    send(command, data, _length(command, 6, 4))
    return command


def send(command: Command, data: bytes, allocation_length: int) -> None:
    """Give data to the initiator, cut at the allocation length and at the buffer, and set the residual."""
    buffer = command.data_in
    room = len(buffer) if buffer is not None else 0
    count = min(len(data), allocation_length, room)
    if buffer is not None and count:
        if command.borrows:
            command.data_in = memoryview(data[:count] + bytes(room - count))
        else:
            buffer[:count] = data[:count]
    command.residual = command.requested_bytes - count


def _length(command: Command, at: int, size: int) -> int:
    return int.from_bytes(command.cdb[at : at + size], "big")
