"""REPORT SUPPORTED OPERATION CODES says what the opcode tables say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midlayer.lower.virtual.command_set import COMMANDS, rows_of
from midlayer.lower.virtual.command_set_types import OWN_ROWS
from midlayer.lower.virtual.tables import ALUA_TABLE, TABLES, THIN_DISK_TABLE
from midlayer.lower.virtual.unit import ServiceActions, Table
from midlayer.mid.command import Result
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.opcodes import Opcode, cdb_length
from midlayer.standards.spc import ReportSupportedOperationCodes
from midlayer.upper.sg import execute

MakeUnit = Callable[..., LogicalUnit]


def code(result: Result) -> str:
    return result.sense.code if result.sense else ""


def ask(device: LogicalUnit, **fields: int | bool) -> bytes:
    cdb = ReportSupportedOperationCodes(allocation_length=4096, **fields).encode()
    return bytes(execute(device, cdb, data_in=4096).raise_for_status().data)


def keys(*tables: Table) -> set[tuple[int, int | None]]:
    """Return operation code and service action of all that is in some tables."""
    return {
        (opcode, action)
        for table in tables
        for opcode, handler in table.items()
        for action in (handler.actions if isinstance(handler, ServiceActions) else (None,))
    }


def test_there_is_a_row_for_every_command_with_the_length_of_its_cdb() -> None:
    assert keys(THIN_DISK_TABLE, ALUA_TABLE) == set(COMMANDS)
    for kind, table in TABLES.items():
        assert keys(table) <= set(rows_of(kind))
        assert keys(table) >= set(OWN_ROWS.get(kind, ()))
    for rows in (COMMANDS, *OWN_ROWS.values()):
        for (opcode, action), row in rows.items():
            assert (row.usage[0], len(row.usage)) == (opcode, cdb_length(opcode))
            assert action is None or row.usage[1] & 0x1F & action == action


@pytest.mark.parametrize("rctd", [False, True])
def test_all_commands(unit: MakeUnit, rctd: bool) -> None:
    device = unit(thin=True)
    data = ask(device, rctd=rctd)
    size = 20 if rctd else 8
    rows = [data[at : at + size] for at in range(4, len(data), size)]
    assert int.from_bytes(data[:4], "big") == len(data) - 4 == size * len(rows)
    said = {(row[0], int.from_bytes(row[2:4], "big") if row[5] & 1 else None) for row in rows}
    assert said == keys(THIN_DISK_TABLE)
    assert all(int.from_bytes(row[6:8], "big") == cdb_length(row[0]) for row in rows)


def test_unmap_is_for_thin_disks_alone(unit: MakeUnit) -> None:
    assert ask(unit(), reporting_options=1, requested_operation_code=Opcode.UNMAP)[1] & 7 == 1
    assert ask(unit(thin=True), reporting_options=1, requested_operation_code=Opcode.UNMAP)[1] & 7 == 3


def test_one_command(unit: MakeUnit) -> None:
    device = unit()
    data = ask(device, reporting_options=1, requested_operation_code=Opcode.READ_10)
    assert data == bytes.fromhex("0003000a") + COMMANDS[Opcode.READ_10, None].usage
    with_timeouts = ask(device, reporting_options=3, requested_operation_code=Opcode.READ_10, rctd=True)
    assert (with_timeouts[1], len(with_timeouts)) == (0x83, 4 + 10 + 12)
    capacity = {"requested_operation_code": Opcode.SERVICE_ACTION_IN_16, "requested_service_action": 0x10}
    assert ask(device, reporting_options=2, **capacity)[1] == 3
    capacity["requested_service_action"] = 0x11
    assert ask(device, reporting_options=3, **capacity) == bytes((0, 1, 0, 0))
    assert ask(device, reporting_options=3, requested_operation_code=0xC0) == bytes((0, 1, 0, 0))


@pytest.mark.parametrize(
    ("options", "opcode"),
    [(1, Opcode.SERVICE_ACTION_IN_16), (2, Opcode.READ_10), (4, Opcode.READ_10), (7, 0)],
)
def test_what_can_not_be_asked(unit: MakeUnit, options: int, opcode: int) -> None:
    cdb = ReportSupportedOperationCodes(
        reporting_options=options, requested_operation_code=opcode, allocation_length=64
    ).encode()
    result = execute(unit(), cdb, data_in=64)
    assert code(result) == "5/24/00"
    assert result.sense is not None
    assert str(result.sense.field_pointer) == "byte 2 bit 2 of the CDB"


def test_another_service_action_is_refused(unit: MakeUnit) -> None:
    result = execute(unit(), bytes.fromhex("a30a00000000000000400000"), data_in=64)
    assert code(result) == "5/24/00"
