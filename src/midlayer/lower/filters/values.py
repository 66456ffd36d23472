"""Values as people write them in a rule, and as they are printed back: durations, commands, sense data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from itertools import pairwise
from typing import Any, NoReturn

from midlayer.errors import SpecError
from midlayer.lower.filters.delays import Delay
from midlayer.standards.asc import ASC_NAMES
from midlayer.standards.opcodes import SERVICE_ACTIONS, Opcode, command_name
from midlayer.standards.sense import Sense, SenseKey, descriptor_sense, fixed_sense
from midlayer.values import read_flag, read_number

Commands = tuple[tuple[int, int | None], ...]
"""Operation code and service action (None for any) of each command that is meant."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h)?", re.ASCII)
_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MOST_S = 7 * 86400.0
_LBA = re.compile(r"(\w+)\s*(?:([-+])\s*(\w+))?", re.ASCII)
_CODE = re.compile(
    r"(?:0x)?([0-9a-f]{1,2})(?:/(?:0x)?([0-9a-f]{1,2}))?(?:/(?:0x)?([0-9a-f]{1,2}))?", re.ASCII
)
_PRINTED = re.compile(r"(.*)\(([0-9a-f/x]+)\)", re.ASCII)
_PERCENT = re.compile(r"p(\d{1,3}(?:\.\d+)?)", re.ASCII)
_JITTER = re.compile(r"\s*(?:±|\+/-|\+-)\s*")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")


class RuleError(SpecError):
    """A key or a value that a rule can not have."""


def number(key: str, value: object, lowest: int = 0, highest: int = (1 << 64) - 1) -> int:
    """Read a number, which text may give in hexadecimal (0x…)."""
    try:
        return read_number(value, lowest, highest)
    except ValueError as error:
        raise RuleError(key, str(error)) from None


def flag(key: str, value: object) -> bool:
    """Read true or false."""
    try:
        return read_flag(value)
    except ValueError as error:
        raise RuleError(key, str(error)) from None


def text(key: str, value: object) -> str:
    """Read text of one line."""
    if not isinstance(value, str) or not (value.isprintable() and len(value) <= 256):
        raise RuleError(key, f"{value!r} must be text in quotes, on one line")
    return value


