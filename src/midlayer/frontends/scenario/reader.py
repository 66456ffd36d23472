"""A scenario file, checked whole before anything is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midlayer.frontends.fault_tables import read_faults
from midlayer.frontends.toml_text import KeyPath, TableMistake, parse_toml, read_text
from midlayer.lower.filters import FaultRule, RuleError, values
from midlayer.spelling import no_such_key

DEVICE_ACTIONS = ("plug", "unplug", "offline", "online")
_STEP_KEYS = ("at", "say", "fault", "clear", *DEVICE_ACTIONS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What is done at one moment, in this order.

    Attributes:
        at_s: Seconds after the begin.
        say: What it means, for the people who watch.
        clear: Names of faults that end.
        actions: What is done with devices: the action, and the device or what is plugged.
        faults: Faults that begin.
    """

    at_s: float
    say: str = ""
    clear: tuple[str, ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    faults: tuple[FaultRule, ...] = ()

    def title(self) -> str:
        """Return what is done, in one line."""
        parts = [f"clear {name}" for name in self.clear]
        parts += [f"{action} {device}" for action, device in self.actions]
        parts += [f"fault {rule.name}" for rule in self.faults]
        return self.say or ", ".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A whole scenario.

    Attributes:
        title: What it is about.
        steps: In order of time.
        end_s: When it is over, and its faults are cleared.
    """

    title: str
    steps: tuple[Step, ...]
    end_s: float


def load(path: Path) -> Scenario:
    """Read and check a scenario file.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    return parse(read_text(path), file=str(path))


def parse(text: str, *, file: str = "scenario") -> Scenario:
    """Check the text of a scenario.

    Raises:
        ConfigError: With file, line and key of the first mistake.
    """
    tree = parse_toml(text, file)
    try:
        return _scenario(tree)
    except TableMistake as mistake:
        raise mistake.located(text, file) from None


def _scenario(tree: Mapping[str, Any]) -> Scenario:
    _only(tree, ("title", "end", "step"), ())
    given = tree.get("step", [])
    if not isinstance(given, list) or not given:
        raise TableMistake(("step",), "write [[step]], once for each moment")
    steps: list[Step] = []
    known: set[str] = set()
    for index, table in enumerate(given):
        step = _step(table, ("step", index), known)
        if steps and step.at_s < steps[-1].at_s:
            raise TableMistake(
                ("step", index, "at"), "is before the step above; write steps in order of time"
            )
        steps.append(step)
    title = _value(values.text, tree, "title", (), "scenario")
    end_s = _value(values.duration, tree, "end", (), steps[-1].at_s)
    if end_s < steps[-1].at_s:
        raise TableMistake(("end",), "is before the last step")
    return Scenario(title=title, steps=tuple(steps), end_s=end_s)


def _step(table: object, place: KeyPath, known: set[str]) -> Step:
    """Read one step; `known` has the names of the faults so far, and gets those of this one."""
    if not isinstance(table, dict):
        raise TableMistake(place, "write [[step]], once for each moment")
    _only(table, _STEP_KEYS, place)
    if "at" not in table:
        raise TableMistake(place, 'at: is missing; write at = "2s", the time from the begin')
    clear = _names(table, "clear", place)
    for name in clear:
        if name not in known:
            raise TableMistake((*place, "clear"), f"{name!r} is no fault of a step above")
        known.discard(name)
    faults = read_faults(table.get("fault", []), (*place, "fault"))
    for index, rule in enumerate(faults):
        if not rule.name or rule.name in known:
            why = f"{rule.name!r} is in force already" if rule.name else "is missing; the report needs it"
            raise TableMistake((*place, "fault", index, "name"), why)
        known.add(rule.name)
    return Step(
        at_s=_value(values.duration, table, "at", place, 0.0),
        say=_value(values.text, table, "say", place, ""),
        clear=clear,
        actions=tuple((key, device) for key in DEVICE_ACTIONS for device in _names(table, key, place)),
        faults=faults,
    )


def _names(table: Mapping[str, Any], key: str, place: KeyPath) -> tuple[str, ...]:
    given = table.get(key, [])
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise TableMistake((*place, key), f"{given!r} must be a text in quotes, or a list of them")
    return tuple(names)


def _value(read: Any, table: Mapping[str, Any], key: str, place: KeyPath, default: Any) -> Any:
    if key not in table:
        return default
    try:
        return read(key, table[key])
    except RuleError as error:
        raise TableMistake((*place, key), error.message) from None


def _only(table: Mapping[str, Any], known: tuple[str, ...], place: KeyPath) -> None:
    for key in table:
        if key not in known:
            raise TableMistake((*place, key), no_such_key(key, known))
