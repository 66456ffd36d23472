"""A fault in force: a rule, and how often it met and hit a command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from midlayer.lower.filters.blocks import WITH_BLOCKS, service_action_of, touches
from midlayer.lower.filters.fault.rule import FaultRule
from midlayer.mid.command import Command
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.opcodes import Opcode

_ALWAYS_ANSWERED = frozenset({Opcode.INQUIRY, Opcode.REPORT_LUNS, Opcode.REQUEST_SENSE})
"""A unit attention condition does not end these (SAM-5 5.14)."""

_EVERY_OPCODE = frozenset(range(256))

Test = Callable[[Command], bool]


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
        self._opcodes = _opcodes(rule)

    def concerns(self, device: LogicalUnit) -> bool:
        """Return whether the rule may be about a command of a device."""
        return self.rule.device.covers(device) or self._hides_lun_of(device)

    def test_for(self, device: LogicalUnit, opcode: int) -> Test | None:
        """Return what tells whether the rule means a command of a device with an operation code.

        None if it means none of them.
        """
        if not self.rule.device.covers(device):
            if opcode != Opcode.REPORT_LUNS or not self._hides_lun_of(device):
                return None
            return _every_one
        return _all_of(_tests(self.rule, opcode)) if opcode in self._opcodes else None

    def means(self, command: Command) -> bool:
        """Return whether the rule is about a command."""
        test = self.test_for(command.device, command.cdb[0])
        return test is not None and test(command)

    def _hides_lun_of(self, device: LogicalUnit) -> bool:
        """Return whether any REPORT LUNS to the target of a device must leave out the rule's unit."""
        return self.rule.state == "lun-gone" and device.address[:3] == self.rule.device[:3]

    def hits(self, command: Command, now_s: float) -> bool:
        """Return whether the rule is to act on a command that it means, and count it."""
        if not self._begin_s <= now_s < self._end_s:
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


def _opcodes(rule: FaultRule) -> frozenset[int]:
    """Return the operation codes of commands that a rule may hit."""
    if rule.qualifier is not None or rule.identity:
        return frozenset({Opcode.INQUIRY})
    opcodes = frozenset(opcode for opcode, _ in rule.opcode) or _EVERY_OPCODE
    if rule.unit_attention is not None:
        opcodes -= _ALWAYS_ANSWERED
    return opcodes & WITH_BLOCKS if rule.lba is not None else opcodes


def _tests(rule: FaultRule, opcode: int) -> Iterator[Test]:
    """Yield what a command with an operation code must fulfil, the quickest to answer first."""
    if rule.lba is not None:
        yield touches(opcode, *rule.lba)
    if rule.direction:
        yield lambda command: _direction(command) == rule.direction
    actions = {action for code, action in rule.opcode if code == opcode}
    if actions and None not in actions:
        yield lambda command: service_action_of(command.cdb) in actions
    if rule.service_action:
        yield lambda command: service_action_of(command.cdb) in rule.service_action
    if rule.initiator:
        yield lambda command: fnmatchcase(command.nexus.initiator_port, rule.initiator)


def _every_one(command: Command) -> bool:
    return True


def _all_of(found: Iterator[Test]) -> Test:
    tests = tuple(found)
    if len(tests) < 2:
        return tests[0] if tests else _every_one

    def test(command: Command) -> bool:
        for one in tests:  # noqa: SIM110 - a generator costs more than the tests
            if not one(command):
                return False
        return True

    return test


def _direction(command: Command) -> str:
    if command.data_in is not None:
        return "in"
    return "out" if command.data_out is not None else "none"
