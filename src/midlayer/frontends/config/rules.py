"""The table ``[rules]``: where udev rules are that the daemon carries out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midlayer.frontends.config.policy import seconds
from midlayer.frontends.config.tables import read_table
from midlayer.rules.ruleset import TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesSpec:
    """Where udev rules are that the daemon carries out.

    Attributes:
        directories: The one that decides first; none for no rules.
        timeout_s: Seconds that a program of a rule has.
    """

    directories: tuple[Path, ...] = ()
    timeout_s: float = TIMEOUT_S


def read_rules(table: object, base: Path) -> dict[str, Any]:
    """Read ``[rules]``; directories start from that of the file."""
    converters = {"directories": lambda value: _directories(value, base), "timeout_s": seconds}
    return {"rules": RulesSpec(**read_table(table, "rules", converters))}


def _directories(value: object, base: Path) -> tuple[Path, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError('must be a list of paths: ["/etc/midlayer/rules.d"]')
    if any("\0" in item for item in value):
        raise ValueError("has a text with a zero byte")
    return tuple((base / item).absolute() for item in value)
