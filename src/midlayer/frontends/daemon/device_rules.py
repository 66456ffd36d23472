"""udev rules at work: for each event of a device they are applied, and what their RUN names is done.

Rules are applied in a thread of their own, because they may ask programs; what they name runs as agents run,
one after the other for each device, and at least once::

    event log ──> plan ──> rules are applied ──> RUN: programs, and actions of the daemon
                                   │
                                   └──> links and properties, kept with the device

A device is also judged before any upper-level driver sees it: a rule's ``quarantine`` keeps it back then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midlayer.address import Address
from midlayer.errors import ConfigError, NoSuchDevice, SubsystemError
from midlayer.frontends.agents import AgentRunner
from midlayer.frontends.agents.environment import Step, environment, steps_of
from midlayer.frontends.agents.job import Job
from midlayer.frontends.config import Config
from midlayer.frontends.daemon.rule_effects import NodeRights, carry_out_writes, rights_of
from midlayer.frontends.daemon.rule_views import (
    environment_of,
    frozen,
    known_links,
    views_of,
    views_of_facts,
)
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import DeviceView, Outcome, PlainView, RuleSet, Run, Severity
from midlayer.rules.builtins import BUILTINS
from midlayer.rules.environment import program_path
from midlayer.rules.text import encode
from midlayer.upper.policy.rule import QuarantineRule
from midlayer.upper.scsimon import Event, Kind, ScsimonDriver

_log = logging.getLogger("midlayer.rules")

APPLY = "apply rules"
"""The action in which rules are applied."""

OF_THE_DEVICE = frozenset({"scsi_remove_device", "quarantine", "offline"})
"""Actions that mean the event's own device unless they name another; there is nothing to do if it is gone."""


def read_rules(config: Config) -> RuleSet:
    """Read the rule files of a configuration.

    Raises:
        ConfigError: With file and line of the first mistake.
        NodeError: If something can not be read.
    """
    directories = config.rules.directories
    for directory in directories:
        if not directory.exists():
            _log.warning("%s: there is no such directory; rules will be read once it is there", directory)
    rules = RuleSet.load(directories)
    wrong = [mistake for mistake in rules.mistakes if mistake.severity is Severity.ERROR]
    for mistake in rules.mistakes:
        if mistake.severity is not Severity.ERROR:
            _log.warning("%s", mistake)
    if wrong:
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more: midlayer rules check)" if len(wrong) > 1 else ""
        raise ConfigError(f"{first.message}; {first.mend}{more}", file=first.file, line=first.line)
    return rules


@dataclass(frozen=True, slots=True)
class _Known:
    """What rules made of a device: by the event that attached it, its views, properties, links and nodes."""

    attach_count: int
    views: tuple[PlainView, ...]
    properties: Mapping[str, Mapping[str, str]]
    links: tuple[str, ...]
    priority: int
    rights: tuple[NodeRights, ...]


