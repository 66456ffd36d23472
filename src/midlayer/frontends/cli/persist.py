"""The verb ``persist``: persistent reservations of a device."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.commands import find, print_fields
from midlayer.frontends.cli.output import print_json
from midlayer.standards import reservations as pr
from midlayer.standards.reservations import InAction, OutAction, ReservationType

if TYPE_CHECKING:
    from midlayer.frontends.cli.client import Executor

_IN_BYTES = 8192
_WITH_TYPE = frozenset({OutAction.RESERVE, OutAction.RELEASE, OutAction.PREEMPT, OutAction.PREEMPT_AND_ABORT})

OUT_ACTIONS: dict[str, OutAction] = {
    "register": OutAction.REGISTER,
    "register-ignore": OutAction.REGISTER_AND_IGNORE_EXISTING_KEY,
    "reserve": OutAction.RESERVE,
    "release": OutAction.RELEASE,
    "clear": OutAction.CLEAR,
    "preempt": OutAction.PREEMPT,
    "preempt-abort": OutAction.PREEMPT_AND_ABORT,
}


def persist(options: argparse.Namespace) -> int:
    """Print what is reserved and by whom, or change it."""
    with closing(find(options)) as device:
        described = _change(device, options) if options.change else _IN[options.show](device)
    if options.json:
        print_json(described)
    else:
        print_fields(described)
    return 0


def _read(device: Executor, action: InAction) -> bytes:
    cdb = pr.PersistentReserveIn(service_action=action, allocation_length=_IN_BYTES).encode()
    return bytes(device.execute(cdb, data_in=_IN_BYTES).raise_for_status().data)


def _keys(device: Executor) -> dict[str, Any]:
    generation, keys = pr.decode_keys(_read(device, InAction.READ_KEYS))
    return {"generation": generation, "keys": [_hex(key) for key in keys]}


def _reservation(device: Executor) -> dict[str, Any]:
    data = _read(device, InAction.READ_RESERVATION)
    generation, _ = pr.decode_keys(data)
    if len(data) < pr.ReadReservation.size:
        return {"generation": generation, "reserved": False, "key": None, "type": None, "type_name": None}
    held = pr.ReadReservation.decode(data)
    return {
        "generation": generation,
        "reserved": True,
        "key": _hex(held.reservation_key),
        "type": held.type,
        "type_name": _type_name(held.type),
    }


def _capabilities(device: Executor) -> dict[str, Any]:
    said = pr.Capabilities.decode(_read(device, InAction.REPORT_CAPABILITIES))
    return {
        "compatible_reservation_handling": said.crh,
        "specify_initiator_ports": said.sip_c,
        "all_target_ports": said.atp_c,
        "persist_through_power_loss": said.ptpl_c,
        "persist_through_power_loss_active": said.ptpl_a,
        "types": [one.title for one in said.types] if said.tmv else [],
    }


def _status(device: Executor) -> dict[str, Any]:
    generation, entries = pr.decode_full_status(_read(device, InAction.READ_FULL_STATUS))
    return {
        "generation": generation,
        "items": [
            {
                "key": _hex(one.key),
                "initiator_port": pr.transport_id_name(one.transport_id),
                "relative_target_port": one.relative_target_port,
                "all_target_ports": one.all_tg_pt,
                "holder": one.holder,
                "type_name": _type_name(one.type) if one.holder else None,
            }
            for one in entries
        ],
    }


_IN: dict[str, Callable[[Executor], dict[str, Any]]] = {
    "keys": _keys,
    "reservation": _reservation,
    "caps": _capabilities,
    "status": _status,
}


def _change(device: Executor, options: argparse.Namespace) -> dict[str, Any]:
    """Send PERSISTENT RESERVE OUT, and return the keys as they are then."""
    action = OUT_ACTIONS[options.change]
    if (options.type is not None) is not (action in _WITH_TYPE):
        wrong = "is needed" if options.type is None else "means nothing"
        raise UsageError(f"persist: --type {wrong} for {options.change}")
    parameters = pr.OutParameters(
        reservation_key=options.key,
        service_action_reservation_key=options.new_key,
        aptpl=options.aptpl,
    ).encode()
    cdb = pr.PersistentReserveOut(
        service_action=action, type=options.type or 0, parameter_list_length=len(parameters)
    ).encode()
    device.execute(cdb, data_out=parameters).raise_for_status()
    return _keys(device)


def _hex(key: int) -> str:
    return f"{key:#x}"


def _type_name(type_: int) -> str:
    try:
        return ReservationType(type_).title
    except ValueError:
        return f"reserved {type_:#x}"
