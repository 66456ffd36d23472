"""A fault in force: a rule, and how often it met and hit a command."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from midlayer.lower.filters.blocks import blocks_of, service_action_of
from midlayer.lower.filters.fault.rule import FaultRule
from midlayer.mid.command import Command
from midlayer.standards.opcodes import Opcode

_ALWAYS_ANSWERED = frozenset({Opcode.INQUIRY, Opcode.REPORT_LUNS, Opcode.REQUEST_SENSE})
"""A unit attention condition does not end these (SAM-5 5.14)."""

_EVERY_OPCODE = frozenset(range(256))

Predicate = Callable[[Command], bool]


@dataclass(frozen=True, slots=True)
class FaultState:
    """A fault at one moment.

    Attributes:
        rule: The rule; its name is never empty here.
        matches: Commands that it meant, since it was added.
        injections: Those that it hit.
        active: False before and after its time, and when it has hit as often as it may.
    """

    rule: FaultRule
    matches: int
    injections: int
    active: bool

    def to_json(self) -> dict[str, Any]:
        """Return the shape that the API and ``--json`` have."""
        return {
            "name": self.rule.name,
            "rule": {key: value for key, value in self.rule.to_mapping().items() if key != "name"},
            "matches": self.matches,
            "injections": self.injections,
            "active": self.active,
        }


class Fault:
    """One rule at work. Thread-safe.

    Attributes:
        rule: What it does.
        choose: Its chance, repeatable by the rule's seed.
    """

    def __init__(self, rule: FaultRule, now_s: float) -> None:
        self.rule = rule
        self.choose = Random(rule.seed)
        self._begin_s = now_s + rule.after
        self._end_s = self._begin_s + rule.lasts if rule.lasts else float("inf")
        self._lock = threading.Lock()
        self._matches = self._injections = 0
        self._told: set[tuple[object, ...]] = set()  # who has had the unit attention
        self._predicates = tuple(_predicates(rule))

    def opcodes(self) -> frozenset[int]:
        """Return the operation codes of commands that the rule may hit."""
        rule = self.rule
        if rule.fail:
            return frozenset()
        if rule.qualifier is not None or rule.identity:
            return frozenset({Opcode.INQUIRY})
        named = frozenset(opcode for opcode, _ in rule.opcode) or _EVERY_OPCODE
        return named - _ALWAYS_ANSWERED if rule.unit_attention is not None else named

    def hits(self, command: Command, now_s: float) -> bool:
        """Return whether the rule is to act on a command, and count it."""
        if not self._begin_s <= now_s < self._end_s:
            return False
        for predicate in self._predicates:
            if not predicate(command):
                return False
        with self._lock:
            self._matches += 1
            chosen = self._is_chosen(command)
            self._injections += chosen
        return chosen

    def _is_chosen(self, command: Command) -> bool:
        """Return whether a command that the rule means is one of those that it hits."""
        rule = self.rule
        if (rule.nth and self._matches != rule.nth) or (rule.every and self._matches % rule.every):
            return False
        if rule.times and self._injections >= rule.times:
            return False
        if rule.probability and self.choose.random() >= rule.probability:
            return False
        if rule.unit_attention is not None:
            who = (command.device.address, command.nexus)
            if who in self._told:
                return False
            self._told.add(who)
        return True

    def delay_s(self) -> float:
        """Return how late the next command is to be."""
        with self._lock:
            return self.rule.delay.sample(self.choose) if self.rule.delay is not None else 0.0

    def damage(self, data: bytearray) -> None:
        """Give other bits to as many bytes as the rule says, at places that its seed decides."""
        with self._lock:
            places = self.choose.sample(range(len(data)), min(self.rule.corrupt, len(data)))
            for at in places:
                data[at] ^= self.choose.randrange(1, 256)

    def state(self, now_s: float) -> FaultState:
        """Return how it is now."""
        with self._lock:
            rule = self.rule
            spent = (rule.times and self._injections >= rule.times) or (
                rule.nth and self._matches >= rule.nth
            )
            active = self._begin_s <= now_s < self._end_s and not spent
            return FaultState(rule, self._matches, self._injections, active)


def _predicates(rule: FaultRule) -> list[Predicate]:
    """Return what a command must fulfil beside its operation code, the quickest to answer first."""
    found: list[Predicate] = []
    if rule.state == "lun-gone":
        return [_meets_missing_lun(rule)]
    if any(part is not None for part in rule.device):
        found.append(lambda command: rule.device.covers(command.device))
    if rule.direction:
        found.append(lambda command: _direction(command) == rule.direction)
    if any(action is not None for _, action in rule.opcode):
        found.append(lambda command: _names_action(rule, command))
    if rule.service_action:
        found.append(lambda command: service_action_of(command.cdb) in rule.service_action)
    if rule.lba is not None:
        first, last = rule.lba
        found.append(lambda command: _touches(command.cdb, first, last))
    if rule.initiator:
        found.append(lambda command: fnmatchcase(command.nexus.initiator_port, rule.initiator))
    return found


def _meets_missing_lun(rule: FaultRule) -> Predicate:
    """All commands for the unit, and REPORT LUNS to any other of its target, which must leave it out."""

    def meets(command: Command) -> bool:
        if rule.device.covers(command.device):
            return True
        return command.cdb[0] == Opcode.REPORT_LUNS and command.device.address[:3] == rule.device[:3]

    return meets


def _direction(command: Command) -> str:
    if command.data_in is not None:
        return "in"
    return "out" if command.data_out is not None else "none"


def _names_action(rule: FaultRule, command: Command) -> bool:
    opcode, action = command.cdb[0], service_action_of(command.cdb)
    return any(opcode == code and wanted in (None, action) for code, wanted in rule.opcode)


def _touches(cdb: bytes, first: int, last: int) -> bool:
    blocks = blocks_of(cdb)
    return blocks is not None and blocks[0] <= last and first < blocks[0] + max(blocks[1], 1)
