"""``scenario``: play faults along a line of time, or only look for mistakes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.cli.faults import print_states
from midlayer.frontends.cli.output import Column, fitted, print_json, print_table
from midlayer.frontends.places import default_socket
from midlayer.frontends.scenario.player import Report, ScenarioPlayer
from midlayer.frontends.scenario.reader import Scenario, load
from midlayer.frontends.scenario.stage import ClientStage, DaemonStage, Stage
from midlayer.lower.filters.values import duration_text
from midlayer.mid.clock import SystemClock

_MOST_ROWS = 20
_STEP_FAILED = 15


def scenario(options: argparse.Namespace) -> int:
    """Play a scenario, or check it."""
    found = load(options.file)
    if options.action == "check":
        if options.config is not None:
            raise UsageError("scenario check: takes no --config; nothing is played")
        return _check(found, as_json=options.json)
    with _stage(options) as stage:
        player = ScenarioPlayer(found, stage, SystemClock(), time.sleep)
        try:
            with _shown(player, found, quiet=options.json):
                report = player.play()
        except KeyboardInterrupt:
            report = player.report
    print_json(report.to_json()) if options.json else _print(report)
    if not report.complete:
        return 130
    return _STEP_FAILED if report.failures else 0


def _check(found: Scenario, *, as_json: bool) -> int:
    faults = sum(len(step.faults) for step in found.steps)
    if as_json:
        print_json({"title": found.title, "steps": len(found.steps), "faults": faults, "end_s": found.end_s})
        return 0
    print(f"{found.title}: {len(found.steps)} steps, {faults} faults, {duration_text(found.end_s)}")
    for step in found.steps:
        print(fitted(f"{duration_text(step.at_s):>8}  {step.title()}"))
    return 0


@contextmanager
def _stage(options: argparse.Namespace) -> Iterator[Stage]:
    if options.config is None:
        with Client(options.socket or default_socket()) as client:
            yield ClientStage(client)
        return
    if options.socket is not None:
        raise UsageError("scenario run: --config plays without a daemon; leave out --socket, or --config")
    from midlayer.frontends.config import load as load_config
    from midlayer.frontends.daemon.core import Daemon

    daemon = Daemon(load_config(options.config), None)
    try:
        daemon.start()
        yield DaemonStage(daemon)
    finally:
        daemon.stop()


@contextmanager
def _shown(player: ScenarioPlayer, found: Scenario, *, quiet: bool) -> Iterator[None]:
    """Show each step as it is done, and on a terminal how far it is."""
    if quiet:
        yield
        return
    if not sys.stdout.isatty():
        player.on_step = lambda entry: print(_line(entry), flush=True)
        yield
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(found.title, total=max(found.end_s, 0.001))
        player.on_step = lambda entry: progress.console.print(_line(entry), markup=False, highlight=False)
        player.on_time = lambda seconds: progress.update(task, completed=seconds)
        yield


def _line(entry: dict[str, Any]) -> str:
    error = f": {entry['error']}" if entry["error"] else ""
    return f"{entry['at_s']:>8.3f}s  {entry['step']}{error}"


def _print(report: Report) -> None:
    """Print what the faults did."""
    print()
    if report.faults:
        print_states(report.faults)
    if report.injections:
        print()
        shown = report.injections[:_MOST_ROWS]
        columns = (Column("AT", 1), Column("FAULT", 2), Column("ADDRESS", 3), Column("COMMAND", 4))
        rows = [(f"{one['at_s']:.3f}s", one["fault"], one["address"], one["command"]) for one in shown]
        print_table(columns, rows)
        if len(report.injections) > len(shown):
            print(f"and {len(report.injections) - len(shown)} more; --json has them")
    hit = sum(state["injections"] for state in report.faults)
    end = "" if report.complete else ", ended before its time"
    wrong = f", {report.failures} went wrong" if report.failures else ""
    print(f"\n{report.title}: {len(report.steps)} steps{wrong}, {hit} commands hit{end}")
