"""The configuration file: TOML, checked whole before anything starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from midlayer.errors import ConfigError, InvalidRequest, UsageError
from midlayer.frontends.agents.job import Agent, AgentLimits
from midlayer.frontends.fault_tables import FaultMistake, read_faults
from midlayer.frontends.filter_tables import FilterSpec, read_filters, read_recording
from midlayer.frontends.policy_config import Mistake, read_agent, read_limits, read_quarantine
from midlayer.frontends.target.spec import TargetSpec, TargetSpecError
from midlayer.lower.filters import FaultRule, Recording
from midlayer.lower.iscsi.spec import SessionSpec, SessionSpecError
from midlayer.lower.virtual.spec import HostSpec, SpecError, UnitSpec
from midlayer.mid.quirks import QuirkTable
from midlayer.spelling import no_such_key
from midlayer.upper.policy.rule import QuarantineRule

KeyPath = tuple[str | int, ...]

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = re.compile(r" \(at end of document\)$")
_TABLE = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\")\s*[.=]")
_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:]+)\]|([^:\[\]\s]+)):(\d{1,5})", re.ASCII)

TABLES = (
    "daemon", "log", "subsystem", "host", "target", "fault", "filter", "agents", "agent", "quarantine"
)  # fmt: skip
"""Names of the tables that a configuration may have."""

OWN_HOSTS_FROM = 1000
"""Lowest number of a virtual host beside the kernel's hosts, which have the numbers below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a configuration says.

    Attributes:
        kernel: True if the kernel's own hosts are to be members of the subsystem.
        virtual_hosts: Hosts that live in the daemon.
        sessions: Sessions with iSCSI targets, each of which is a host.
        socket: Path of the Unix socket, or None for the default one.
        listen: Host and port to serve on as well, or None.
        state: State directory, or None for the default one.
        keep_events, keep_detached: How much of the past stays readable.
        first_host_no: Lowest number of a host of ours.
        quirks: Entries ``vendor:model:flags``.
        targets: iSCSI targets.
        faults: Faults that are in force once the hosts are scanned.
        filters: Filters that are there from then on, above the faults.
        replays: Recordings whose hosts answer as they were recorded.
        agents: Programs that run for devices that come or go.
        agent_limits: What they may use together.
        quarantine: Rules for devices that are kept back.
        file: Where it was read from; None if it was not.
    """

    kernel: bool = False
    virtual_hosts: tuple[HostSpec, ...] = ()
    sessions: tuple[SessionSpec, ...] = ()
    socket: Path | None = None
    listen: tuple[str, int] | None = None
    state: Path | None = None
    keep_events: int = 100_000
    keep_detached: int = 1000
    first_host_no: int = 0
    quirks: tuple[str, ...] = ()
    targets: tuple[TargetSpec, ...] = ()
    faults: tuple[FaultRule, ...] = ()
    filters: tuple[FilterSpec, ...] = ()
    replays: tuple[Recording, ...] = ()
    agents: tuple[Agent, ...] = ()
    agent_limits: AgentLimits = field(default_factory=AgentLimits)
    quarantine: tuple[QuarantineRule, ...] = ()
    file: Path | None = None


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(error.strerror or str(error), file=str(path)) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"byte {error.start} is not UTF-8", file=str(path), line=line) from error
    whole = path.absolute()
    return replace(parse(text, file=str(path), base=whole.parent), file=whole)


def parse_listen(value: object) -> tuple[str, int]:
    """Read an address and a port.

    Raises:
        UsageError: If `value` is anything else.
    """
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[3]) > 65535:
        raise UsageError(f"{value!r} must be an address and a port, such as 127.0.0.1:8649")
    return match[1] or match[2], int(match[3])


def parse(text: str, *, file: str = "configuration", base: Path = Path()) -> Config:
    """Check the text of a configuration.

    Args:
        text: TOML.
        file: Its name, for messages.
        base: Directory that relative paths in it start from.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(text, file, str(error)) from None
    except RecursionError:
        raise ConfigError("tables or arrays nested too deeply", file=file) from None
    reader = _Reader(text, file, base)
    return reader.config(tree)


