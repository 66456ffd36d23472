"""The tables ``[[host]]``: the kernel's hosts, virtual ones, sessions with iSCSI targets and recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from midlayer.errors import SpecError
from midlayer.frontends.config.tables import only_known, path_from
from midlayer.frontends.filter_tables import read_recording
from midlayer.frontends.toml_text import KeyPath, TableMistake
from midlayer.lower.filters import Recording
from midlayer.lower.iscsi.spec import SessionSpec
from midlayer.lower.virtual.spec import HostSpec, UnitSpec


def read_hosts(hosts: object, base: Path) -> dict[str, Any]:
    """Read all of them."""
    if not isinstance(hosts, list):
        raise TableMistake(("host",), "write [[host]], once for each host")
    found: dict[str, list[Any]] = {"virtual_hosts": [], "sessions": [], "replays": []}
    kernel = False
    for index, host in enumerate(hosts):
        place = ("host", index)
        driver = _driver(host, place)
        if driver == "linux":
            only_known(host, ("driver",), place)
            kernel = True
            continue
        name, read = _READERS[driver]
        found[name].append(read(host, place, base))
        if name == "virtual_hosts":
            _own_number(found[name], place)
    return {"kernel": kernel, **{name: tuple(items) for name, items in found.items()}}


def _own_number(hosts: list[HostSpec], place: KeyPath) -> None:
    number = hosts[-1].host_no
    if number is not None and number in (other.host_no for other in hosts[:-1]):
        raise TableMistake((*place, "host_no"), f"{number} is the number of another host")


def _driver(host: object, place: KeyPath) -> str:
    if not isinstance(host, dict):
        raise TableMistake(place, "write [[host]], once for each host")
    driver = host.get("driver")
    if driver not in _READERS and driver != "linux":
        said = "is missing" if driver is None else f"{driver!r} is not known"
        known = 'driver = "virtual", "twin", "iscsi", "replay" or "linux"'
        raise TableMistake((*place, "driver"), f"{said}; write {known}")
    return str(driver)


def _session(host: dict[str, Any], place: KeyPath, base: Path) -> SessionSpec:
    given = {key: value for key, value in host.items() if key != "driver"}
    if not given.get("target"):
        raise TableMistake((*place, "target"), "is missing; write the target's iSCSI name")
    try:
        return SessionSpec.from_mapping(given, base=base)
    except SpecError as error:
        raise TableMistake((*place, error.key), error.message) from None


def _virtual_host(host: dict[str, Any], place: KeyPath, base: Path) -> HostSpec:
    given = {key: value for key, value in host.items() if key not in ("driver", "unit", "units")}
    if "units" in host:
        raise TableMistake((*place, "units"), "write [[host.unit]], once for each unit")
    units = host.get("unit", [])
    if not isinstance(units, list):
        raise TableMistake((*place, "unit"), "write [[host.unit]], once for each unit")
    given["units"] = tuple(_unit(unit, base, (*place, "unit", index)) for index, unit in enumerate(units))
    for index, unit in enumerate(given["units"] if host["driver"] == "twin" else ()):
        if unit.twin is None:
            said = "is missing; write twin = and the file that midlayer capture wrote"
            raise TableMistake((*place, "unit", index, "twin"), said)
    try:
        return HostSpec.from_mapping(given)
    except SpecError as error:
        raise TableMistake((*place, error.key), error.message) from None


def _unit(unit: object, base: Path, place: KeyPath) -> UnitSpec:
    if not isinstance(unit, dict):
        raise TableMistake(place, "write [[host.unit]], once for each unit")
    given = dict(unit)
    for key in ("file", "twin", "directory"):
        if isinstance(given.get(key), str):
            given[key] = str(base / given[key])
    try:
        return UnitSpec.from_mapping(given)
    except SpecError as error:
        raise TableMistake((*place, error.key), error.message) from None


def _replay(host: dict[str, Any], place: KeyPath, base: Path) -> Recording:
    only_known(host, ("driver", "file"), place)
    try:
        path = path_from(base, host.get("file"))
    except ValueError as error:
        raise TableMistake((*place, "file"), str(error)) from None
    return read_recording(path, (*place, "file"))


_READERS: Mapping[str, tuple[str, Callable[[dict[str, Any], KeyPath, Path], Any]]] = {
    "virtual": ("virtual_hosts", _virtual_host),
    "twin": ("virtual_hosts", _virtual_host),
    "iscsi": ("sessions", _session),
    "replay": ("replays", _replay),
}
"""Where hosts of a driver go, and who reads their tables."""
