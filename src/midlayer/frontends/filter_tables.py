"""Filters in a configuration: ``[[filter]]``, read into values that `open_filters` puts into the path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from midlayer.errors import ConfigError
from midlayer.frontends.toml_text import KeyPath, TableMistake
from midlayer.lower.filters import (
    Delay,
    DelayFilter,
    Filter,
    Player,
    RecordFilter,
    Recording,
    RecordingError,
    ReplayFilter,
    RuleError,
    Scope,
    TraceFilter,
    filters_of,
    values,
)
from midlayer.mid.subsystem import Subsystem
from midlayer.spelling import no_such_key

_KEYS = {
    "delay": ("delay", "seed"),
    "trace": ("file",),
    "record": ("file", "hashed"),
    "replay": ("file",),
}
"""What each kind knows beside ``kind`` and ``device``; the first of them is required."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterSpec:
    """One filter.

    Attributes:
        kind: ``delay``, ``trace``, ``record`` or ``replay``.
        scope: For which logical units.
        delay, seed: Of a delay.
        file: Where a trace or a recording goes.
        hashed: True for a recording without data.
        recording: What is replayed.
    """

    kind: str
    scope: Scope
    delay: Delay | None = None
    seed: int = 0
    file: Path | None = None
    hashed: bool = False
    recording: Recording | None = None


def read_filters(given: object, place: KeyPath, base: Path) -> tuple[FilterSpec, ...]:
    """Read the array of filter tables; `base` is where relative paths start.

    Raises:
        TableMistake: For the first mistake.
    """
    if not isinstance(given, list):
        raise TableMistake(place, "write [[filter]], once for each filter")
    return tuple(read_filter(table, (*place, index), base) for index, table in enumerate(given))


def read_recording(path: Path, place: KeyPath) -> Recording:
    """Read a recording that a configuration names.

    Raises:
        TableMistake: If it can not be read, or not be replayed.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            recording = Recording.parse(lines, file=str(path))
        Player(recording)
    except OSError as error:
        raise TableMistake(place, f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TableMistake(place, f"{path}: not UTF-8") from None
    except RecordingError as error:
        raise TableMistake(place, str(error)) from None
    return recording


@contextmanager
def open_filters(subsystem: Subsystem, specs: Sequence[FilterSpec]) -> Iterator[None]:
    """Have filters in the path, the last one first to see a command, and their files open.

    Raises:
        ConfigError: If a file can not be written.
    """
    filters = filters_of(subsystem)
    with ExitStack() as stack:
        for spec in specs:
            made = _make(spec, stack)
            filters.add(made)
            stack.callback(filters.remove, made)
        yield


def _make(spec: FilterSpec, stack: ExitStack) -> Filter:
    if spec.delay is not None:
        return DelayFilter(spec.delay, spec.scope, seed=spec.seed)
    if spec.recording is not None:
        return ReplayFilter(Player(spec.recording), spec.scope)
    assert spec.file is not None
    try:
        file: TextIO = stack.enter_context(spec.file.open("w", encoding="utf-8", buffering=1))
    except OSError as error:
        raise ConfigError(error.strerror or str(error), file=str(spec.file), key="filter.file") from error
    if spec.kind == "trace":
        return TraceFilter(lambda line: file.write(line + "\n"), spec.scope)
    return RecordFilter(file, spec.scope, hashed=spec.hashed)


def read_filter(table: object, place: KeyPath, base: Path) -> FilterSpec:
    """Read one filter table.

    Raises:
        TableMistake: For the first mistake.
    """
    if not isinstance(table, dict):
        raise TableMistake(place, "write [[filter]], once for each filter")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        said = "is missing" if kind is None else f"{kind!r} is not known"
        raise TableMistake((*place, "kind"), f"{said}; write one of {', '.join(_KEYS)}")
    known = ("kind", "device", *_KEYS[kind])
    for key in table:
        if key not in known:
            raise TableMistake((*place, key), no_such_key(key, known))
    if _KEYS[kind][0] not in table:
        raise TableMistake((*place, _KEYS[kind][0]), f"is missing; a {kind} filter needs it")
    try:
        file = base / values.text("file", table["file"]) if "file" in table else None
        return FilterSpec(
            kind=kind,
            scope=Scope.parse(values.text("device", table.get("device", "*"))),
            delay=values.delay("delay", table["delay"]) if "delay" in table else None,
            seed=values.number("seed", table.get("seed", 0)),
            file=file,
            hashed=values.flag("hashed", table.get("hashed", False)),
            recording=read_recording(file, (*place, "file")) if kind == "replay" and file else None,
        )
    except RuleError as error:
        raise TableMistake((*place, error.key), error.message) from None
