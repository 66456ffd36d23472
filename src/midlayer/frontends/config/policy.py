"""The tables of the configuration that say what is done about devices: agents and quarantine rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midlayer.errors import MidlayerError, SpecError
from midlayer.frontends.agents.job import Agent, AgentLimits
from midlayer.frontends.config.tables import Converter, read_each, read_keys, read_table
from midlayer.frontends.toml_text import TableMistake
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.upper.policy.rule import QuarantineAction, QuarantineRule

_LONGEST_S = 86400.0
_MATCHES = ("vendor", "model", "revision", "qualifier", "type")


def read_agents(tables: object, base: Path) -> dict[str, Any]:
    """Read all ``[[agent]]``; no two have one name."""
    agents: tuple[Agent, ...] = read_each(tables, "agent", lambda table: _agent(table, base))
    for index, agent in enumerate(agents):
        if agent.name in (other.name for other in agents[:index]):
            message = f"{agent.name!r} is the name of another agent; give this one a name of its own"
            raise TableMistake(("agent", index, "name"), message)
    return {"agents": agents}


def read_limits(table: object, _base: Path) -> dict[str, Any]:
    """Read ``[agents]``: what all agents may use together."""
    ranges = {"at_once": (1, 256), "queue": (1, 1 << 20), "output_bytes": (0, 1 << 20)}
    converters = {key: _number(*limits) for key, limits in ranges.items()}
    return {"agent_limits": AgentLimits(**read_table(table, "agents", converters))}


def read_quarantine(tables: object, _base: Path) -> dict[str, Any]:
    """Read all ``[[quarantine]]``."""
    return {"quarantine": read_each(tables, "quarantine", _quarantine)}


def _agent(table: Mapping[str, Any], base: Path) -> Agent:
    """Read one ``[[agent]]``; a program with a slash in its name starts from the file's directory."""
    values = read_keys(
        table,
        {"command": lambda value: _command(value, base), "name": _text, "only": _only, "timeout_s": seconds},
    )
    if "command" not in values:
        raise TableMistake(("command",), 'is missing; write command = ["/etc/midlayer/scsi.agent"]')
    values.setdefault("name", Path(values["command"][0]).name)
    return Agent(**values)


def _quarantine(table: Mapping[str, Any]) -> QuarantineRule:
    """Read one ``[[quarantine]]``."""
    converters: dict[str, Converter] = dict.fromkeys(("vendor", "model", "revision"), _text)
    converters |= {
        "qualifier": lambda value: _of_unit("qualifier", value),
        "type": lambda value: _of_unit("type", value),
        "action": _action,
        "probe_s": seconds,
        "max_probe_s": seconds,
    }
    rule = QuarantineRule(**read_keys(table, converters))
    if not any(key in table for key in _MATCHES):
        raise TableMistake((), f"this rule means every device; give at least one of {', '.join(_MATCHES)}")
    return rule


def _command(value: object, base: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError('must be a list of texts: ["/etc/midlayer/scsi.agent", "--quiet"]')
    program, *arguments = value
    if not program or any("\0" in item for item in value):
        raise ValueError("has an empty program, or a text with a zero byte")
    return (str(Path(base, program).absolute()) if "/" in program else program, *arguments)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} must be text in quotes")
    return value


def _only(value: object) -> str:
    if value not in ("attach", "detach"):
        raise ValueError(f'{value!r}: write "attach" or "detach"')
    return str(value)


def seconds(value: object) -> float:
    """Read a time: more than 0 and at most a day."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(float(value)) or not 0 < float(value) <= _LONGEST_S:  # type: ignore[arg-type]
        raise ValueError(f"{value!r} must be seconds, more than 0 and at most a day")
    return float(value)  # type: ignore[arg-type]


def _number(least: int, most: int) -> Converter:
    def convert(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{value!r} must be a number from {least} to {most}")
        return value

    return convert


def _action(value: object) -> QuarantineAction:
    if value not in tuple(QuarantineAction):
        raise ValueError(f'{value!r}: write "hold" or "remove"')
    return QuarantineAction(str(value))


def _of_unit(key: str, value: object) -> int:
    """Read what a unit has as well, in the same words."""
    try:
        spec = UnitSpec.from_mapping({key: value})
    except SpecError as error:
        raise ValueError(error.message) from None
    except MidlayerError as error:
        raise ValueError(str(error)) from None
    return int(getattr(spec, key))
