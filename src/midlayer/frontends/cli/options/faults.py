"""What the verbs take that have devices misbehave."""

from __future__ import annotations

from pathlib import Path

from midlayer.frontends.cli.options.declaring import Verbs


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    fault = verbs.add("fault", "faults", "fault", "have devices misbehave on command")
    fault.add_argument("action", choices=("add", "list", "clear", "injected"), help="what to do with faults")
    fault.add_argument("words", nargs="*", metavar="WORD", help="add KEY=VALUE …, or clear NAME …")
    between = verbs.add("filter", "filters", "filter", "have commands delayed, traced, recorded or replayed")
    between.add_argument("action", choices=("add", "list", "clear"), help="what to do with filters")
    between.add_argument("words", nargs="*", metavar="WORD", help="add KEY=VALUE …, or clear NAME …")
    scenario = verbs.add("scenario", "scenario", "scenario", "play faults along a line of time")
    scenario.add_argument("action", choices=("run", "check"), help="play it, or only look for mistakes")
    scenario.add_argument("file", type=Path, metavar="FILE", help="TOML, as docs/scenarios.md describes it")
    scenario.add_argument(
        "--config", type=Path, metavar="CONFIG", help="play it on a subsystem of its own, not in the daemon"
    )
