"""REPORT SUPPORTED OPERATION CODES: what a virtual unit knows, and which bits of a CDB it looks at."""

from __future__ import annotations

from midlayer.lower.virtual.unit import VirtualUnit, fields, invalid_field, send
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import ReportSupportedOperationCodes

REPORT_SUPPORTED_OPERATION_CODES = 0x0C
_NOT_SUPPORTED, _SUPPORTED = 0b001, 0b011
_SERVACTV, _CTDP = 0x01, 0x02
_TIMEOUTS = bytes((0x00, 0x0A)) + bytes(10)  # no nominal and no recommended time is stated


def _usage(text: str) -> bytes:
    return bytes.fromhex(text)


USAGE: dict[int, bytes] = {
    Opcode.TEST_UNIT_READY: _usage("00 00 00 00 00 00"),
    Opcode.REQUEST_SENSE: _usage("03 01 00 00 ff 00"),
    Opcode.READ_6: _usage("08 1f ff ff ff 00"),
    Opcode.WRITE_6: _usage("0a 1f ff ff ff 00"),
    Opcode.INQUIRY: _usage("12 01 ff ff ff 00"),
    Opcode.MODE_SENSE_6: _usage("1a 08 ff ff ff 00"),
    Opcode.READ_CAPACITY_10: _usage("25 00 ff ff ff ff 00 00 01 00"),
    Opcode.READ_10: _usage("28 18 ff ff ff ff 00 ff ff 00"),
    Opcode.WRITE_10: _usage("2a 18 ff ff ff ff 00 ff ff 00"),
    Opcode.VERIFY_10: _usage("2f 16 ff ff ff ff 00 ff ff 00"),
    Opcode.SYNCHRONIZE_CACHE_10: _usage("35 02 ff ff ff ff 00 ff ff 00"),
    Opcode.WRITE_SAME_10: _usage("41 08 ff ff ff ff 00 ff ff 00"),
    Opcode.UNMAP: _usage("42 00 00 00 00 00 00 ff ff 00"),
    Opcode.MODE_SENSE_10: _usage("5a 18 ff ff 00 00 00 ff ff 00"),
    Opcode.READ_16: _usage("88 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
    Opcode.WRITE_16: _usage("8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
    Opcode.VERIFY_16: _usage("8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
    Opcode.SYNCHRONIZE_CACHE_16: _usage("91 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
    Opcode.WRITE_SAME_16: _usage("93 09 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
    Opcode.SERVICE_ACTION_IN_16: _usage("9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 00"),
    Opcode.REPORT_LUNS: _usage("a0 00 ff 00 00 00 ff ff ff ff 00 00"),
    Opcode.MAINTENANCE_IN: _usage("a3 0c 87 ff ff ff ff ff ff ff 00 00"),
    Opcode.READ_12: _usage("a8 18 ff ff ff ff ff ff ff ff 00 00"),
    Opcode.WRITE_12: _usage("aa 18 ff ff ff ff ff ff ff ff 00 00"),
    Opcode.VERIFY_12: _usage("af 16 ff ff ff ff ff ff ff ff 00 00"),
}
"""CDB usage data (SPC-4 6.35.3): one bits are evaluated; the first byte is the operation code itself."""

SERVICE_ACTIONS: dict[int, int] = {
    Opcode.SERVICE_ACTION_IN_16: 0x10,
    Opcode.MAINTENANCE_IN: REPORT_SUPPORTED_OPERATION_CODES,
}
"""The one service action that is known of each operation code that has them."""


def maintenance_in(unit: VirtualUnit, command: Command) -> None:
    """MAINTENANCE IN: REPORT SUPPORTED OPERATION CODES (SPC-4 6.35)."""
    if command.cdb[1] & 0x1F != REPORT_SUPPORTED_OPERATION_CODES:
        raise invalid_field(1, 4)
    cdb = fields(ReportSupportedOperationCodes, command)
    if cdb.reporting_options > 3:
        raise invalid_field(2, 2)
    data = _all(unit, cdb) if not cdb.reporting_options else _one(unit, cdb)
    send(command, data, cdb.allocation_length)


def _all(unit: VirtualUnit, cdb: ReportSupportedOperationCodes) -> bytes:
    """Return a descriptor for each command (SPC-4 table 306)."""
    descriptors = bytearray()
    for opcode in sorted(unit.table):
        action = SERVICE_ACTIONS.get(opcode)
        flags = (_SERVACTV if action is not None else 0) | (_CTDP if cdb.rctd else 0)
        length = len(USAGE[opcode])
        descriptors += bytes((opcode, 0)) + (action or 0).to_bytes(2, "big") + bytes((0, flags))
        descriptors += length.to_bytes(2, "big")
        if cdb.rctd:
            descriptors += _TIMEOUTS
    return len(descriptors).to_bytes(4, "big") + descriptors


def _one(unit: VirtualUnit, cdb: ReportSupportedOperationCodes) -> bytes:
    """Return what is known of one command (SPC-4 table 308)."""
    opcode, action = cdb.requested_operation_code, SERVICE_ACTIONS.get(cdb.requested_operation_code)
    if cdb.reporting_options == 1 and action is not None:
        raise invalid_field(2, 2)
    if cdb.reporting_options == 2 and action is None and opcode in unit.table:
        raise invalid_field(2, 2)
    if opcode not in unit.table or (action or 0) != (cdb.requested_service_action if action else 0):
        return bytes((0, _NOT_SUPPORTED, 0, 0))
    usage = USAGE[opcode]
    support = _SUPPORTED | (0x80 if cdb.rctd else 0)
    return bytes((0, support)) + len(usage).to_bytes(2, "big") + usage + (_TIMEOUTS if cdb.rctd else b"")
