"""The virtual host adapter: a lower-level driver whose devices are values in this process."""

from __future__ import annotations

import errno
import logging
import struct
import threading
from collections.abc import Callable
from functools import partial

from midlayer.errors import DeviceExists, MidlayerError, SpecError
from midlayer.lower.virtual.answers import (
    CheckCondition,
    ReservationConflict,
    conflict,
    fail,
    illegal_request,
    invalid_field,
    no_data,
)
from midlayer.lower.virtual.attentions import BUS_RESET, DEVICE_RESET, REPORTED_LUNS_CHANGED, Attention
from midlayer.lower.virtual.command_rows import Access
from midlayer.lower.virtual.command_set import access_of
from midlayer.lower.virtual.guard import GUARDED
from midlayer.lower.virtual.operations import Deferred
from midlayer.lower.virtual.spc_commands import (
    NOT_ACCESSIBLE_TABLE,
    REPORT_LUNS_WELL_KNOWN,
    missing_unit_inquiry,
    missing_unit_sense,
    send_lun_list,
)
from midlayer.lower.virtual.spec import HostSpec, UnitSpec
from midlayer.lower.virtual.tables import table_of
from midlayer.lower.virtual.type_keys import Place
from midlayer.lower.virtual.unit import Neighbourhood, OpcodeTable, Table, VirtualUnit
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.mid.queue_depth import change_queue_depth
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.standards.spc import PeripheralQualifier

_log = logging.getLogger("midlayer.virtual")

_WITH_BLOCKS = frozenset({Type.DIRECT_ACCESS, Type.CD_DVD})

_UNREADABLE = (SenseKey.MEDIUM_ERROR, 0x11, 0x00)
_UNWRITABLE = (SenseKey.MEDIUM_ERROR, 0x0C, 0x00)
_NO_SPACE = (SenseKey.DATA_PROTECT, 0x27, 0x07)


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

    def neighbours(self, place: tuple[int, int]) -> list[VirtualUnit]:
        """Return the units of one target."""
        with self.lock:
            return list(self.units.get(place, {}).values())

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
    """Lower-level driver of virtual hosts. All but `Deferred` commands end in the caller's thread."""

    name = "midlayer virtual HBA"
    proc_name = "virtual"
    can_queue = 1024
    cmd_per_lun = 64
    max_sectors = 65536
    skip_settle_delay = True  # nothing here has to come to rest

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem
        self._buses: list[Bus] = []

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
        host.eh_scope, host.eh_deadline = spec.eh_scope, spec.eh_deadline
        host.max_channel, host.max_id, host.max_lun = spec.max_channel, spec.max_id, spec.max_lun
        bus = host.hostdata = Bus(spec)
        self._buses.append(bus)
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
            self._inventory_changed(host.hostdata, spec, spare=LOCAL)
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
        self._pull(host, channel, target, lun, spare=None)

    def _pull(self, host: Host, channel: int, target: int, lun: int, *, spare: Nexus | None) -> None:
        bus: Bus | None = host.hostdata
        unit = bus.take((channel, target), lun) if bus is not None else None
        if bus is not None and unit is not None:
            unit.close(_UNPLUGGED_TABLE)
            self._inventory_changed(bus, unit.spec, spare=spare)

    def find(self, naa: str) -> VirtualUnit | None:
        """Return the unit with this NAA designator, in hexadecimal; None if no host has one."""
        for bus in list(self._buses):
            with bus.lock:
                units = [unit for units in bus.units.values() for unit in units.values()]
            for unit in units:
                if unit.spec.naa == naa and unit.plugged:
                    return unit
        return None

    def reset_device(self, device: LogicalUnit) -> None:
        """Do a LOGICAL UNIT RESET."""
        unit: VirtualUnit | None = device.hostdata
        if unit is not None:
            unit.reset(DEVICE_RESET)

    def reset_target(
        self, host: Host, channel: int, target: int, attention: Attention = DEVICE_RESET
    ) -> None:
        """Reset every unit of a target."""
        bus: Bus = host.hostdata
        for unit in bus.neighbours((channel, target)):
            unit.reset(attention)

    def reset_bus(self, host: Host, channel: int) -> None:
        """Reset every unit of a channel."""
        bus: Bus = host.hostdata
        for place in list(bus.units):
            if place[0] == channel:
                self.reset_target(host, *place, BUS_RESET)

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        unit: VirtualUnit | None = command.device.hostdata
        if unit is None:
            _answer_for_missing_unit(command)
        else:
            if command.nexus is not unit.nexus:
                unit.meet(command.nexus)
            try:
                unit.table[command.cdb[0]](unit, command)
            except CheckCondition as refusal:
                fail(command, refusal.sense_data(descriptor=unit.settings.d_sense))
            except ReservationConflict:
                conflict(command)
            except Deferred as deferred:
                deferred.operation.wait(command, partial(_end_deferred, unit, command, done))
                return 0
            except struct.error:
                cut_short = invalid_field(len(command.cdb) - 1)
                fail(command, cut_short.sense_data(descriptor=unit.settings.d_sense))
            except OSError as error:
                _fail_by_medium(unit, command, error)
        done(command)
        return 0

    def nexus_lost(self, device: LogicalUnit, nexus: Nexus) -> None:
        unit: VirtualUnit | None = device.hostdata
        if unit is not None:
            unit.nexus_lost(nexus)

    def eh_abort_handler(self, command: Command) -> int:
        """Only what waits for the end of an operation is on its way in here; the operation goes on."""
        unit: VirtualUnit | None = command.device.hostdata
        operation = unit.operation if unit is not None else None
        if operation is not None:
            operation.forget(command)
        return SUCCESS

    def eh_device_reset_handler(self, command: Command) -> int:
        self.reset_device(command.device)
        return SUCCESS

    def eh_target_reset_handler(self, command: Command) -> int:
        _, channel, target, _ = command.device.address
        self.reset_target(command.device.host, channel, target)
        return SUCCESS

    def eh_bus_reset_handler(self, command: Command) -> int:
        self.reset_bus(command.device.host, command.device.address.channel)
        return SUCCESS

    def eh_host_reset_handler(self, command: Command) -> int:
        host = command.device.host
        for channel in range(host.max_channel + 1):
            self.reset_bus(host, channel)
        return SUCCESS

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
        self._buses.remove(bus)
        for units in bus.units.values():
            for unit in units.values():
                unit.close(_UNPLUGGED_TABLE)
        bus.units.clear()

    def user_remove(self, device: LogicalUnit) -> bool:
        unit: VirtualUnit | None = device.hostdata
        if unit is not None and unit.plugged:  # else its place may belong to a later unit by now
            self._pull(device.host, *device.address[1:], spare=LOCAL)
        return False

    def _inventory_changed(self, bus: Bus, spec: UnitSpec, *, spare: Nexus | None) -> None:
        """Tell the other units of a target that REPORT LUNS has another answer now (SPC-4 6.33).

        Our own mid level need not be told of what it does itself.
        """
        for unit in bus.neighbours((spec.channel, spec.target)):
            if unit.spec.lun != spec.lun:
                unit.attend(REPORTED_LUNS_CHANGED, spare=spare)

    def _make_unit(self, spec: UnitSpec, bus: Bus) -> VirtualUnit:
        accessible = spec.qualifier == PeripheralQualifier.CONNECTED
        table = table_of(spec) if accessible else NOT_ACCESSIBLE_TABLE
        if not bus.spec.report_luns:
            table = OpcodeTable(
                {opcode: handler for opcode, handler in table.items() if opcode != Opcode.REPORT_LUNS}
            )
        has_blocks = accessible and spec.type in _WITH_BLOCKS
        guard = GUARDED if accessible else table
        return VirtualUnit(
            spec, table, guard, _Place(self, bus, spec), self._subsystem.clock, has_blocks=has_blocks
        )

    def _connect(self, host: Host, bus: Bus, spec: UnitSpec) -> None:
        place = (spec.channel, spec.target)
        with bus.lock:
            if spec.lun in bus.units.get(place, {}):
                raise DeviceExists(
                    f"{host.host_no}:{spec.channel}:{spec.target}:{spec.lun}: a unit is plugged in there"
                )
            unit = self._make_unit(spec.identified(host.host_no), bus)
            bus.units.setdefault(place, {})[spec.lun] = unit
        known = host.targets.get(place)
        device = known.logical_units.get(spec.lun) if known else None
        if device is not None:  # the unit before was pulled without a word: the address has another one now
            device.hostdata = unit