def words(key: str, value: object, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read one of the known words, several with commas between them, or a list."""
    given = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given or not all(one in known for one in given):
        raise RuleError(key, f"{value!r} must be one or several of {', '.join(known)}")
    return tuple(one for one in known if one in given)


def word(key: str, value: object, known: tuple[str, ...]) -> str:
    """Read one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise RuleError(key, f"{value!r} must be one of {', '.join(known)}")
    return value


def duration(key: str, value: object) -> float:
    """Read a duration, in seconds to the nanosecond: ``50ms``, ``1.5s``, ``2m``; a number means seconds."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = -1.0
    if match is not None:
        seconds = float(match[1]) * _UNITS_S[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 <= seconds <= _MOST_S:
        raise RuleError(key, f"{value!r} must be a duration up to 7 days, such as 50ms, 1.5s or 2m")
    return round(seconds, 9)


def duration_text(seconds: float) -> str:
    """Return a duration as `duration` reads it: ``50ms``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        amount = seconds / size
        if (amount >= 1 or not seconds) and abs(amount - round(amount)) < 1e-9 * max(1.0, amount):
            return f"{round(amount)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def probability(key: str, value: object) -> float:
    """Read a probability: 0.01, or ``1%``."""
    try:
        if isinstance(value, str) and value.endswith("%"):
            chance = float(value[:-1]) / 100
        else:
            chance = -1.0 if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        chance = -1.0
    if not 0 < chance <= 1:
        raise RuleError(key, f"{value!r} must be more than 0 and at most 1, such as 0.01 or 1%")
    return chance


def delay(key: str, value: object) -> Delay:
    """Read a delay: ``50ms``, ``50ms+-10ms``, or percentiles ``p50=1ms p99=20ms`` (a table is as good)."""
    if isinstance(value, str) and "=" in value:
        value = dict(part.partition("=")[::2] for part in value.replace(",", " ").split())
    if isinstance(value, Mapping):
        return _percentiles(key, value)
    if isinstance(value, str):
        middle, *spread = _JITTER.split(value.strip(), maxsplit=1)
        if spread:
            center_s, jitter_s = duration(key, middle), duration(key, spread[0])
            return Delay(
                ((0.0, round(max(0.0, center_s - jitter_s), 9)), (100.0, round(center_s + jitter_s, 9)))
            )
    return Delay(((0.0, duration(key, value)),))


def _percentiles(key: str, table: Mapping[Any, Any]) -> Delay:
    points: list[tuple[float, float]] = []
    for name, value in table.items():
        match = _PERCENT.fullmatch(name) if isinstance(name, str) else None
        if match is None or float(match[1]) > 100:
            raise RuleError(key, f"{name!r} must be a percentile, such as p50, p99 or p99.9")
        points.append((float(match[1]), duration(key, value)))
    points.sort()
    if not points or any(after[1] < before[1] for before, after in pairwise(points)):
        raise RuleError(key, "percentiles must be at least one, and rise: p50=1ms p99=20ms")
    return Delay(tuple(points))


def delay_text(value: Delay) -> str:
    """Return a delay as `delay` reads it."""
    if len(value.points) == 1 and not value.points[0][0]:
        return duration_text(value.points[0][1])
    return " ".join(f"p{percent:g}={duration_text(seconds)}" for percent, seconds in value.points)


def lba_range(key: str, value: object) -> tuple[int, int]:
    """Read logical block addresses, first and last: ``4096``, ``4096-4103``, ``4096+8``."""
    match = _LBA.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not match[2]:
        first = number(key, value)
        return first, first
    first, second = number(key, match[1]), number(key, match[3])
    last = second if match[2] == "-" else first + second - 1
    if last < first:
        raise RuleError(key, f"{value!r} ends before it begins; write FIRST-LAST or FIRST+BLOCKS")
    return first, last


def commands(key: str, value: object) -> Commands:
    """Read commands: ``READ(10)``, ``0x28``, ``READ`` for READ(6) to READ(32), ``any``, or a list of them."""
    given = value.split(";") if isinstance(value, str) else value
    if isinstance(given, int):
        given = [given]
    if not isinstance(given, list | tuple) or not given:
        raise RuleError(key, f"{value!r} must be a command such as READ(10) or 0x28, or a list of them")
    if any(one == "any" for one in given):
        return ()
    found: dict[tuple[int, int | None], None] = {}
    for one in given:
        found.update(dict.fromkeys(_command(key, one)))
    return tuple(sorted(found, key=lambda pair: (pair[0], -1 if pair[1] is None else pair[1])))


def _command(key: str, value: object) -> Commands:
    if isinstance(value, int) or (isinstance(value, str) and value.strip()[:1].isdigit()):
        return ((number(key, value, 0, 0xFF), None),)
    names = _command_names()
    plain = _plain(value) if isinstance(value, str) else ""
    if plain not in names:
        _no_such_name(key, value, plain, names, "a command such as READ(10), READ or 0x28")
    return names[plain]


def command_text(opcode: int, action: int | None) -> str:
    """Return a command as `commands` reads it."""
    name = command_name(bytes([opcode]))
    if action is not None:
        name = SERVICE_ACTIONS[opcode][action]
    return name if _plain(name) in _command_names() else f"{opcode:#04x}"


def commands_text(meant: Commands) -> list[str]:
    """Return commands as `commands` reads them; a whole family by its name."""
    for name, family in _command_names().items():
        if len(family) > 1 and set(family) == set(meant):
            return [name.upper()]
    return [command_text(*pair) for pair in meant]


def named(key: str, value: object, enum: type[IntEnum], *, prefix: str = "", highest: int = 0xFF) -> int:
    """Read a member of an enumeration by name, with or without its prefix, or any number."""
    if isinstance(value, int) or (isinstance(value, str) and value.strip()[:1].isdigit()):
        return number(key, value, 0, highest)
    names = {_plain(name.removeprefix(prefix)): int(member) for name, member in enum.__members__.items()}
    plain = _plain(str(value)).removeprefix(_plain(prefix)).strip()
    if plain not in names:
        _no_such_name(key, value, plain, names, f"one of {', '.join(enum.__members__)}, or a number")
    return names[plain]


def sense(key: str, value: object, *, descriptor: bool = False) -> bytes:
    """Read sense data: ``3/11/00``, ``medium error, unrecovered read error``, a key's name, or its bytes."""
    given = text(key, value).strip().lower()
    raw = _hex(given)
    if len(raw) >= 8 and 0x70 <= raw[0] & 0x7F <= 0x73 and Sense.decode(raw) is not None:
        return raw
    printed = _PRINTED.fullmatch(given)
    match = _CODE.fullmatch(printed[2] if printed else given)
    if match is not None and int(match[1], 16) <= 0xF:
        key_number, asc, ascq = (int(part or "0", 16) for part in match.groups())
    elif given[:1].isdigit():
        raise RuleError(
            key, f"{value!r} must be a sense key, ASC and ASCQ such as 3/11/00, or bytes in hexadecimal"
        )
    else:
        name, _, more = given.partition(",")
        key_number = named(key, name, SenseKey, highest=0xF)
        asc, ascq = divmod(_additional(key, more.strip()), 256) if more.strip() else (0, 0)
    return (descriptor_sense if descriptor else fixed_sense)(key_number, asc, ascq)


def sense_text(data: bytes) -> str:
    """Return sense data as `sense` reads it: in three numbers if that says all, else in bytes."""
    found = Sense.decode(data)
    if found is not None:
        short = f"{found.key:x}/{found.asc:02x}/{found.ascq:02x}"
        if data == fixed_sense(found.key, found.asc, found.ascq):
            return short
    return data.hex()


def _additional(key: str, name: str) -> int:
    plain = _plain(name)
    codes = {_plain(title): code for code, title in reversed(ASC_NAMES.items())}
    if plain not in codes:
        _no_such_name(key, name, plain, codes, "an additional sense code's name, or write 3/11/00")
    return codes[plain]


@cache
def _command_names() -> dict[str, Commands]:
    """Every name of a command, then every family: ``read`` for READ(6) to READ(32)."""
    names: dict[str, Commands] = {}
    for title, member in Opcode.__members__.items():
        names[_plain(title)] = names[_plain(command_name(bytes([member])))] = ((int(member), None),)
    for opcode, actions in SERVICE_ACTIONS.items():
        names |= {_plain(title): ((int(opcode), action),) for action, title in actions.items()}
    families: dict[str, Commands] = {}
    for name, meant in names.items():
        stem, _, length = name.rpartition(" ")
        if length.isdigit() and stem not in names:
            families[stem] = tuple(dict.fromkeys(families.get(stem, ()) + meant))
    return names | families


def _plain(name: str) -> str:
    return _NOT_A_LETTER.sub(" ", name.lower()).strip()


def _hex(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        return b""


def _no_such_name(key: str, value: object, plain: str, known: Mapping[str, object], wanted: str) -> NoReturn:
    from difflib import get_close_matches  # noqa: PLC0415 - only needed for a mistake

    near = get_close_matches(plain, known, n=1)
    raise RuleError(key, f"{value!r} must be {wanted}" + (f"; did you mean {near[0]!r}?" if near else ""))