class _Reader:
    """Walks the tree with the path of where it is, so that each mistake can be found in the text."""

    def __init__(self, text: str, file: str, base: Path) -> None:
        self._text = text
        self._file = file
        self._base = base

    def config(self, tree: Mapping[str, Any]) -> Config:
        self._only(tree, TABLES, ())
        values: dict[str, Any] = {}
        values |= self._table(
            tree, "daemon", {"socket": self._path, "listen": self._listen, "state": self._path}
        )
        values |= self._table(tree, "log", {"keep_events": self._count, "keep_detached": self._count})
        values |= self._table(tree, "subsystem", {"first_host_no": self._count, "quirks": self._quirks})
        values |= self._policy(tree)
        hosts = tree.get("host", [])
        if not isinstance(hosts, list):
            raise self._mistake(("host",), "write [[host]], once for each host")
        virtual: list[HostSpec] = []
        sessions: list[SessionSpec] = []
        replays: list[Recording] = []
        kernel = False
        for index, host in enumerate(hosts):
            place = ("host", index)
            driver = self._driver(host, place)
            if driver == "linux":
                self._only(host, ("driver",), place)
                kernel = True
            elif driver == "iscsi":
                sessions.append(self._session(host, place))
            elif driver == "replay":
                replays.append(self._replay(host, place))
            else:
                virtual.append(self._virtual_host(host, place))
                number = virtual[-1].host_no
                if number is not None and number in (other.host_no for other in virtual[:-1]):
                    raise self._mistake((*place, "host_no"), f"{number} is the number of another host")
        if kernel:
            values.setdefault("first_host_no", OWN_HOSTS_FROM)
        values |= self._filters(tree) | {
            "replays": tuple(replays),
            "targets": self._targets(tree.get("target", [])),
        }
        return Config(kernel=kernel, virtual_hosts=tuple(virtual), sessions=tuple(sessions), **values)

    def _targets(self, targets: object) -> tuple[TargetSpec, ...]:
        if not isinstance(targets, list) or not all(isinstance(one, dict) for one in targets):
            raise self._mistake(("target",), "write [[target]], once for each iSCSI target")
        found: list[TargetSpec] = []
        for index, target in enumerate(targets):
            try:
                found.append(TargetSpec.from_mapping(target, self._base))
            except TargetSpecError as error:
                raise self._mistake(("target", index, *error.path), error.message) from None
            if found[-1].iqn in (other.iqn for other in found[:-1]):
                raise self._mistake(
                    ("target", index, "iqn"), f"{found[-1].iqn} is the name of another target"
                )
        return tuple(found)

    def _policy(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        limits = tree.get("agents", {})
        if not isinstance(limits, dict):
            raise self._mistake(("agents",), "write a table: [agents]")
        agents = self._each(tree, "agent", lambda table: read_agent(table, self._base))
        for index, agent in enumerate(agents):
            if agent.name in (other.name for other in agents[:index]):
                message = f"{agent.name!r} is the name of another agent; give this one a name of its own"
                raise self._mistake(("agent", index, "name"), message)
        return {
            "agents": agents,
            "agent_limits": self._checked(("agents",), read_limits, limits),
            "quarantine": self._each(tree, "quarantine", read_quarantine),
        }

    def _each(
        self, tree: Mapping[str, Any], name: str, read: Callable[[dict[str, Any]], Any]
    ) -> tuple[Any, ...]:
        """Read an array of tables."""
        tables = tree.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._mistake((name,), f"write [[{name}]], once for each")
        return tuple(self._checked((name, index), read, table) for index, table in enumerate(tables))

    def _checked(self, place: KeyPath, read: Callable[[dict[str, Any]], Any], table: dict[str, Any]) -> Any:
        try:
            return read(table)
        except Mistake as error:
            raise self._mistake((*place, error.key) if error.key else place, error.message) from None

    def _driver(self, host: object, place: KeyPath) -> str:
        if not isinstance(host, dict):
            raise self._mistake(place, "write [[host]], once for each host")
        driver = host.get("driver")
        if driver not in ("virtual", "linux", "twin", "iscsi", "replay"):
            said = "is missing" if driver is None else f"{driver!r} is not known"
            known = 'driver = "virtual", "twin", "iscsi", "replay" or "linux"'
            raise self._mistake((*place, "driver"), f"{said}; write {known}")
        return str(driver)

    def _session(self, host: Mapping[str, Any], place: KeyPath) -> SessionSpec:
        given = {key: value for key, value in host.items() if key != "driver"}
        if not given.get("target"):
            raise self._mistake((*place, "target"), "is missing; write the target's iSCSI name")
        try:
            return SessionSpec.from_mapping(given, base=self._base)
        except SessionSpecError as error:
            raise self._mistake((*place, error.key), error.message) from None

    def _virtual_host(self, host: Mapping[str, Any], place: KeyPath) -> HostSpec:
        given = {key: value for key, value in host.items() if key not in ("driver", "unit", "units")}
        if "units" in host:
            raise self._mistake((*place, "units"), "write [[host.unit]], once for each unit")
        units = host.get("unit", [])
        if not isinstance(units, list):
            raise self._mistake((*place, "unit"), "write [[host.unit]], once for each unit")
        given["units"] = tuple(self._unit(unit, (*place, "unit", index)) for index, unit in enumerate(units))
        for index, unit in enumerate(given["units"] if host["driver"] == "twin" else ()):
            if unit.twin is None:
                said = "is missing; write twin = and the file that midlayer capture wrote"
                raise self._mistake((*place, "unit", index, "twin"), said)
        try:
            return HostSpec.from_mapping(given)
        except SpecError as error:
            raise self._mistake((*place, error.key), error.message) from None

    def _unit(self, unit: object, place: KeyPath) -> UnitSpec:
        if not isinstance(unit, dict):
            raise self._mistake(place, "write [[host.unit]], once for each unit")
        given = dict(unit)
        for key in ("file", "twin"):
            if isinstance(given.get(key), str):
                given[key] = str(self._base / given[key])
        try:
            return UnitSpec.from_mapping(given)
        except SpecError as error:
            raise self._mistake((*place, error.key), error.message) from None

    def _filters(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        try:
            faults = read_faults(tree.get("fault", []), ("fault",))
            return {
                "faults": faults,
                "filters": read_filters(tree.get("filter", []), ("filter",), self._base),
            }
        except FaultMistake as error:
            raise self._mistake(error.place, error.message) from None

    def _replay(self, host: Mapping[str, Any], place: KeyPath) -> Recording:
        self._only(host, ("driver", "file"), place)
        path = self._path((*place, "file"), host.get("file"))
        try:
            return read_recording(path, (*place, "file"))
        except FaultMistake as error:
            raise self._mistake(error.place, error.message) from None

    def _table(
        self, tree: Mapping[str, Any], name: str, converters: Mapping[str, Callable[[KeyPath, Any], Any]]
    ) -> dict[str, Any]:
        table = tree.get(name, {})
        if not isinstance(table, dict):
            raise self._mistake((name,), f"write a table: [{name}]")
        self._only(table, tuple(converters), (name,))
        return {key: converters[key]((name, key), value) for key, value in table.items()}

    def _only(self, table: Mapping[str, Any], known: tuple[str, ...], place: KeyPath) -> None:
        for key in table:
            if key not in known:
                raise self._mistake((*place, key), no_such_key(key, known))

    def _path(self, place: KeyPath, value: object) -> Path:
        if not isinstance(value, str) or not value:
            raise self._mistake(place, f"{value!r} must be a path in quotes")
        return self._base / value

    def _listen(self, place: KeyPath, value: object) -> tuple[str, int]:
        try:
            return parse_listen(value)
        except UsageError as error:
            raise self._mistake(place, str(error)) from None

    def _count(self, place: KeyPath, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 31:
            raise self._mistake(place, f"{value!r} must be a number, 0 or more")
        return value

    def _quirks(self, place: KeyPath, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._mistake(place, 'must be a list of texts such as "Acme:RAID:0x240"')
        try:
            for item in value:
                QuirkTable().add(item)
        except InvalidRequest as error:
            raise self._mistake(place, str(error)) from None
        return tuple(value)

    def _mistake(self, place: KeyPath, message: str) -> ConfigError:
        key = ".".join(str(part) for part in place if isinstance(part, str))
        return ConfigError(message, file=self._file, line=find_line(self._text, place), key=key)


def find_line(text: str, place: KeyPath) -> int:
    """Return the line of a key in TOML text; that of its table, or 0, if it is written in another way.

    Args:
        text: The TOML text.
        place: Keys from the root, with the index after the name of an array of tables.
    """
    best, current = 0, KeyPath()
    counters: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TABLE.match(line)
        if header is not None:
            current = _table_path(header[2], header[1] == "[[", counters)
            if current[: len(place)] == place:
                return number
            if place[: len(current)] == current:
                best = number
            continue
        key = _KEY.match(line)
        if key is not None and place[: len(current) + 1] == (*current, key[1].strip('"')):
            return number
    return best


def _table_path(header: str, array: bool, counters: dict[str, int]) -> KeyPath:
    """Return the path of a table header, counting the elements of arrays of tables."""
    names = [name.strip().strip('"') for name in header.split(".")]
    path: list[str | int] = []
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        path.append(names[depth - 1])
        if array and depth == len(names):
            counters[name] = counters.get(name, -1) + 1
            for other in [key for key in counters if key.startswith(name + ".")]:
                del counters[other]
        if name in counters:
            path.append(counters[name])
    return tuple(path)


def syntax_error(text: str, file: str, message: str) -> ConfigError:
    """Return the error for a text that is not TOML; `message` is what tomllib said."""
    match = _AT_LINE.search(message)
    line = int(match[1]) if match else len(text.splitlines()) if _AT_END.search(message) else 0
    clean = _AT_END.sub("", _AT_LINE.sub("", message))
    return ConfigError(f"not TOML: {clean}", file=file, line=line)