class _Place(Neighbourhood):
    """What one unit sees of its host and of the others of the driver."""

    def __init__(self, driver: VirtualDriver, bus: Bus, spec: UnitSpec) -> None:
        self._driver, self._bus = driver, bus
        self._place = (spec.channel, spec.target)

    def luns(self) -> list[int]:
        return self._bus.luns(*self._place)

    def at(self, place: Place) -> VirtualUnit | None:
        with self._bus.lock:
            return self._bus.units.get((place.channel, place.target), {}).get(place.lun)

    def find(self, naa: str) -> VirtualUnit | None:
        return self._driver.find(naa)


def _end_deferred(
    unit: VirtualUnit,
    command: Command,
    done: Callable[[Command], None],
    refusal: CheckCondition | None,
    host_byte: HostByte,
) -> None:
    """An operation that a command has waited for is over, or was given up."""
    if refusal is not None:
        fail(command, refusal.sense_data(descriptor=unit.settings.d_sense))
    elif host_byte:
        command.host_byte = host_byte
        no_data(command)
    done(command)


def _fail_by_medium(unit: VirtualUnit, command: Command, error: OSError) -> None:
    """Say what an error of the file, or of memory, means for a disk."""
    if not unit.plugged:
        command.residual = 0
        _answer_for_missing_unit(command)
        return
    _log.error("%s: %s", command, str(error))  # the error itself would keep the descriptor open
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        refusal = CheckCondition(*_NO_SPACE)
    elif command.data_in is not None or access_of(unit.spec.type, command.cdb) is Access.READS:
        unit.counters.read_errors += 1
        refusal = CheckCondition(*_UNREADABLE)
    else:
        unit.counters.write_errors += 1
        refusal = CheckCondition(*_UNWRITABLE)
    fail(command, refusal.sense_data(descriptor=unit.settings.d_sense))


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
        fail(command, refusal.sense_data())


def _unplugged(unit: VirtualUnit, command: Command) -> None:
    _answer_for_missing_unit(command)


_UNPLUGGED_TABLE: Table = dict.fromkeys(range(256), _unplugged)
