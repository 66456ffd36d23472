"""The virtual host adapter: a lower-level driver whose devices are values in this process."""

from __future__ import annotations

import errno
import struct
import threading
from collections.abc import Callable

from midlayer.errors import DeviceExists, MidlayerError
from midlayer.lower.virtual.sbc_commands import READ_ONLY_TABLE, SBC_TABLE
from midlayer.lower.virtual.spc_commands import (
    NOT_ACCESSIBLE_TABLE,
    REPORT_LUNS_WELL_KNOWN,
    SPC_TABLE,
    missing_unit_inquiry,
    send_lun_list,
)
from midlayer.lower.virtual.spec import HostSpec, UnitSpec
from midlayer.lower.virtual.unit import CheckCondition, Table, VirtualUnit, fail, illegal_request, invalid_field
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey, fixed_sense
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.standards.spc import PeripheralQualifier

_WITH_BLOCKS = frozenset({Type.DIRECT_ACCESS, Type.CD_DVD, Type.HOST_MANAGED_ZONED_BLOCK, Type.WRITE_ONCE})

TABLES: dict[int, Table] = {
    Type.DIRECT_ACCESS: {**SPC_TABLE, **SBC_TABLE},
    Type.CD_DVD: {**SPC_TABLE, **READ_ONLY_TABLE},
}
"""One opcode table for each device type; a type that is not here knows the commands of SPC."""

_UNREADABLE = fixed_sense(SenseKey.MEDIUM_ERROR, 0x11, 0x00)
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
            for unit in (single for unit in spec.units for single in unit.expanded()):
                self._connect(host, bus, unit)
            self._subsystem.add_host(host)
        except MidlayerError:
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
        """
        with host.scan_mutex:
            self._connect(host, host.hostdata, spec)
            try:
                return self._subsystem.add_device(host, spec.channel, spec.target, spec.lun)
            except MidlayerError:
                self.disconnect(host, spec.channel, spec.target, spec.lun)
                raise

    def unplug(self, device: LogicalUnit) -> None:
        """Pull a unit out, and remove its device."""
        self.user_remove(device)
        self._subsystem.remove_device(device)

    def disconnect(self, host: Host, channel: int, target: int, lun: int) -> None:
        """Pull a unit out without a word to the mid level, as a failing cable does."""
        bus: Bus = host.hostdata
        with bus.lock:
            unit = bus.units.get((channel, target), {}).pop(lun, None)
            if not bus.units.get((channel, target), True):
                del bus.units[channel, target]
        if unit is not None:
            unit.close()

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
                except OSError:
                    fail(command, _UNREADABLE)
        done(command)
        return 0

    def info(self, host: Host) -> str:
        bus: Bus = host.hostdata
        return f"{host.name}, {sum(map(len, bus.units.values()))} units"

    def target_alloc(self, target: Target) -> int:
        bus: Bus = target.host.hostdata
        return 0 if (target.channel, target.id) in bus.units else errno.ENXIO

    def slave_alloc(self, device: LogicalUnit) -> int:
        bus: Bus = device.host.hostdata
        _, channel, target, lun = device.address
        device.hostdata = bus.units.get((channel, target), {}).get(lun)
        return 0

    def release(self, host: Host) -> None:
        bus: Bus = host.hostdata
        for units in bus.units.values():
            for unit in units.values():
                unit.close()
        bus.units.clear()

    def user_remove(self, device: LogicalUnit) -> bool:
        _, channel, target, lun = device.address
        self.disconnect(device.host, channel, target, lun)
        return False

    def _connect(self, host: Host, bus: Bus, spec: UnitSpec) -> None:
        place = (spec.channel, spec.target)
        with bus.lock:
            if spec.lun in bus.units.get(place, {}):
                raise DeviceExists(
                    f"{host.host_no}:{spec.channel}:{spec.target}:{spec.lun}: a unit is plugged in there already"
                )
            unit = _make_unit(spec.identified(host.host_no), bus)
            bus.units.setdefault(place, {})[spec.lun] = unit


def _make_unit(spec: UnitSpec, bus: Bus) -> VirtualUnit:
    accessible = spec.qualifier == PeripheralQualifier.CONNECTED
    table = TABLES.get(spec.type, SPC_TABLE) if accessible else NOT_ACCESSIBLE_TABLE
    if not bus.spec.report_luns:
        table = {opcode: handler for opcode, handler in table.items() if opcode != Opcode.REPORT_LUNS}
    has_blocks = accessible and spec.type in _WITH_BLOCKS
    return VirtualUnit(
        spec, table, lambda: bus.luns(spec.channel, spec.target), has_blocks=has_blocks
    )


def _answer_for_missing_unit(command: Command) -> None:
    """A LUN that is not there: its target still answers INQUIRY and REPORT LUNS (SPC-4 6.6.2, SAM-5 4.7)."""
    bus: Bus = command.device.host.hostdata
    _, channel, target, lun = command.device.address
    luns = bus.luns(channel, target)
    opcode = command.cdb[0]
    try:
        if not luns:
            command.host_byte = HostByte.DID_NO_CONNECT
            command.residual = command.requested_bytes
        elif opcode == Opcode.INQUIRY:
            missing_unit_inquiry(command)
        elif opcode == Opcode.REPORT_LUNS and bus.spec.report_luns and lun in (0, REPORT_LUNS_WELL_KNOWN):
            send_lun_list(command, luns)
        else:
            raise illegal_request(0x25)
    except CheckCondition as refusal:
        fail(command, refusal.sense_data)
