"""The tables of the configuration that say what is done about devices: agents and quarantine rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from midlayer.errors import MidlayerError
from midlayer.frontends.agents.job import Agent, AgentLimits
from midlayer.lower.virtual.spec import SpecError, UnitSpec
from midlayer.spelling import no_such_key
from midlayer.upper.policy.rule import QuarantineAction, QuarantineRule

_LONGEST_S = 86400.0
_MATCHES = ("vendor", "model", "revision", "qualifier", "type")

Converter = Callable[[Any], Any]


class Mistake(Exception):
    """A mistake in one table; whoever knows the file makes a `ConfigError` of it.

    Args:
        key: Which key.
        message: What is wrong with it.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def read_agent(table: Mapping[str, Any], base: Path) -> Agent:
    """Read one ``[[agent]]``; a program with a slash in its name starts from the file's directory."""
    values = _read(
        table,
        {"command": lambda value: _command(value, base), "name": _text, "only": _only, "timeout_s": _seconds},
    )
    if "command" not in values:
        raise Mistake("command", 'is missing; write command = ["/etc/midlayer/scsi.agent"]')
    values.setdefault("name", Path(values["command"][0]).name)
    return Agent(**values)


def read_limits(table: Mapping[str, Any]) -> AgentLimits:
    """Read the table ``[agents]``."""
    ranges = {"at_once": (1, 256), "queue": (1, 1 << 20), "output_bytes": (0, 1 << 20)}
    return AgentLimits(**_read(table, {key: _number(*limits) for key, limits in ranges.items()}))


def read_quarantine(table: Mapping[str, Any]) -> QuarantineRule:
    """Read one ``[[quarantine]]``."""
    converters: dict[str, Converter] = dict.fromkeys(("vendor", "model", "revision"), _text)
    converters |= {
        "qualifier": lambda value: _of_unit("qualifier", value),
        "type": lambda value: _of_unit("type", value),
        "action": _action,
        "probe_s": _seconds,
        "max_probe_s": _seconds,
    }
    rule = QuarantineRule(**_read(table, converters))
    if not any(key in table for key in _MATCHES):
        raise Mistake("", f"this rule means every device; give at least one of {', '.join(_MATCHES)}")
    return rule


def _read(table: Mapping[str, Any], converters: Mapping[str, Converter]) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in converters:
            raise Mistake(key, no_such_key(key, converters))
        try:
            values[key] = converters[key](value)
        except ValueError as error:
            raise Mistake(key, str(error)) from None
    return values


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


def _seconds(value: object) -> float:
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
