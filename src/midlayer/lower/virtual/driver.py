"""The virtual host adapter: a lower-level driver whose devices are values in this process."""

from __future__ import annotations

import errno
import logging
import struct
import threading
from collections.abc import Callable

from midlayer.errors import DeviceExists, MidlayerError
from midlayer.lower.virtual.sbc_commands import READ_ONLY_TABLE, SBC_TABLE, unmap
from midlayer.lower.virtual.spc_commands import (
    NOT_ACCESSIBLE_TABLE,
    REPORT_LUNS_WELL_KNOWN,
    SPC_TABLE,
    missing_unit_inquiry,
    missing_unit_sense,
    send_lun_list,
)
from midlayer.lower.virtual.spec import HostSpec, SpecError, UnitSpec
from midlayer.lower.virtual.supported import maintenance_in
from midlayer.lower.virtual.twin import twin_table
from midlayer.lower.virtual.unit import (
    CheckCondition,
    Table,
    VirtualUnit,
    fail,
    illegal_request,
    invalid_field,
    no_data,
)
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.queue_depth import change_queue_depth
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey, fixed_sense
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.standards.spc import PeripheralQualifier

_log = logging.getLogger("midlayer.virtual")

_WITH_BLOCKS = frozenset({Type.DIRECT_ACCESS, Type.CD_DVD})

COMMON_TABLE: Table = {**SPC_TABLE, Opcode.MAINTENANCE_IN: maintenance_in}

TABLES: dict[int, Table] = {
    Type.DIRECT_ACCESS: {**COMMON_TABLE, **SBC_TABLE},
    Type.CD_DVD: {**COMMON_TABLE, **READ_ONLY_TABLE},
}
"""One opcode table for each device type; a type that is not here has `COMMON_TABLE`."""

THIN_DISK_TABLE: Table = {**TABLES[Type.DIRECT_ACCESS], Opcode.UNMAP: unmap}

_UNREADABLE = fixed_sense(SenseKey.MEDIUM_ERROR, 0x11, 0x00)
_UNWRITABLE = fixed_sense(SenseKey.MEDIUM_ERROR, 0x0C, 0x00)
_NO_SPACE = fixed_sense(SenseKey.DATA_PROTECT, 0x27, 0x07)
_NOT_SUPPORTED = illegal_request(0x20).sense_data


class Bus:
    """What hangs on one virtual host: units by channel and target, then by LUN."""

    def __init__(self, spec: HostSpec) -> None:
        self.spec = spec
        self.units: dict[tuple[int, int], dict[int, VirtualUnit]] = {}
        self.lock = threading.Lock()

    def luns(self, channel: int, target: int) -> list[int]:
        """Return the LUNs of one target, in order."""
        with self.lock:
            return sorted(self.units.get((channel, target), {}))

    def count(self) -> int:
        """Return the number of units."""
        with self.lock:
            return sum(map(len, self.units.values()))

    def take(self, place: tuple[int, int], lun: int) -> VirtualUnit | None:
        """Remove a unit and return it; None if there is none."""
        with self.lock:
            units = self.units.get(place, {})
            unit = units.pop(lun, None)
            if unit is not None and not units:
                del self.units[place]
            return unit


