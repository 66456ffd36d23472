"""Playing a scenario, and the report of what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from midlayer.errors import MidlayerError
from midlayer.frontends.scenario.reader import Scenario, Step
from midlayer.frontends.scenario.stage import Stage
from midlayer.mid.clock import Clock

_TICK_S = 0.1


@dataclass(slots=True)
class Report:
    """What a scenario did.

    Attributes:
        title: Of the scenario.
        steps: When each step was done, in seconds from the begin, and its line; what went wrong, if it did.
        faults: The faults, as they were when they ended.
        injections: When, in seconds from the begin, which fault hit which command of which device.
        complete: False if it was ended before its time.
    """

    title: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    injections: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False

    @property
    def failures(self) -> int:
        """How many steps went wrong."""
        return sum(bool(step["error"]) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the shape that ``--json`` prints."""
        return {
            "title": self.title,
            "complete": self.complete,
            "failures": self.failures,
            "steps": self.steps,
            "faults": self.faults,
            "injections": self.injections,
        }


class ScenarioPlayer:
    """Plays one scenario, once.

    Args:
        scenario: What to play.
        stage: Where.
        clock: Time; only its two clocks are read.
        sleep: Waits for so many seconds.

    Attributes:
        on_step: Called after each step, with its entry in the report.
        on_time: Called often, with the seconds that have passed.
        report: What was done so far.
    """

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        clock: Clock,
        sleep: Callable[[float], object],
    ) -> None:
        self._scenario = scenario
        self._stage = stage
        self._clock = clock
        self._sleep = sleep
        self.on_step: Callable[[dict[str, Any]], None] = lambda entry: None
        self.on_time: Callable[[float], None] = lambda seconds: None
        self._begin_s = self._begin_wall_s = 0.0
        self._in_force: list[str] = []
        self.report = Report(scenario.title)

    def play(self) -> Report:
        """Play it to its end. Its faults are cleared in any case, also if an exception ends it."""
        self._begin_s, self._begin_wall_s = self._clock.monotonic(), self._clock.wall()
        try:
            for step in self._scenario.steps:
                self._wait_until(step.at_s)
                self._do(step)
            self._wait_until(self._scenario.end_s)
            self.report.complete = True
        finally:
            for name in list(self._in_force):
                self._clear(name)
            self._take_injections()
        return self.report

    def _wait_until(self, at_s: float) -> None:
        while (left_s := self._begin_s + at_s - self._clock.monotonic()) > 0:
            self.on_time(at_s - left_s)
            self._sleep(min(left_s, _TICK_S))
        self.on_time(at_s)

    def _do(self, step: Step) -> None:
        entry = {"at_s": round(self._clock.monotonic() - self._begin_s, 3), "step": step.title(), "error": ""}
        try:
            for name in step.clear:
                self._clear(name)
            for action, device in step.actions:
                self._stage.act(action, device)
            for rule in step.faults:
                self._stage.add_fault(rule.to_mapping())
                self._in_force.append(rule.name)
        except MidlayerError as error:  # the rest of the scenario may still tell something
            entry["error"] = str(error)
        self.report.steps.append(entry)
        self.on_step(entry)

    def _clear(self, name: str) -> None:
        if name not in self._in_force:
            return  # its step went wrong
        self._in_force.remove(name)
        state = self._stage.clear_fault(name)
        if state is not None:
            self.report.faults.append(state)

    def _take_injections(self) -> None:
        names = {state["name"] for state in self.report.faults}
        for one in self._stage.injections():
            at_s = datetime.fromisoformat(one["time"]).astimezone(UTC).timestamp() - self._begin_wall_s
            if one["fault"] in names and at_s > -0.001:  # not of an earlier scenario with the same names
                entry = {"at_s": round(max(at_s, 0.0), 3)} | {
                    key: one[key] for key in ("fault", "address", "command")
                }
                self.report.injections.append(entry)