class DeviceRules:
    """The rules of a daemon, and what they made of its devices.

    Args:
        subsystem: Whose devices.
        scsimon: Their events.
        runner: Who runs what rules name.
        rules: What to begin with.
        timeout_s: Seconds that a program has.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        scsimon: ScsimonDriver,
        runner: AgentRunner,
        rules: RuleSet,
        timeout_s: float,
    ) -> None:
        self.rules = rules
        self.timeout_s = timeout_s
        self._on_rights: Callable[[NodeRights], None] = lambda rights: None
        self._subsystem = subsystem
        self._scsimon = scsimon
        self._runner = runner
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, str], tuple[Event, Step]] = {}
        self._known: dict[str, _Known] = {}
        self._names: dict[Address, dict[str, str]] = {}  # of devices that were attached, then kept back
        self._plans = False
        runner.add_action(APPLY, self._apply)
        self._begin()

    def reload(self, config: Config) -> None:
        """Put the rule files of a configuration in force.

        Raises:
            ConfigError: With file and line of a mistake; the old rules stay in force then.
        """
        self.rules = read_rules(config)
        self.timeout_s = config.rules.timeout_s
        self._begin()

    def _begin(self) -> None:
        if len(self.rules) and not self._plans:
            self._plans = True
            self._runner.add_planner(self.plan)

    def watch_rights(self, listener: Callable[[NodeRights], None]) -> None:
        """Have whoever makes nodes hear what OWNER, GROUP and MODE say of each, now and later."""
        self._on_rights = listener
        with self._lock:
            known = [rights for one in self._known.values() for rights in one.rights]
        for rights in known:
            listener(rights)

    # From events to jobs

    def plan(self, event: Event) -> Iterator[Job]:
        """Yield the jobs that apply rules to an event."""
        if not len(self.rules):
            return
        for step in self._steps(event):
            key = (str(event.event_count), str(step.number))
            with self._lock:
                self._pending[key] = (event, step)
            yield Job(
                name=APPLY,
                key=event.address,
                action=APPLY,
                arguments=key,
                event_count=event.event_count,
                step=step.number,
                recorded=False,
            )

    def _steps(self, event: Event) -> Iterator[Step]:
        yield from steps_of(event)
        if event.kind is Kind.CHANGE:
            record = self._record(event.address)
            if record is not None and record[0] <= event.event_count:
                yield Step(0, "change", record[1], record[0])

    def _record(self, address: str) -> tuple[int, dict[str, Any]] | None:
        attached = self._scsimon.snapshot().attached
        found = next((one for one in attached if one.address == address), None)
        return None if found is None else (found.attach_count, found.facts)

    def _apply(self, arguments: tuple[str, ...]) -> list[Job]:
        """Apply rules to an event, and return what is to be run for it."""
        with self._lock:
            event, step = self._pending.pop((arguments[0], arguments[1]))
        outcomes = self._outcomes(event, step)
        names: dict[str, int] = {}
        return [
            job
            for outcome in outcomes
            for run in outcome.run
            if (job := self._job(event, step, outcome, run, names)) is not None
        ]

    def _outcomes(self, event: Event, step: Step) -> list[Outcome]:
        address = Address.parse(event.address)
        counts = {"attach_count": step.attached, "event_count": event.event_count}
        device = self._device(address, step.attached)
        views: list[DeviceView]
        if step.action != "remove" and device is not None:
            views = views_of(device, counts)
        else:
            with self._lock:
                known = self._known.get(event.address)
                if known is not None and known.attach_count == step.attached:
                    views = list(known.views)
                    if event.kind in (Kind.DETACH, Kind.REPLACED):
                        del self._known[event.address]
                else:
                    views = list(views_of_facts(address, step.facts, counts))
        if step.action == "remove":
            views.reverse()
        outcomes = self._applied(views, step.action)
        if step.action != "remove" and self._device(address, step.attached) is not None:
            self._keep(event.address, step.attached, views, outcomes)
            for outcome in outcomes:
                carry_out_writes(self._subsystem, outcome)
            for rights in rights_of(views, outcomes):
                self._on_rights(rights)
        return outcomes

    def _applied(self, views: Iterable[DeviceView], action: str, *, programs: bool = True) -> list[Outcome]:
        rules, clock = self.rules, self._subsystem.clock
        return [
            rules.apply(
                view,
                action,
                environment_of(view, programs=programs, clock=clock),
                timeout_s=self.timeout_s,
            )
            for view in views
        ]

    def _device(self, address: Address, attach_count: int) -> LogicalUnit | None:
        """Return the device that an event attached, if it is still there."""
        if self._scsimon.attach_count(address) != attach_count:
            return None
        try:
            return self._subsystem.device(address)
        except SubsystemError:
            return None

    def _job(self, event: Event, step: Step, outcome: Outcome, run: Run, names: dict[str, int]) -> Job | None:
        name = f"{Path(run.file).name}:{run.line} {Path(run.words[0]).name if run.words else ''}"
        name = f"{name} {outcome.devpath.rpartition('/')[2]}"
        names[name] = number = names.get(name, 0) + 1
        shown = name if number == 1 else f"{name} #{number}"  # a run is known by its name after a restart
        if run.kind == "program":
            return Job(
                name=shown,
                key=event.address,
                argv=tuple(_argv(run.words)),
                environment=self._variables(event, step, outcome),
                timeout_s=self.timeout_s,
                event_count=event.event_count,
                step=step.number,
            )
        word, *rest = run.words
        if not BUILTINS[word].ours:
            return None  # udev's own are for udev
        if step.action == "remove" and word in OF_THE_DEVICE and (word == "quarantine" or not rest):
            return None
        where = f"{run.file}:{run.line}"
        return Job(
            name=shown,
            key=event.address,
            action=word,
            arguments=(event.address, str(step.attached), where, *rest),
            event_count=event.event_count,
            step=step.number,
        )

    def _variables(self, event: Event, step: Step, outcome: Outcome) -> dict[bytes, bytes]:
        properties = {**outcome.properties, "SEQNUM": str(event.event_count)}
        found = environment(event, step, self._runner.variables)
        for key, value in properties.items():
            if key and not set("=\0").intersection(key) and "\0" not in value:
                found[encode(key)] = encode(value)
        return found

    # What is kept with a device

    def learn(self) -> None:
        """Find out links and properties of the devices that an earlier daemon attached; nothing is run."""
        if not len(self.rules):
            return
        for device in self._subsystem.devices():
            address, count = str(device.address), self._scsimon.attach_count(device.address)
            if not device.admitted or not count or address in self._known:
                continue
            views = views_of(device, {"attach_count": count, "event_count": count})
            self._keep(address, count, views, self._applied(views, "add"))

    def _keep(
        self, address: str, attach_count: int, views: list[DeviceView], outcomes: list[Outcome]
    ) -> None:
        found = dict(zip((view.devpath for view in views), outcomes, strict=True))
        known = _Known(
            attach_count,
            tuple(frozen(view, found[view.devpath].properties) for view in views),
            {path: outcome.properties for path, outcome in found.items()},
            known_links([outcome.links for outcome in outcomes]),
            max((outcome.link_priority for outcome in outcomes if outcome.links), default=0),
            rights_of(views, outcomes),
        )
        with self._lock:
            self._known[address] = known

    def links(self, address: str, attach_count: int) -> tuple[str, ...]:
        """Return the names below ``/dev`` that rules gave a device."""
        with self._lock:
            known = self._known.get(address)
        return known.links if known is not None and known.attach_count == attach_count else ()

    def properties(self, address: str, devpath: str) -> Mapping[str, str]:
        """Return the properties that rules gave a device or a node of it, as udev's database has them."""
        with self._lock:
            known = self._known.get(address)
        return {} if known is None else known.properties.get(devpath, {})

    def given(self, address: str) -> dict[str, str]:
        """Return the properties that rules gave a device and its nodes, those of the nodes last."""
        with self._lock:
            known = self._known.get(address)
        return {} if known is None else {k: v for one in known.properties.values() for k, v in one.items()}

    def tags(self, address: str) -> frozenset[str]:
        """Return the tags that rules gave a device and its nodes."""
        with self._lock:
            known = self._known.get(address)
        if known is None:
            return frozenset()
        given = (one.get("CURRENT_TAGS", "") for one in known.properties.values())
        return frozenset(tag for text in given for tag in text.split(":") if tag)

    def find(self, link: str) -> Address | None:
        """Return whose name a link is: of two devices the one of higher priority, then the older one."""
        name = link.removeprefix("/dev/")
        with self._lock:
            found = [
                (-known.priority, known.attach_count, address)
                for address, known in self._known.items()
                if name in known.links
            ]
        for _, count, text in sorted(found):
            address = Address.parse(text)
            if self._scsimon.attach_count(address) == count:
                return address
        return None

    # Quarantine

    def judge(self, device: LogicalUnit, at_once: bool) -> QuarantineRule | None:
        """Return the rule that keeps a device back; see `Quarantine`.

        Before a device is attached it has no nodes, and there is no time for programs: a rule that needs
        them keeps it back once it is attached.
        """
        if not len(self.rules):
            return None
        try:
            return self._judged(device, at_once)
        except Exception:  # a scan must go on
            _log.exception("%s: rules could not be applied before it is attached", device.address)
            return None

    def _judged(self, device: LogicalUnit, at_once: bool) -> QuarantineRule | None:
        names = dict(device.names) or self._names.get(device.address, {})
        counts = {"attach_count": 0, "event_count": self._scsimon.event_count}
        views = views_of(device, counts, names)
        for outcome in self._applied(views, "add", programs=not at_once):
            for run in outcome.run:
                if run.kind == "builtin" and run.words[:1] == ("quarantine",):
                    return quarantine_rule(f"{run.file}:{run.line}", run.words[1:])
        return None

    def remember_names(self, device: LogicalUnit) -> None:
        """Keep the names of a device's nodes, by which rules know it also while it is kept back."""
        self._names[device.address] = dict(device.names)

    def device_of(self, address: str, attach_count: str) -> LogicalUnit:
        """Return the device of an event.

        Raises:
            NoSuchDevice: If it is gone, or another one is there.
        """
        device = self._device(Address.parse(address), int(attach_count))
        if device is None:
            raise NoSuchDevice(f"{address}: not the device any more that event {attach_count} attached")
        return device


def quarantine_rule(where: str, reason: Iterable[str]) -> QuarantineRule:
    """Return what a device is kept back by: a rule file's line, with its words."""
    words = " ".join(reason)
    return QuarantineRule(source=f"{where}: {words}" if words else where)


def _argv(words: tuple[str, ...]) -> Iterator[str]:
    """Yield program and arguments; a program without a path is one of udev's directory."""
    yield program_path(words[0]) if words else ""
    yield from words[1:]
