"""Fault rules: which commands they mean, which of these they hit, and what becomes of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from midlayer.lower.filters import values
from midlayer.lower.filters.delays import Delay
from midlayer.lower.filters.filter import EVERYTHING, Scope
from midlayer.lower.filters.values import Commands, RuleError
from midlayer.mid.command import HostByte
from midlayer.spelling import no_such_key
from midlayer.standards.sam import Status

DIRECTIONS = ("in", "out", "none")
BUSY = ("device", "target", "host")
FAIL = ("abort", "device_reset", "target_reset", "bus_reset", "host_reset")
STATES = ("lun-gone", "path-down")
ALL_BYTES = -1

_MOST_TIMES = 1 << 31


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultRule:
    """One fault. Empty values mean "any", or "nothing of the kind".

    Which commands it means:

    Attributes:
        name: To find it again; made up if it is empty.
        device: Where it works.
        opcode: Commands by operation code and service action; empty for all.
        service_action: Service action or actions, for commands that have one.
        lba: First and last logical block; a command that touches one of them is meant.
        direction: ``in`` from the device, ``out`` to it, ``none`` without data.
        initiator: The initiator port's name; ``*`` and ``?`` stand for any characters.
        nth: Only the n-th of the commands that are meant.
        every: Each n-th of them.
        times: At most so many.
        probability: Each of them with this chance.
        seed: Of the chance, and of whatever else is random in the rule.
        after, lasts: The rule works from so many seconds after it was added, for so many seconds.

        status: SCSI status; with sense data CHECK CONDITION, unless another is given.
        host_byte: A `HostByte`.
        sense: Sense data.
        execute: True to have the device carry the command out first; by itself for sense keys 0 and 1.
        residual: Bytes that were not moved, as the driver reports; `ALL_BYTES` for all.
        short: The last so many bytes are not moved.
        corrupt: So many bytes of the data get other bits.
        delay: The command ends so much later.
        lost: The command never ends.
        busy: `queuecommand` refuses it: ``device``, ``target`` or ``host`` busy.
        fail: Error handlers that fail: `FAIL`.
        unit_attention: ASC and ASCQ, once for each initiator.
        qualifier: Peripheral qualifier in the standard INQUIRY data.
        identity: Another unit is there: its serial number.
        state: ``lun-gone`` or ``path-down``.
    """

    name: str = ""
    device: Scope = EVERYTHING
    opcode: Commands = ()
    service_action: tuple[int, ...] = ()
    lba: tuple[int, int] | None = None
    direction: str = ""
    initiator: str = ""
    nth: int = 0
    every: int = 0
    times: int = 0
    probability: float = 0.0
    seed: int = 0
    after: float = 0.0
    lasts: float = 0.0
    status: int | None = None
    host_byte: int | None = None
    sense: bytes = b""
    execute: bool | None = None
    residual: int | None = None
    short: int = 0
    corrupt: int = 0
    delay: Delay | None = None
    lost: bool = False
    busy: str = ""
    fail: tuple[str, ...] = ()
    unit_attention: tuple[int, int] | None = None
    qualifier: int | None = None
    identity: str = ""
    state: str = ""

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Check and take over the keys of a rule, as TOML, JSON, the command line or Python give them.

        Raises:
            RuleError: For the first key that is unknown, has an impossible value, or goes with no other.
        """
        for key in given:
            if key not in _CONVERSIONS:
                raise RuleError(str(key), no_such_key(str(key), _CONVERSIONS))
        taken = {key: _CONVERSIONS[key](key, value) for key, value in given.items() if value is not None}
        if taken.pop("once", False):
            taken.setdefault("times", 1)
        if taken.pop("descriptor_sense", False):
            if "sense" not in taken:
                raise RuleError("descriptor_sense", "says how sense data is written; write sense as well")
            taken["sense"] = values.sense("sense", given["sense"], descriptor=True)
        rule = cls(**taken)
        rule.check()
        return rule

    def to_mapping(self) -> dict[str, Any]:
        """Return the keys that `from_mapping` makes the same rule of, and only those that say something."""
        return {
            field.name: _TEXTS.get(field.name, _same)(value)
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    def check(self) -> None:
        """Raise RuleError if keys contradict each other."""
        effects = [name for name in EFFECTS if getattr(self, name) not in (None, 0, "", b"", (), False)]
        effects += [name for name in ("status", "host_byte", "residual", "qualifier") if self._is_zero(name)]
        if not effects:
            raise RuleError("fault", f"the rule does nothing; write one of {', '.join(EFFECTS)}")
        for alone in _ALONE:
            others = [name for name in effects if name != alone]
            if alone in effects and others:
                raise RuleError(alone, f"goes with no {others[0]}; write a second [[fault]] for that")
        if self.state == "lun-gone" and None in self.device:
            raise RuleError("device", "lun-gone is for one logical unit; write its address, such as 2:0:1:0")
        if self.execute is False and (self.short or self.corrupt):
            raise RuleError("execute", "false leaves no data to be cut short or corrupted")
        if self.nth and self.every:
            raise RuleError("nth", "is for one command, every for many; write one of them")

    def _is_zero(self, name: str) -> bool:
        return getattr(self, name) == 0 and getattr(self, name) is not None

    @property
    def ends_command(self) -> bool:
        """True if the rule gives the command its status, host byte or sense data."""
        return self.status is not None or self.host_byte is not None or bool(self.sense)

    @property
    def executes(self) -> bool:
        """True if the device carries the command out."""
        if self.execute is not None:
            return self.execute
        recovered = bool(self.sense) and _sense_key(self.sense) <= 1
        return not self.ends_command or recovered or bool(self.short or self.corrupt)


def _sense_key(sense: bytes) -> int:
    return sense[2 if sense[0] & 0x7F < 0x72 else 1] & 0x0F


EFFECTS = (
    "status", "host_byte", "sense", "residual", "short", "corrupt", "delay", "lost", "busy", "fail",
    "unit_attention", "qualifier", "identity", "state",
)  # fmt: skip
"""Keys that say what becomes of a command; a rule has at least one."""

_ALONE = ("lost", "busy", "fail", "unit_attention", "qualifier", "identity", "state")

Convert = Callable[[str, Any], Any]


def _count(highest: int = _MOST_TIMES) -> Convert:
    return lambda key, value: values.number(key, value, 0, highest)


def _one_of(known: tuple[str, ...]) -> Convert:
    return lambda key, value: values.word(key, value, known)


def _device(key: str, value: object) -> Scope:
    return Scope.parse(values.text(key, value), key)


def _service_actions(key: str, value: object) -> tuple[int, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    return tuple(sorted({values.number(key, one, 0, 0xFFFF) for one in given}))


def _status(key: str, value: object) -> int:
    if isinstance(value, str) and value.upper().replace("_", " ") == "QUEUE FULL":
        return Status.TASK_SET_FULL
    return values.named(key, value, Status)


def _residual(key: str, value: object) -> int:
    return ALL_BYTES if value in ("all", ALL_BYTES) else values.number(key, value, 0, 0xFFFFFFFF)


def _qualifier(key: str, value: object) -> int:
    if isinstance(value, str) and value in _QUALIFIERS:
        return _QUALIFIERS[value]
    return values.number(key, value, 0, 7)


def _unit_attention(key: str, value: object) -> tuple[int, int]:
    given = values.text(key, value)
    try:
        asc, ascq = (int(part, 16) for part in [*given.split("/"), "0"][:2])
    except ValueError:
        found = values.sense(key, f"unit attention, {given}")
        return found[12], found[13]
    if given.count("/") > 1 or not (0 <= asc <= 0xFF and 0 <= ascq <= 0xFF):
        raise RuleError(key, f"{value!r} must be ASC and ASCQ in hexadecimal, such as 29/00, or their name")
    return asc, ascq


def _identity(key: str, value: object) -> str:
    given = values.text(key, value)
    if not (given and given.isascii() and len(given) <= 36):
        raise RuleError(key, f"{value!r} must be a serial number, 1 to 36 ASCII characters")
    return given


_QUALIFIERS = {f"{code:03b}b": code for code in range(8)}

_CONVERSIONS: dict[str, Convert] = {
    "name": values.text,
    "device": _device,
    "opcode": values.commands,
    "service_action": _service_actions,
    "lba": values.lba_range,
    "direction": _one_of(DIRECTIONS),
    "initiator": values.text,
    "nth": _count(),
    "every": _count(),
    "times": _count(),
    "once": values.flag,
    "probability": values.probability,
    "seed": _count((1 << 64) - 1),
    "after": values.duration,
    "lasts": values.duration,
    "status": _status,
    "host_byte": lambda key, value: values.named(key, value, HostByte, prefix="DID_"),
    "sense": values.sense,
    "descriptor_sense": values.flag,
    "execute": values.flag,
    "residual": _residual,
    "short": _count(0xFFFFFFFF),
    "corrupt": _count(0xFFFFFFFF),
    "delay": values.delay,
    "lost": values.flag,
    "busy": _one_of(BUSY),
    "fail": lambda key, value: values.words(key, value, FAIL),
    "unit_attention": _unit_attention,
    "qualifier": _qualifier,
    "identity": _identity,
    "state": _one_of(STATES),
}


def _same(value: object) -> object:
    return value


_TEXTS: dict[str, Callable[[Any], Any]] = {
    "device": str,
    "opcode": values.commands_text,
    "service_action": list,
    "lba": lambda pair: str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}",
    "after": values.duration_text,
    "lasts": values.duration_text,
    "status": lambda code: Status(code).title if code in list(Status) else f"{code:#04x}",
    "host_byte": lambda code: HostByte(code).name if code in list(HostByte) else f"{code:#04x}",
    "sense": values.sense_text,
    "residual": lambda count: "all" if count == ALL_BYTES else count,
    "delay": values.delay_text,
    "fail": list,
    "unit_attention": lambda pair: f"{pair[0]:02x}/{pair[1]:02x}",
    "qualifier": lambda code: f"{code:03b}b",
}
