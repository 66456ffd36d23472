"""A set of rule files, and applying it to events."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from midlayer.rules import directories as places
from midlayer.rules.assigning import ASSIGNERS
from midlayer.rules.directories import DIRECTORIES
from midlayer.rules.environment import Environment
from midlayer.rules.event import Escaping, Event
from midlayer.rules.keys import Kind
from midlayer.rules.matching import MATCHERS, Matcher, matches_text
from midlayer.rules.mistakes import Mistake
from midlayer.rules.outcome import Matched, Outcome
from midlayer.rules.parser import Rule, RuleFile, Token, parse
from midlayer.rules.view import DeviceView

TIMEOUT_S = 180.0
"""Seconds that a program of PROGRAM or IMPORT may take, as in udev."""

_MOST_PLANS = 512
_STATIC = frozenset({Kind.MATCH_ACTION, Kind.MATCH_SUBSYSTEM, Kind.MATCH_DRIVER, Kind.MATCH_CONST})
"""Matches whose answer is the same for all devices of a kind."""

_PlanKey = tuple[str, str, str, bool, bool, str, str]
_Match = tuple[Matcher, Token]
_Assign = tuple[Callable[[Event, Token], None], Token]


class _Step(NamedTuple):
    """A rule that may apply to a kind of device, without what is already known to match."""

    rule: Rule
    before: tuple[_Match, ...]
    parents: tuple[_Match, ...]
    after: tuple[_Match, ...]
    assigns: tuple[_Assign, ...]


class _FilePlan(NamedTuple):
    """The rules of one file that may apply to a kind of device; `indexes` are their places in the file."""

    indexes: list[int]
    steps: list[_Step]


class RuleSet:
    """Rules in the order of their files. Safe for any number of threads.

    Args:
        files: The files, in order.

    Attributes:
        files: The same.
    """

    def __init__(self, files: Iterable[RuleFile]) -> None:
        self.files = tuple(files)
        self._plans: dict[_PlanKey, list[_FilePlan]] = {}
        self._lock = threading.Lock()
        self._source: tuple[tuple[str | os.PathLike[str], ...], places.Stamp] | None = None

    @classmethod
    def load(cls, directories: Iterable[str | os.PathLike[str]] = DIRECTORIES) -> RuleSet:
        """Read rule files.

        Args:
            directories: Where they are, the one that decides first; a file may stand for a directory.

        Raises:
            NodeError: If something is there and can not be read. What is wrong in a file is in `mistakes`.
        """
        chosen = tuple(directories)
        stamp = places.stamp(chosen)  # before reading: what is written meanwhile is read again
        rules = cls(parse(places.read(path), str(path)) for path in places.files(chosen))
        rules._source = (chosen, stamp)
        return rules

    def refreshed(self) -> RuleSet:
        """Return these rules if no file has changed since they were loaded; else the files' rules now.

        Raises:
            NodeError: If something can not be read; these rules go on to hold then.
        """
        if self._source is None or places.stamp(self._source[0]) == self._source[1]:
            return self
        return RuleSet.load(self._source[0])

    @classmethod
    def of_texts(cls, texts: Mapping[str, str | bytes]) -> RuleSet:
        """Make a set of texts by file name, in the order of the names."""
        return cls(parse(text, name) for name, text in sorted(texts.items()))

    @property
    def mistakes(self) -> list[Mistake]:
        """What is wrong in the files."""
        return [mistake for file in self.files for mistake in file.mistakes]

    def __len__(self) -> int:
        return sum(len(file.rules) for file in self.files)

    def apply(
        self,
        view: DeviceView,
        action: str = "add",
        environment: Environment | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Outcome:
        """Say what the rules make of an event. What RUN and ATTR name is not done.

        Args:
            view: The device.
            action: ``add``, ``change``, ``remove``, ``bind`` …
            environment: What PROGRAM, IMPORT and TEST see; by default an empty world.
            timeout_s: For each PROGRAM and IMPORT.
        """
        event = Event(
            view, action, Environment() if environment is None else environment, timeout_s=timeout_s
        )
        for plan in self._plan(event):
            _apply_file(event, plan)
        return event.outcome()

    def _plan(self, event: Event) -> list[_FilePlan]:
        view, environment = event.view, event.environment
        has_node = view.devnum is not None and event.action != "remove"
        is_interface = "IFINDEX" in event.properties and event.action != "remove"
        world = (environment.arch, environment.virt)
        key = (event.action, view.subsystem, view.driver, has_node, is_interface, *world)
        plan = self._plans.get(key)
        if plan is None:
            plan = [
                made for file in self.files if (made := _plan_of(file, event, has_node, is_interface)).steps
            ]
            with self._lock:
                if len(self._plans) >= _MOST_PLANS:
                    self._plans.clear()
                self._plans[key] = plan
        return plan


def _plan_of(file: RuleFile, event: Event, has_node: bool, is_interface: bool) -> _FilePlan:
    indexes, steps = [], []
    for index, rule in enumerate(file.rules):
        wanted = rule.for_all or (rule.for_nodes and has_node) or (rule.for_interfaces and is_interface)
        if not wanted or not all(
            MATCHERS[token.kind](event, event.view, token) for token in rule.tokens if token.kind in _STATIC
        ):
            continue
        indexes.append(index)
        steps.append(_step(rule))
    return _FilePlan(indexes, steps)


def _step(rule: Rule) -> _Step:
    matches = [token for token in rule.tokens if token.kind.is_match and token.kind not in _STATIC]
    own = [token for token in matches if token.kind < Kind.PARENTS_KERNEL]
    parents = [token for token in matches if token.kind.is_parents]
    rest = [token for token in matches if token.kind > Kind.PARENTS_TAG]
    before, between, after = (
        tuple((MATCHERS[token.kind], token) for token in tokens) for tokens in (own, parents, rest)
    )
    assigns = tuple((ASSIGNERS[token.kind], token) for token in rule.tokens if not token.kind.is_match)
    return _Step(rule, before, between, after, assigns)


def _apply_file(event: Event, plan: _FilePlan) -> None:
    steps, at = plan.steps, 0
    while at < len(steps):
        step = steps[at]
        at += 1
        if _applies(event, step):
            _carry_out(event, step)
            if step.rule.target is not None:
                at = bisect_left(plan.indexes, step.rule.target, at)
        elif event.effects:  # an IMPORT that was done before a match failed
            _note_match(event, step.rule)


def _applies(event: Event, step: _Step) -> bool:
    view = event.view
    for matcher, token in step.before:
        if not matcher(event, view, token):
            return False
    if step.parents and not _find_parent(event, step.parents):
        return False
    if step.after:
        event.rule = step.rule
        for matcher, token in step.after:
            if not matcher(event, view, token):
                return False
    return True


def _find_parent(event: Event, tokens: tuple[_Match, ...]) -> bool:
    """Find the nearest device, the event's own included, that matches all of them."""
    step: DeviceView | None = event.view
    while step is not None:
        event.parent = step
        if all(matcher(event, step, token) for matcher, token in tokens):
            return True
        step = step.parent
    event.parent = None
    return False


def _carry_out(event: Event, step: _Step) -> None:
    event.rule = step.rule
    event.escaping = Escaping.UNSET
    for assigner, token in step.assigns:
        assigner(event, token)
    if event.effects or step.rule.goto:
        if step.rule.goto:
            event.effect(f"GOTO {step.rule.goto}")
        _note_match(event, step.rule)


def _note_match(event: Event, rule: Rule) -> None:
    event.matched.append(Matched(rule.file, rule.line, tuple(event.effects)))
    event.effects.clear()


__all__ = ["DIRECTORIES", "TIMEOUT_S", "RuleSet", "matches_text"]
