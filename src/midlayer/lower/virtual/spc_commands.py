"""Commands that every virtual logical unit knows (SPC)."""

from __future__ import annotations

from typing import Any

from midlayer.lower.virtual import pages, vpd_pages
from midlayer.lower.virtual.answers import fields, illegal_request, invalid_field, no_data, send
from midlayer.lower.virtual.attentions import REPORTED_LUNS_CHANGED
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import is_well_known_lun
from midlayer.standards.sense import SenseKey, descriptor_sense, fixed_sense
from midlayer.standards.spc import (
    Inquiry,
    ReportLuns,
    RequestSense,
    encode_lun_list,
)

REPORT_LUNS_WELL_KNOWN = 0xC101


def test_unit_ready(unit: VirtualUnit, command: Command) -> None:
    """TEST UNIT READY (SPC-4 6.47): ready."""
    if command.data_in is not None or command.data_out is not None:
        no_data(command)


def inquiry(unit: VirtualUnit, command: Command) -> None:
    """INQUIRY (SPC-4 6.6)."""
    cdb = command.cdb
    if len(cdb) < Inquiry.size:
        raise invalid_field(len(cdb) - 1)
    # With the size of the disk in it, so that an answer which is late for a resize harms nobody.
    key = ((cdb[1] & 0x03) << 8 | cdb[2], command.nexus.relative_target_port, unit.blocks)
    data = unit.inquiry_data.get(key)
    if data is None:
        data = unit.inquiry_data[key] = _inquiry_data(unit, command)
    send(command, data, cdb[3] << 8 | cdb[4])


def _inquiry_data(unit: VirtualUnit, command: Command) -> bytes:
    """Return what INQUIRY asks for, by nothing but what is in the key of `inquiry`."""
    cdb = Inquiry.decode(command.cdb)
    if command.cdb[1] & 0x02:  # CMDDT, obsolete
        raise invalid_field(1, 1)
    if not cdb.evpd:
        if cdb.page_code:
            raise invalid_field(2)
        return pages.standard_inquiry(unit)
    page = vpd_pages.vpd_page(unit, cdb.page_code, command.nexus)
    if page is None:
        raise invalid_field(2)
    return page


def missing_unit_inquiry(command: Command) -> None:
    """INQUIRY for a LUN that the target does not have: qualifier 011b, type 1Fh (SPC-4 6.6.2)."""
    cdb = fields(Inquiry, command)
    if cdb.evpd or cdb.page_code:
        raise invalid_field(2 if cdb.page_code else 1)
    send(command, pages.NO_LOGICAL_UNIT, cdb.allocation_length)


def report_luns(unit: VirtualUnit, command: Command) -> None:
    """REPORT LUNS (SPC-4 6.33), SELECT REPORT 00h to 02h."""
    send_lun_list(command, unit.neighbourhood.luns())
    if unit.attentions.pending:
        unit.attentions.clear(command.nexus, REPORTED_LUNS_CHANGED)
        unit.regard()


def send_lun_list(command: Command, luns: list[int]) -> None:
    """Answer REPORT LUNS with `luns`, as SELECT REPORT asks for."""
    cdb = fields(ReportLuns, command)
    if cdb.select_report > 2:
        raise invalid_field(2)
    if cdb.allocation_length < 16:
        raise invalid_field(6)
    if cdb.select_report < 2:
        well_known = cdb.select_report == 1
        luns = [lun for lun in luns if is_well_known_lun(lun) is well_known]
    send(command, encode_lun_list(luns), cdb.allocation_length)


def request_sense(unit: VirtualUnit, command: Command) -> None:
    """REQUEST SENSE (SPC-4 6.39): a unit attention, or why the unit is not ready, or nothing.

    Sense data goes with each command, so there is none left here of an earlier one.
    """
    attention = unit.attentions.take(command.nexus) if unit.attentions.pending else None
    if attention is not None:
        unit.regard()
        _send_sense(command, SenseKey.UNIT_ATTENTION, *attention)
        return
    operation = unit.operation
    if operation is not None:
        why = operation.refusal()
        _send_sense(command, why.key, why.asc, why.ascq, **why.details)
    else:
        _send_sense(command, *(unit.not_ready or (SenseKey.NO_SENSE, 0, 0)))


def missing_unit_sense(command: Command) -> None:
    """REQUEST SENSE for a LUN without a device: LOGICAL UNIT NOT SUPPORTED is the data (SPC-4 6.39)."""
    _send_sense(command, SenseKey.ILLEGAL_REQUEST, 0x25)


def _send_sense(command: Command, key: int, asc: int, ascq: int = 0, **details: Any) -> None:
    cdb = fields(RequestSense, command)
    encode = descriptor_sense if cdb.desc else fixed_sense
    send(command, encode(key, asc, ascq, **details), cdb.allocation_length)


def _not_accessible_sense(unit: VirtualUnit, command: Command) -> None:
    missing_unit_sense(command)


def not_accessible(unit: VirtualUnit, command: Command) -> None:
    """Refuse what a logical unit can not do whose qualifier is not 000b (SPC-4 6.6.2)."""
    raise illegal_request(0x25)


SPC_TABLE: dict[int, Handler] = {
    Opcode.TEST_UNIT_READY: test_unit_ready,
    Opcode.REQUEST_SENSE: request_sense,
    Opcode.INQUIRY: inquiry,
    Opcode.REPORT_LUNS: report_luns,
}

NOT_ACCESSIBLE_TABLE: dict[int, Handler] = {
    **dict.fromkeys(range(256), not_accessible),
    Opcode.REQUEST_SENSE: _not_accessible_sense,
    Opcode.INQUIRY: inquiry,
    Opcode.REPORT_LUNS: report_luns,
}
