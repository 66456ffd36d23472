"""The filter that holds all fault rules of a subsystem."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from midlayer.lower.filters.fault.actions import action_of
from midlayer.lower.filters.fault.fault import Fault, FaultState, Test
from midlayer.lower.filters.fault.rule import FAIL, FaultRule
from midlayer.lower.filters.filter import FAILED, Done, EhHandler, Filter, QueueCommand
from midlayer.lower.filters.stack import Filters, filters_of
from midlayer.lower.filters.values import RuleError
from midlayer.standards.opcodes import describe_cdb

if TYPE_CHECKING:
    from midlayer.address import Address
    from midlayer.mid.command import Command
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.subsystem import Subsystem

KEPT_INJECTIONS = 1000

_LEVELS = {f"eh_{level}_handler": level for level in FAIL}


class Injection(NamedTuple):
    """One command that a rule hit.

    Attributes:
        at_s: When, by the subsystem's monotonic clock.
        fault: Name of the rule.
        address: Of the logical unit.
        command: What was sent, in words; for an error handler's callback, its name as well.
    """

    at_s: float
    fault: str
    address: Address
    command: str


class FaultFilter(Filter):
    """All fault rules of a subsystem; see `faults_of`.

    A command goes to the rules in the order in which they were added, until one hits it; those after it
    do not see the command. Devices that no rule is about do not meet the filter.
    """

    def __init__(self, filters: Filters) -> None:
        super().__init__()
        self._filters = filters
        self.clock = filters.clock
        self._lock = filters.lock  # one for both, because each calls the other
        self._faults: dict[str, Fault] = {}
        self._number = 0
        self._to_commands: tuple[Fault, ...] = ()
        self._eh: dict[str, tuple[Fault, ...]] = {}
        self._injected: deque[Injection] = deque(maxlen=KEPT_INJECTIONS)

    def add(self, rule: FaultRule) -> FaultRule:
        """Put a rule in force, after those that are there.

        Returns:
            The rule with its name, which is made up if it had none.

        Raises:
            RuleError: If a rule of this name is in force.
        """
        with self._lock:
            if not rule.name:
                rule = replace(rule, name=self._free_name())
            if rule.name in self._faults:
                raise RuleError(
                    "name", f"{rule.name!r} is in force already; clear it first, or choose another"
                )
            fault = self._faults[rule.name] = Fault(rule, self.clock.monotonic())
            self._index()
            if len(self._faults) == 1:
                self._filters.add(self)
            else:
                self._filters.changed_rules(self, fault.concerns)
        return rule

    def clear(self, names: Iterable[str] | None = None) -> list[FaultState]:
        """Take rules out of force, all of them by default; what they lost or delayed stays so.

        Returns:
            How they were at the end.

        Raises:
            RuleError: If there is no rule of a name; nothing is cleared then.
        """
        with self._lock:
            chosen = list(self._faults) if names is None else list(dict.fromkeys(names))
            for name in chosen:
                if name not in self._faults:
                    raise self._unknown(name)
            now_s = self._now_s()
            faults = [self._faults.pop(name) for name in chosen]
            self._index()
            if not self._faults:
                self._filters.remove(self)
            else:
                self._filters.changed_rules(self, lambda device: any(one.concerns(device) for one in faults))
        return [fault.state(now_s) for fault in faults]

    def states(self) -> list[FaultState]:
        """Return the rules in force, with their counts, in the order in which a command meets them."""
        now_s = self.clock.monotonic()
        with self._lock:
            return [fault.state(now_s) for fault in self._faults.values()]

    def state(self, name: str) -> FaultState:
        """Return one rule in force.

        Raises:
            RuleError: If there is none of this name.
        """
        for state in self.states():
            if state.rule.name == name:
                return state
        raise self._unknown(name)

    def injections(self) -> list[Injection]:
        """Return the latest injections, oldest first; those of rules that were cleared are among them."""
        return list(self._injected)

    # What `Filters` calls; see `Filter`.

    def meets(self, device: LogicalUnit) -> bool:
        return any(fault.concerns(device) for fault in self._to_commands)

    def stand_in(self, device: LogicalUnit, opcode: int, behind: QueueCommand) -> QueueCommand:
        found = ((fault, fault.test_for(device, opcode)) for fault in self._to_commands)
        stand_in = behind
        for fault, test in reversed([(fault, test) for fault, test in found if test is not None]):
            stand_in = self._one(fault, test, behind, stand_in)
        return stand_in

    def _one(self, fault: Fault, test: Test, behind: QueueCommand, otherwise: QueueCommand) -> QueueCommand:
        """Return what does as one rule says, and leaves what it does not hit to `otherwise`."""

        def queuecommand(command: Command, done: Done) -> int:
            if test(command) and fault.hits(command, self._now_s()):
                return self._act(fault, command, done, behind)
            return otherwise(command, done)

        return queuecommand

    def eh_handler(self, name: str, command: Command, behind: EhHandler) -> int:
        now_s = self.clock.monotonic()
        for fault in self._eh.get(name, ()):
            if fault.means(command) and fault.hits(command, now_s):
                text = f"{name} for {describe_cdb(command.cdb)}"
                self._note(now_s, fault, command, text)
                if fault.rule.execute:
                    behind(command)
                return FAILED
        return behind(command)

    def _now_s(self) -> float:
        return self.clock.monotonic()

    def _act(self, fault: Fault, command: Command, done: Done, behind: QueueCommand) -> int:
        self._note(self._now_s(), fault, command, describe_cdb(command.cdb))
        return action_of(fault)(fault, command, done, behind, self.holding)

    def _note(self, now_s: float, fault: Fault, command: Command, text: str) -> None:
        self._injected.append(Injection(now_s, fault.rule.name, command.device.address, text))

    def _index(self) -> None:
        self._to_commands = tuple(fault for fault in self._faults.values() if not fault.rule.fail)
        self._eh = {
            handler: tuple(fault for fault in self._faults.values() if level in fault.rule.fail)
            for handler, level in _LEVELS.items()
        }

    def _unknown(self, name: str) -> RuleError:
        known = ", ".join(self._faults) or "none"
        return RuleError(name, f"no fault of this name is in force; there are: {known}")

    def _free_name(self) -> str:
        while True:
            self._number += 1
            name = f"fault{self._number}"
            if name not in self._faults:
                return name


def faults_of(subsystem: Subsystem) -> FaultFilter:
    """Return the fault rules of a subsystem, always the same object."""
    return filters_of(subsystem).only(FaultFilter)
