"""PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16), and RESERVE and RELEASE of SPC-2 (7.21 to 7.24)."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.layout import DecodeError
from midlayer.lower.virtual.answers import (
    ReservationConflict,
    fields,
    invalid_field,
    invalid_parameter,
    no_data,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.reservations import SERVICE_ACTION_KEY_AT, Port, port_of
from midlayer.lower.virtual.unit import Handler, ServiceActions, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import reservations as pr
from midlayer.standards.opcodes import Opcode
from midlayer.standards.reservations import InAction, OutAction, ReservationType

_HEADER = pr.OutParameters.size
_TYPES = frozenset(ReservationType)
_LONGEST_LIST = 1 << 16


def persistent_reserve_in(unit: VirtualUnit, command: Command) -> None:
    """PERSISTENT RESERVE IN (SPC-4 6.15)."""
    cdb = fields(pr.PersistentReserveIn, command)
    answer = _IN[cdb.service_action]
    with unit.reservations.lock:
        data = answer(unit)
    send(command, data, cdb.allocation_length)


def _keys(unit: VirtualUnit) -> bytes:
    state = unit.reservations
    return pr.encode_keys(state.generation, (one.key for one in state.registered.values()))


def _reservation(unit: VirtualUnit) -> bytes:
    state = unit.reservations
    if state.holder is None:
        return pr.encode_keys(state.generation, ())
    key = 0 if state.type.held_by_all else state.registered[state.holder].key
    return pr.ReadReservation(
        prgeneration=state.generation, additional_length=16, reservation_key=key, type=state.type
    ).encode()


def _capabilities(unit: VirtualUnit) -> bytes:
    return pr.Capabilities(
        sip_c=True, atp_c=True, ptpl_c=unit.keeps_reservations, tmv=True, ptpl_a=unit.reservations.aptpl,
        wr_ex_ar=True, ex_ac_ro=True, wr_ex_ro=True, ex_ac=True, wr_ex=True, ex_ac_ar=True,
    ).encode()  # fmt: skip


def _full_status(unit: VirtualUnit) -> bytes:
    state = unit.reservations
    return pr.encode_full_status(
        state.generation,
        (
            pr.FullStatus(
                key=one.key,
                transport_id=port.transport_id,
                holder=state.holds(port),
                type=state.type if state.holds(port) else 0,
                relative_target_port=port.relative_target_port,
                all_tg_pt=one.all_ports,
            )
            for port, one in state.registered.items()
        ),
    )


_IN: dict[int, Callable[[VirtualUnit], bytes]] = {
    InAction.READ_KEYS: _keys,
    InAction.READ_RESERVATION: _reservation,
    InAction.REPORT_CAPABILITIES: _capabilities,
    InAction.READ_FULL_STATUS: _full_status,
}


def persistent_reserve_out(unit: VirtualUnit, command: Command) -> None:
    """PERSISTENT RESERVE OUT (SPC-4 6.16)."""
    cdb = fields(pr.PersistentReserveOut, command)
    act = _OUT[cdb.service_action]
    if not _HEADER <= cdb.parameter_list_length <= _LONGEST_LIST:
        raise parameter_list_length_error()
    data = bytes(received(command, cdb.parameter_list_length))
    with unit.reservations.lock, unit.reservations.changing():
        act(unit, command, cdb, data)
        unit.keep_reservations()
    unit.regard()


def _parameters(unit: VirtualUnit, data: bytes, *, registers: bool = False) -> pr.OutParameters:
    """Decode the basic parameter list."""
    given = pr.OutParameters.decode(data)
    if not (registers and given.spec_i_pt) and len(data) != _HEADER:
        raise parameter_list_length_error()
    if registers and given.aptpl and not unit.keeps_reservations:
        raise invalid_parameter(20, 0)
    return given


def _type(cdb: pr.PersistentReserveOut) -> ReservationType:
    if cdb.scope:
        raise invalid_field(2, 7)
    if cdb.type not in _TYPES:
        raise invalid_field(2, 3)
    return ReservationType(cdb.type)


def _register(unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes) -> None:
    """REGISTER, and REGISTER AND IGNORE EXISTING KEY (SPC-4 5.13.7)."""
    ignore = cdb.service_action == OutAction.REGISTER_AND_IGNORE_EXISTING_KEY
    given = _parameters(unit, data, registers=True)
    state, port = unit.reservations, port_of(command.nexus)
    known = state.registered.get(port)
    if given.spec_i_pt and (ignore or known is not None):
        raise invalid_parameter(20, 3)
    if not ignore and given.reservation_key != (known.key if known is not None else 0):
        raise ReservationConflict
    key = given.service_action_reservation_key
    if key:
        ports = [port, *(_more_ports(data) if given.spec_i_pt else ())]
        if given.all_tg_pt:
            ports = [Port(one.transport_id, number) for one in ports for number in unit.ports.numbers]
        state.register(ports, key, all_ports=given.all_tg_pt)
    elif known is not None:
        state.unregister(port)
    state.aptpl = given.aptpl


def _more_ports(data: bytes) -> list[Port]:
    """Return the initiator ports of SPEC_I_PT (SPC-4 table 230)."""
    if len(data) < _HEADER + 4:
        raise parameter_list_length_error()
    length = int.from_bytes(data[_HEADER : _HEADER + 4], "big")
    if _HEADER + 4 + length > len(data):
        raise parameter_list_length_error()
    return [Port(one, 1) for one in _transport_ids(data[_HEADER + 4 : _HEADER + 4 + length], _HEADER + 4)]


def _transport_ids(data: bytes, at: int) -> list[bytes]:
    try:
        found = pr.split_transport_ids(data)
    except DecodeError:
        raise invalid_parameter(at) from None
    if any(one[0] == 0x05 for one in found):  # iSCSI without an ISID names no port (SPC-4 7.6.4.6)
        raise invalid_parameter(at)
    return found


def _reserve(unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes) -> None:
    given, port = _parameters(unit, data), port_of(command.nexus)
    unit.reservations.registration(port, given.reservation_key)
    unit.reservations.reserve(port, _type(cdb))


def _release(unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes) -> None:
    given, port = _parameters(unit, data), port_of(command.nexus)
    unit.reservations.registration(port, given.reservation_key)
    unit.reservations.release(port, cdb.type | cdb.scope << 4)


def _clear(unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes) -> None:
    given, port = _parameters(unit, data), port_of(command.nexus)
    unit.reservations.registration(port, given.reservation_key)
    unit.reservations.clear(port)


def _preempt(unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes) -> None:
    """PREEMPT; PREEMPT AND ABORT finds no task to abort, as commands end before others begin."""
    given, port = _parameters(unit, data), port_of(command.nexus)
    unit.reservations.registration(port, given.reservation_key)
    unit.reservations.preempt(port, given.service_action_reservation_key, _type(cdb))


def _register_and_move(
    unit: VirtualUnit, command: Command, cdb: pr.PersistentReserveOut, data: bytes
) -> None:
    given = pr.RegisterAndMoveParameters.decode(data)
    state, port = unit.reservations, port_of(command.nexus)
    state.registration(port, given.reservation_key)
    if not state.holds(port) or state.type.held_by_all:
        raise ReservationConflict
    if not given.service_action_reservation_key:
        raise invalid_parameter(SERVICE_ACTION_KEY_AT)
    if given.aptpl and not unit.keeps_reservations:
        raise invalid_parameter(17, 0)
    if len(data) != _HEADER + given.transportid_length:
        raise parameter_list_length_error()
    found = _transport_ids(data[_HEADER:], _HEADER)
    to = Port(found[0], given.relative_target_port_identifier) if len(found) == 1 else port
    if to == port:
        raise invalid_parameter(_HEADER)
    if to.relative_target_port not in unit.ports.numbers:
        raise invalid_parameter(18)
    state.move(port, to, given.service_action_reservation_key, unregister=given.unreg)
    state.aptpl = given.aptpl


_OUT: dict[int, Callable[[VirtualUnit, Command, pr.PersistentReserveOut, bytes], None]] = {
    OutAction.REGISTER: _register,
    OutAction.RESERVE: _reserve,
    OutAction.RELEASE: _release,
    OutAction.CLEAR: _clear,
    OutAction.PREEMPT: _preempt,
    OutAction.PREEMPT_AND_ABORT: _preempt,
    OutAction.REGISTER_AND_IGNORE_EXISTING_KEY: _register,
    OutAction.REGISTER_AND_MOVE: _register_and_move,
}


def reserve(unit: VirtualUnit, command: Command) -> None:
    """RESERVE(6) and RESERVE(10) of the whole unit (SPC-2 7.23, 7.21)."""
    _check_old_reservation(unit, command)
    state = unit.reservations
    with state.lock:
        if state.registered or state.reserved_by not in (None, command.nexus):
            raise ReservationConflict
        state.reserved_by = command.nexus
    unit.regard()


def release(unit: VirtualUnit, command: Command) -> None:
    """RELEASE(6) and RELEASE(10): what another nexus has reserved stays reserved (SPC-2 7.18, 7.16)."""
    _check_old_reservation(unit, command)
    state = unit.reservations
    with state.lock:
        if state.registered:
            raise ReservationConflict
        if state.reserved_by == command.nexus:
            state.reserved_by = None
    unit.regard()


def _check_old_reservation(unit: VirtualUnit, command: Command) -> None:
    """Refuse third-party and extent reservations, which SPC-2 leaves to the device."""
    flags = command.cdb[1] & (0x1F if unit.lun_in_cdb else 0xFF)
    if flags & 0x13 or (flags & 0xE0 and command.cdb[0] in (Opcode.RESERVE_10, Opcode.RELEASE_10)):
        raise invalid_field(1, 4 if flags & 0x10 else 0)
    no_data(command)


PERSISTENT_TABLE: dict[int, Handler] = {
    Opcode.PERSISTENT_RESERVE_IN: ServiceActions(dict.fromkeys(_IN, persistent_reserve_in)),
    Opcode.PERSISTENT_RESERVE_OUT: ServiceActions(dict.fromkeys(_OUT, persistent_reserve_out)),
    Opcode.RESERVE_6: reserve,
    Opcode.RELEASE_6: release,
    Opcode.RESERVE_10: reserve,
    Opcode.RELEASE_10: release,
}
