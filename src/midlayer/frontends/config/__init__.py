"""The configuration file: TOML, checked whole before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from midlayer.frontends.config.general import check_open, parse_listen, read_daemon, read_log, read_subsystem
from midlayer.frontends.config.hosts import read_hosts
from midlayer.frontends.config.model import OWN_HOSTS_FROM, Config
from midlayer.frontends.config.policy import read_agents, read_limits, read_quarantine
from midlayer.frontends.config.rules import read_rules
from midlayer.frontends.config.tables import only_known
from midlayer.frontends.config.targets import read_targets
from midlayer.frontends.fault_tables import read_faults
from midlayer.frontends.filter_tables import read_filters
from midlayer.frontends.toml_text import TableMistake, parse_toml, read_text

__all__ = ["OWN_HOSTS_FROM", "TABLES", "Config", "check_open", "load", "parse", "parse_listen"]

TABLES: Mapping[str, Callable[[Any, Path], Mapping[str, Any]]] = {
    "daemon": read_daemon,
    "log": read_log,
    "subsystem": read_subsystem,
    "agent": read_agents,
    "agents": read_limits,
    "quarantine": read_quarantine,
    "host": read_hosts,
    "fault": lambda tables, _base: {"faults": read_faults(tables, ("fault",))},
    "filter": lambda tables, base: {"filters": read_filters(tables, ("filter",), base)},
    "target": read_targets,
    "rules": read_rules,
}
"""The tables of a configuration, in the order in which they are checked.

Each reader takes what TOML has of its table, and the directory that relative paths start from; it returns
attributes of `Config`, or raises `TableMistake` with the place from the root.
"""


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    whole = path.absolute()
    return replace(parse(read_text(path), file=str(path), base=whole.parent), file=whole)


def parse(text: str, *, file: str = "configuration", base: Path = Path()) -> Config:
    """Check the text of a configuration.

    Args:
        text: TOML.
        file: Its name, for messages.
        base: Directory that relative paths in it start from.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    tree = parse_toml(text, file)
    values: dict[str, Any] = {}
    try:
        only_known(tree, TABLES, ())
        for name, read in TABLES.items():
            if name in tree:
                values |= read(tree[name], base)
    except TableMistake as mistake:
        raise mistake.located(text, file) from None
    if values.get("kernel"):
        values.setdefault("first_host_no", OWN_HOSTS_FROM)
    return Config(**values)
