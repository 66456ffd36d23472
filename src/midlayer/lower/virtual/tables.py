"""Which commands each kind of virtual logical unit knows: tables of operation codes, and what is in them."""

from __future__ import annotations

from midlayer.lower.virtual.changer_commands import CHANGER_TABLE
from midlayer.lower.virtual.changer_modes import ChangerModes
from midlayer.lower.virtual.copy_commands import COPY_TABLE
from midlayer.lower.virtual.diagnostics import DIAGNOSTIC_TABLE
from midlayer.lower.virtual.disc_commands import DISC_TABLE
from midlayer.lower.virtual.disc_modes import DiscModes
from midlayer.lower.virtual.enclosure_commands import ENCLOSURE_TABLE
from midlayer.lower.virtual.log_commands import LOG_TABLE
from midlayer.lower.virtual.maintenance import ALUA_TABLE, MAINTENANCE_TABLE
from midlayer.lower.virtual.medium_commands import MEDIUM_TABLE, THIN_SANITIZE
from midlayer.lower.virtual.modes import MODE_TABLE, mode_table
from midlayer.lower.virtual.persistent_commands import PERSISTENT_TABLE
from midlayer.lower.virtual.provisioning import WRITE_SAME_TABLE, get_lba_status, unmap
from midlayer.lower.virtual.sbc_commands import BLOCK_TABLE, READ_ONLY_TABLE, read_capacity_16
from midlayer.lower.virtual.spc_commands import SPC_TABLE
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.lower.virtual.start_stop import START_STOP_TABLE, prevent_allow
from midlayer.lower.virtual.tape_commands import TAPE_DATA_TABLE
from midlayer.lower.virtual.tape_modes import TapeModes
from midlayer.lower.virtual.tape_position import TAPE_POSITION_TABLE
from midlayer.lower.virtual.twin import twin_table
from midlayer.lower.virtual.unit import OpcodeTable, ServiceActions, Table
from midlayer.lower.virtual.verify_commands import VERIFY_TABLE
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import PeripheralDeviceType as Type

COMMON_TABLE: Table = OpcodeTable(
    {
        **SPC_TABLE,
        **MODE_TABLE,
        **LOG_TABLE,
        **MAINTENANCE_TABLE,
        **PERSISTENT_TABLE,
        **DIAGNOSTIC_TABLE,
    }
)

DISK_TABLE: Table = OpcodeTable(
    {
        **COMMON_TABLE,
        **BLOCK_TABLE,
        **VERIFY_TABLE,
        **WRITE_SAME_TABLE,
        **MEDIUM_TABLE,
        **START_STOP_TABLE,
        **COPY_TABLE,
        Opcode.SERVICE_ACTION_IN_16: ServiceActions({0x10: read_capacity_16, 0x12: get_lba_status}),
    }
)

TABLES: dict[int, Table] = {
    Type.DIRECT_ACCESS: DISK_TABLE,
    Type.CD_DVD: OpcodeTable(
        {
            **COMMON_TABLE,
            **mode_table(DiscModes()),
            **START_STOP_TABLE,
            **READ_ONLY_TABLE,
            **DISC_TABLE,
        }
    ),
    Type.SEQUENTIAL_ACCESS: OpcodeTable(
        {
            **COMMON_TABLE,
            **mode_table(TapeModes()),
            **TAPE_DATA_TABLE,
            **TAPE_POSITION_TABLE,
            Opcode.PREVENT_ALLOW_MEDIUM_REMOVAL: prevent_allow,
        }
    ),
    Type.MEDIUM_CHANGER: OpcodeTable(
        {
            **COMMON_TABLE,
            **mode_table(ChangerModes()),
            **CHANGER_TABLE,
            Opcode.PREVENT_ALLOW_MEDIUM_REMOVAL: prevent_allow,
        }
    ),
    Type.ENCLOSURE_SERVICES: OpcodeTable({**COMMON_TABLE, **ENCLOSURE_TABLE}),
}
"""One opcode table for each device type; a type that is not here has `COMMON_TABLE`."""

THIN_DISK_TABLE: Table = OpcodeTable({**DISK_TABLE, Opcode.UNMAP: unmap, Opcode.SANITIZE: THIN_SANITIZE})


def table_of(spec: UnitSpec) -> Table:
    """Return what a unit knows, by its type and by what the configuration gives it."""
    table = TABLES.get(spec.type, COMMON_TABLE)
    if spec.thin and table is DISK_TABLE:
        table = THIN_DISK_TABLE
    if spec.alua:
        table = OpcodeTable({**table, **ALUA_TABLE})
    return OpcodeTable(twin_table(spec.twin, table)) if spec.twin is not None else table