class VirtualDriver(HostTemplate):
    """Lower-level driver of virtual hosts. Commands complete in the caller's thread."""

    name = "midlayer virtual HBA"
    proc_name = "virtual"
    can_queue = 1024
    cmd_per_lun = 64
    max_sectors = 65536

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem

    def add_host(self, spec: HostSpec | None = None, *, scan: bool = True) -> Host:
        """Bring up a host with its units.

        Args:
            spec: What the host is; without it, an empty one.
            scan: False to leave the scan to the caller.
        """
        spec = spec or HostSpec()
        host = self._subsystem.host_alloc(self, host_no=spec.host_no)
        host.name = spec.name
        host.can_queue, host.cmd_per_lun = spec.can_queue, spec.cmd_per_lun
        host.max_cmd_len, host.this_id = spec.max_cmd_len, spec.this_id
        host.max_channel, host.max_id, host.max_lun = spec.max_channel, spec.max_id, spec.max_lun
        bus = host.hostdata = Bus(spec)
        try:
            for unit in (single for table in spec.units for single in table.expanded()):
                self._connect(host, bus, unit)
            self._subsystem.add_host(host)
        except BaseException:
            host.put()
            raise
        if scan:
            self._subsystem.scan_host(host)
        return host

    def remove_host(self, host: Host) -> None:
        """Take down a host and everything on it."""
        self._subsystem.remove_host(host)
        host.put()

    def plug(self, host: Host, spec: UnitSpec) -> LogicalUnit:
        """Connect a unit, scan its address and return the device.

        Raises:
            DeviceExists: If a unit is there already.
            NoSuchDevice: If the mid level adds no device for this qualifier and type.
            SpecError: If `spec` stands for more than one unit.
        """
        if spec.count != 1:
            raise SpecError("count", "units are plugged in one at a time")
        with host.scan_mutex:
            self._connect(host, host.hostdata, spec)
            try:
                return self._subsystem.add_device(host, spec.channel, spec.target, spec.lun)
            except MidlayerError:
                self.disconnect(host, spec.channel, spec.target, spec.lun)
                raise

    def unplug(self, device: LogicalUnit) -> None:
        """Pull a unit out, and remove its device."""
        with device.host.scan_mutex:
            self.user_remove(device)
            self._subsystem.remove_device(device)

    def disconnect(self, host: Host, channel: int, target: int, lun: int) -> None:
        """Pull a unit out without a word to the mid level, as a failing cable does."""
        bus: Bus | None = host.hostdata
        unit = bus.take((channel, target), lun) if bus is not None else None
        if unit is not None:
            unit.close(_UNPLUGGED_TABLE)

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        unit: VirtualUnit | None = command.device.hostdata
        if unit is None:
            _answer_for_missing_unit(command)
        else:
            handler = unit.table.get(command.cdb[0])
            if handler is None:
                fail(command, _NOT_SUPPORTED)
            else:
                try:
                    handler(unit, command)
                except CheckCondition as refusal:
                    fail(command, refusal.sense_data)
                except struct.error:
                    fail(command, invalid_field(len(command.cdb) - 1).sense_data)
                except OSError as error:
                    _fail_by_medium(unit, command, error)
        done(command)
        return 0

    def info(self, host: Host) -> str:
        bus: Bus | None = host.hostdata
        return host.name if bus is None else f"{host.name}, {bus.count()} units"

    def target_alloc(self, target: Target) -> int:
        bus: Bus = target.host.hostdata
        return 0 if (target.channel, target.id) in bus.units else errno.ENXIO

    def slave_alloc(self, device: LogicalUnit) -> int:
        bus: Bus = device.host.hostdata
        _, channel, target, lun = device.address
        device.hostdata = bus.units.get((channel, target), {}).get(lun)
        return 0

    def change_queue_depth(self, device: LogicalUnit, depth: int) -> int:
        return change_queue_depth(device, depth)

    def release(self, host: Host) -> None:
        bus: Bus = host.hostdata
        for units in bus.units.values():
            for unit in units.values():
                unit.close(_UNPLUGGED_TABLE)
        bus.units.clear()

    def user_remove(self, device: LogicalUnit) -> bool:
        unit: VirtualUnit | None = device.hostdata
        if unit is not None and unit.plugged:  # else its place may belong to a later unit by now
            self.disconnect(device.host, *device.address[1:])
        return False

    def _connect(self, host: Host, bus: Bus, spec: UnitSpec) -> None:
        place = (spec.channel, spec.target)
        with bus.lock:
            if spec.lun in bus.units.get(place, {}):
                raise DeviceExists(
                    f"{host.host_no}:{spec.channel}:{spec.target}:{spec.lun}: a unit is plugged in there"
                )
            unit = _make_unit(spec.identified(host.host_no), bus)
            bus.units.setdefault(place, {})[spec.lun] = unit
        known = host.targets.get(place)
        device = known.logical_units.get(spec.lun) if known else None
        if device is not None:  # the unit before was pulled without a word: the address has another one now
            device.hostdata = unit


def _make_unit(spec: UnitSpec, bus: Bus) -> VirtualUnit:
    accessible = spec.qualifier == PeripheralQualifier.CONNECTED
    table = TABLES.get(spec.type, COMMON_TABLE) if accessible else NOT_ACCESSIBLE_TABLE
    if spec.thin and table is TABLES[Type.DIRECT_ACCESS]:
        table = THIN_DISK_TABLE
    if not bus.spec.report_luns:
        table = {opcode: handler for opcode, handler in table.items() if opcode != Opcode.REPORT_LUNS}
    if spec.twin is not None:
        table = twin_table(spec.twin, table)
    has_blocks = accessible and spec.type in _WITH_BLOCKS
    return VirtualUnit(spec, table, lambda: bus.luns(spec.channel, spec.target), has_blocks=has_blocks)


def _fail_by_medium(unit: VirtualUnit, command: Command, error: OSError) -> None:
    """Say what an error of the file, or of memory, means for a disk."""
    if not unit.plugged:
        command.residual = 0
        _answer_for_missing_unit(command)
        return
    _log.error("%s: %s", command, str(error))  # the error itself would keep the descriptor open
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fail(command, _NO_SPACE)
    else:
        fail(command, _UNREADABLE if command.data_in is not None else _UNWRITABLE)


def _answer_for_missing_unit(command: Command) -> None:
    """A LUN that is not there: its target still answers for it (SPC-4 6.6.2, SAM-5 4.7)."""
    bus: Bus | None = command.device.host.hostdata
    _, channel, target, lun = command.device.address
    luns = bus.luns(channel, target) if bus is not None else []
    opcode = command.cdb[0]
    try:
        if bus is None or not luns:
            command.host_byte = HostByte.DID_NO_CONNECT
            no_data(command)
        elif opcode == Opcode.INQUIRY:
            missing_unit_inquiry(command)
        elif opcode == Opcode.REQUEST_SENSE:
            missing_unit_sense(command)
        elif opcode == Opcode.REPORT_LUNS and bus.spec.report_luns and lun in (0, REPORT_LUNS_WELL_KNOWN):
            send_lun_list(command, luns)
        else:
            raise illegal_request(0x25)
    except CheckCondition as refusal:
        fail(command, refusal.sense_data)


def _unplugged(unit: VirtualUnit, command: Command) -> None:
    _answer_for_missing_unit(command)


_UNPLUGGED_TABLE: Table = dict.fromkeys(range(256), _unplugged)
