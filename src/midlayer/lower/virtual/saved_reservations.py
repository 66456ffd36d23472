"""Registrations that survive a loss of power: a small JSON file beside the file of a disk (SPC-4 5.13.5)."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from midlayer.lower.virtual.reservations import Port, Registration, Reservations
from midlayer.standards.reservations import ReservationType

_log = logging.getLogger("midlayer.virtual")

SUFFIX = ".reservations"


def path_for(disk: Path) -> Path:
    """Return where the reservations of a disk with this file are kept."""
    return disk.with_name(disk.name + SUFFIX)


def save(path: Path, state: Reservations) -> None:
    """Write the file, or remove it if nothing is to survive; durable when this returns.

    Raises:
        OSError: It can not be written; what was there before is still there then.
    """
    if not state.aptpl or not state.registered:
        path.unlink(missing_ok=True)
        _sync_directory(path)
        return
    kept = {
        "generation": state.generation,
        "holder": _port(state.holder) if state.holder is not None else None,
        "type": int(state.type),
        "registered": [
            {**_port(port), "key": f"{one.key:016x}", "all_ports": one.all_ports}
            for port, one in state.registered.items()
        ],
    }
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="ascii") as file:
        json.dump(kept, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_directory(path)


def load(path: Path, state: Reservations) -> None:
    """Take over what was kept, if anything was; a file that can not be read is logged and left alone."""
    try:
        kept = json.loads(path.read_text(encoding="ascii"))
        registered = {
            _read_port(row): Registration(int(row["key"], 16), bool(row["all_ports"]))
            for row in kept["registered"]
        }
        holder = _read_port(kept["holder"]) if kept["holder"] is not None else None
        type_ = ReservationType(kept["type"])
        generation = int(kept["generation"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.error("%s: reservations that were kept can not be read: %s", path, error)
        return
    state.registered.update(registered)
    state.holder = holder if holder in registered else None
    state.type, state.generation, state.aptpl = type_, generation & 0xFFFFFFFF, True


def _port(port: Port) -> dict[str, Any]:
    return {"transport_id": port.transport_id.hex(), "relative_target_port": port.relative_target_port}


def _read_port(row: dict[str, Any]) -> Port:
    return Port(bytes.fromhex(row["transport_id"]), int(row["relative_target_port"]))


def _sync_directory(path: Path) -> None:
    number = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
