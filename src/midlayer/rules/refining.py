"""Keys whose meaning hangs on their attribute or their value: IMPORT, RUN, OPTIONS, TEST, MODE …"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from midlayer.rules import builtins
from midlayer.rules.keys import CONSTANTS, IMPORTS, LOG_LEVELS, NOT_TO_BE_SET, RUNS, Kind
from midlayer.rules.lexer import RawToken
from midlayer.rules.mistakes import Misread

_OCTAL = re.compile(r"0*[0-7]{1,4}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,9}", re.ASCII)


def _import(raw: RawToken) -> dict[str, Any]:
    kind = IMPORTS.get(raw.attribute or "")
    if kind is None:
        raise Misread(
            raw.offset, f"IMPORT{{{raw.attribute}}} is unknown", f"write IMPORT{{{'|'.join(IMPORTS)}}}"
        )
    builtin = builtins.find(raw.value)
    if kind is Kind.IMPORT_PROGRAM and builtin is not None and not builtin.ours:
        kind = Kind.IMPORT_BUILTIN  # as udev does
    if kind is Kind.IMPORT_BUILTIN and (builtin is None or builtin.ours):
        raise Misread(
            raw.value_offset, f"no built-in command {_first_word(raw)!r} for IMPORT", _imports_hint()
        )
    return {"kind": kind}


def _run(raw: RawToken) -> dict[str, Any]:
    kind = RUNS.get(raw.attribute)
    if kind is None:
        raise Misread(
            raw.offset, f"RUN{{{raw.attribute}}} is unknown", "write RUN, RUN{program} or RUN{builtin}"
        )
    if kind is Kind.RUN_BUILTIN:
        builtin = builtins.find(raw.value)
        if builtin is None:
            raise Misread(raw.value_offset, f"no built-in command {_first_word(raw)!r}", _runs_hint())
        wrong = builtins.arguments_wrong(builtin, raw.value)
        if wrong:
            raise Misread(raw.value_offset, wrong, f"write {builtin.usage}")
    return {"kind": kind}


def _first_word(raw: RawToken) -> str:
    return (raw.value.split() or [""])[0]


def _imports_hint() -> str:
    return "write one of " + " ".join(name for name, one in builtins.BUILTINS.items() if not one.ours)


def _runs_hint() -> str:
    return "write one of " + " ".join(
        sorted(builtins.BUILTINS, key=lambda name: not builtins.BUILTINS[name].ours)
    )


OPTIONS_HINT = (
    "write string_escape=none|replace, db_persist, watch, nowatch, static_node=, link_priority= or log_level="
)
_FIXED_OPTIONS: dict[str, tuple[Kind, int]] = {
    "string_escape=none": (Kind.STRING_ESCAPE, 0),
    "string_escape=replace": (Kind.STRING_ESCAPE, 1),
    "db_persist": (Kind.DB_PERSIST, 1),
    "watch": (Kind.WATCH, 1),
    "nowatch": (Kind.WATCH, 0),
}


def _options(raw: RawToken) -> dict[str, Any] | None:
    if raw.value in _FIXED_OPTIONS:
        kind, number = _FIXED_OPTIONS[raw.value]
        return {"kind": kind, "number": number}
    name, equals, value = raw.value.partition("=")
    if name == "static_node" and equals:
        return {"kind": Kind.STATIC_NODE, "attribute": value}
    if name == "link_priority" and equals:
        if _NUMBER.fullmatch(value) is None:
            raise Misread(
                raw.value_offset, f"link_priority {value!r} is not a number", "write link_priority=50"
            )
        return {"kind": Kind.LINK_PRIORITY, "number": int(value)}
    if name == "log_level" and equals:
        if value not in LOG_LEVELS:
            raise Misread(
                raw.value_offset, f"there is no log level {value!r}", "write debug, info … or reset"
            )
        return {"kind": Kind.LOG_LEVEL, "attribute": value}
    return None


def _test(raw: RawToken) -> dict[str, Any]:
    if not raw.attribute:
        return {}
    if _OCTAL.fullmatch(raw.attribute) is None:
        raise Misread(raw.offset, f"{raw.attribute!r} is not a mode", "write TEST{0111}, in octal")
    return {"number": int(raw.attribute, 8)}


def _mode(raw: RawToken) -> dict[str, Any]:
    return {"number": int(raw.value, 8)} if _OCTAL.fullmatch(raw.value) else {}


def _const(raw: RawToken) -> dict[str, Any]:
    if raw.attribute not in CONSTANTS:
        raise Misread(raw.offset, f"CONST{{{raw.attribute}}} is unknown", "write CONST{arch} or CONST{virt}")
    return {}


def _env(raw: RawToken) -> dict[str, Any]:
    if raw.attribute in NOT_TO_BE_SET:
        raise Misread(raw.offset, f"ENV{{{raw.attribute}}} can not be set", "set a property of another name")
    return {}


def _name(raw: RawToken) -> dict[str, Any]:
    if raw.value in ("", "%k"):
        raise Misread(raw.value_offset, f'NAME="{raw.value}" does nothing', "leave it out")
    return {}


REFINE: dict[Kind, Callable[[RawToken], dict[str, Any] | None]] = {
    Kind.IMPORT_FILE: _import,
    Kind.RUN_PROGRAM: _run,
    Kind.STRING_ESCAPE: _options,
    Kind.MATCH_TEST: _test,
    Kind.MODE: _mode,
    Kind.MATCH_CONST: _const,
    Kind.ENV: _env,
    Kind.NAME: _name,
}
"""What they become, as arguments of a token; None for an option that there is not. They raise `Misread`."""
