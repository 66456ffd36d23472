"""EXTENDED COPY(LID1) and RECEIVE COPY RESULTS between virtual disks (SPC-4 5.16, 6.4, 6.18 to 6.21)."""

from __future__ import annotations

import logging

from midlayer.lower.virtual.answers import (
    CheckCondition,
    ReservationConflict,
    fields,
    illegal_request,
    invalid_field,
    invalid_parameter,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.blocks import CHUNK_BYTES, written
from midlayer.lower.virtual.command_rows import READS, WRITES, Access
from midlayer.lower.virtual.unit import Copies, Handler, ServiceActions, VirtualUnit
from midlayer.mid.command import Command
from midlayer.mid.nexus import Nexus
from midlayer.standards import extended_copy as xcopy
from midlayer.standards.designators import DesignatorType
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import PeripheralDeviceType

_log = logging.getLogger("midlayer.virtual")

COPY_STATUS, OPERATING_PARAMETERS, FAILURE_DETAILS = 0x00, 0x03, 0x04
_THIRD_PARTY_DEVICE_FAILURE = (0x0D, 0x01)
_HEADER = xcopy.ParameterListHeader.size
_CSCD, _SEGMENT = xcopy.IdentificationCscd, xcopy.BlockToBlockSegment
_NO_LIST_ID = 3  # LIST ID USAGE 11b: the copy manager keeps nothing of the copy
_SPC_4 = 6  # as the version of INQUIRY data has it
_MOST_KEPT = 64


def extended_copy(unit: VirtualUnit, command: Command) -> None:
    """EXTENDED COPY(LID1) (SPC-4 6.4), which has ended when the command ends."""
    cdb = fields(xcopy.ExtendedCopy, command)
    if not cdb.parameter_list_length:
        no_data(command)
        return
    data = bytes(received(command, cdb.parameter_list_length))
    header, targets, segments = _split(data, reserved=unit.spec.scsi_level < _SPC_4)
    nexus, copied, done = command.nexus, 0, 0
    try:
        units = [_unit_of(unit, target) for target in targets]
        for segment in segments:
            copied += _copy(segment, units, targets, nexus)
            done += 1
    except CheckCondition as failure:
        failure.details["command_specific"] = done  # the segment, in the low 16 bits (SPC-4 5.16.7.3)
        _keep(unit.copies, nexus, header, xcopy.CopyStatus(
            failed=True, segments=done, copied_bytes=copied, sense=failure.sense_data()
        ))  # fmt: skip
        raise
    _keep(unit.copies, nexus, header, xcopy.CopyStatus(failed=False, segments=done, copied_bytes=copied))


def _split(
    data: bytes, *, reserved: bool
) -> tuple[xcopy.ParameterListHeader, list[xcopy.IdentificationCscd], list[bytes]]:
    """Cut a parameter list into its header and its descriptors (SPC-4 table 125).

    Args:
        data: The list.
        reserved: What SPC-4 ignores in a CSCD descriptor is reserved, as in SPC-3.
    """
    if len(data) < _HEADER:
        raise parameter_list_length_error()
    header = xcopy.ParameterListHeader.decode(data)
    targets, segments = header.cscd_descriptor_list_length, header.segment_descriptor_list_length
    if _HEADER + targets + segments + header.inline_data_length > len(data):
        raise parameter_list_length_error()
    if targets + segments > xcopy.MAX_DESCRIPTOR_LIST_BYTES and (
        targets > xcopy.MAX_CSCD_DESCRIPTORS * _CSCD.size
        and segments > xcopy.MAX_SEGMENT_DESCRIPTORS * _SEGMENT.size
    ):
        raise parameter_list_length_error()
    if header.inline_data_length:
        raise illegal_request(0x26, 0x0B)
    if targets > xcopy.MAX_CSCD_DESCRIPTORS * _CSCD.size:
        raise illegal_request(0x26, 0x06)
    if targets % _CSCD.size:
        raise invalid_parameter(2)
    first = _HEADER + targets
    return (
        header,
        [
            _cscd(data[at : at + _CSCD.size], at, reserved=reserved)
            for at in range(_HEADER, first, _CSCD.size)
        ],
        _segments(data[first : first + segments]),
    )


def _cscd(data: bytes, at: int, *, reserved: bool) -> xcopy.IdentificationCscd:
    if data[0] != _CSCD.descriptor_type:
        raise illegal_request(0x26, 0x07)
    target = _CSCD.decode(data)
    if reserved and (target.lu_id_type or target.nul):
        raise invalid_parameter(at + 1, 7)
    if target.peripheral_device_type != PeripheralDeviceType.DIRECT_ACCESS:
        raise invalid_parameter(at + 1, 4)
    return target


def _segments(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        if data[at] != _SEGMENT.descriptor_type:
            raise illegal_request(0x26, 0x09)
        if len(data) - at < _SEGMENT.size:
            raise parameter_list_length_error()
        found.append(data[at : at + _SEGMENT.size])
        at += _SEGMENT.size
    if len(found) > xcopy.MAX_SEGMENT_DESCRIPTORS:
        raise illegal_request(0x26, 0x08)
    return found


def _aborted(asc: int, ascq: int) -> CheckCondition:
    return CheckCondition(SenseKey.COPY_ABORTED, asc, ascq)


def _unit_of(unit: VirtualUnit, target: xcopy.IdentificationCscd) -> VirtualUnit:
    """Return the unit that a CSCD descriptor names: only an NAA designator of a unit names one here."""
    found = None
    if target.designator_type == DesignatorType.NAA and not target.association:
        wanted = target.designator.hex()
        found = unit if wanted == unit.spec.naa else unit.neighbourhood.find(wanted)
    if found is None or not found.blocks:
        raise _aborted(0x0D, 0x02)
    return found


def _copy(
    data: bytes, units: list[VirtualUnit], targets: list[xcopy.IdentificationCscd], nexus: Nexus
) -> int:
    """Do one segment and return how many bytes it has copied."""
    segment = _SEGMENT.decode(data)
    if max(segment.source_cscd, segment.destination_cscd) >= len(units):
        raise _aborted(0x0D, 0x02)
    source, destination = units[segment.source_cscd], units[segment.destination_cscd]
    if any(
        target.disk_block_length not in (0, unit.block_size)
        for target, unit in zip(targets, units, strict=True)
    ):
        raise _aborted(0x26, 0x00)
    counted_in = destination if segment.dc else source
    length = segment.block_device_number_of_blocks * counted_in.block_size
    if length % source.block_size or length % destination.block_size:
        raise _aborted(0x26, 0x0A)  # what is left over would have to be padded
    from_, to = segment.source_logical_block_address, segment.destination_logical_block_address
    for unit, lba in ((source, from_), (destination, to)):
        if lba + length // unit.block_size > unit.blocks:
            raise _aborted(0x00, 0x00)  # which segment it was, is in the sense data
    _check_access(source, nexus, READS)
    _check_access(destination, nexus, WRITES)
    try:
        _move(source, from_ * source.block_size, destination, to * destination.block_size, length)
    except OSError as error:  # of either medium, and the initiator asked neither of them
        _log.error("EXTENDED COPY from %s to %s: %s", source.spec.naa, destination.spec.naa, error.strerror)
        raise _aborted(*_THIRD_PARTY_DEVICE_FAILURE) from None
    return length


def _check_access(unit: VirtualUnit, nexus: Nexus, access: Access) -> None:
    """Refuse what the initiator could not do itself (SPC-4 5.16.5)."""
    if unit.not_ready is not None:
        raise _aborted(*unit.not_ready[1:])
    state = unit.reservations
    if state.reserved_by not in (None, nexus) or state.conflicts(nexus, access):
        raise ReservationConflict
    if access is WRITES and unit.read_only:
        raise _aborted(0x27, 0x00)


def _move(source: VirtualUnit, from_: int, destination: VirtualUnit, to: int, length: int) -> None:
    buffer = memoryview(bytearray(min(length, CHUNK_BYTES)))
    for at in range(0, length, CHUNK_BYTES):
        piece = buffer[: min(CHUNK_BYTES, length - at)]
        source.medium.read_into(from_ + at, piece)
        with destination.exclusive:
            destination.medium.write(to + at, piece)
    written(destination)


def _keep(copies: Copies, nexus: Nexus, header: xcopy.ParameterListHeader, status: xcopy.CopyStatus) -> None:
    """Keep how a copy ended until its initiator asks, if that gave it a list identifier."""
    if header.list_id_usage == _NO_LIST_ID:
        return
    for action in (COPY_STATUS, FAILURE_DETAILS):
        copies.pop((nexus, header.list_identifier, action), None)
    copies[nexus, header.list_identifier, COPY_STATUS] = status
    if status.failed:
        copies[nexus, header.list_identifier, FAILURE_DETAILS] = status
    while len(copies) > _MOST_KEPT:
        del copies[next(iter(copies))]


def copy_results(unit: VirtualUnit, command: Command) -> None:
    """RECEIVE COPY STATUS(LID1), OPERATING PARAMETERS and FAILURE DETAILS(LID1).

    What has been told is forgotten (SPC-4 5.16.5).
    """
    cdb = fields(xcopy.ReceiveCopyResults, command)
    if cdb.service_action == OPERATING_PARAMETERS:
        send(command, xcopy.operating_parameters(), cdb.allocation_length)
        return
    status = unit.copies.pop((command.nexus, cdb.list_identifier, cdb.service_action), None)
    if status is None:
        raise invalid_field(2)
    data = status.encode() if cdb.service_action == COPY_STATUS else status.encode_failure()
    send(command, data, cdb.allocation_length)


COPY_TABLE: dict[int, Handler] = {
    Opcode.THIRD_PARTY_COPY_OUT: ServiceActions({0x00: extended_copy}),
    Opcode.THIRD_PARTY_COPY_IN: ServiceActions(
        dict.fromkeys((COPY_STATUS, OPERATING_PARAMETERS, FAILURE_DETAILS), copy_results)
    ),
}
