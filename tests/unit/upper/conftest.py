"""Runs of scsimon on one state directory, so that a test can restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midlayer.testing import FakeClock

from .running import Run, Start


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(tmp_path: Path, clock: FakeClock) -> Iterator[Start]:
    """Start a run on the test's state directory; what still runs at the end of the test is stopped."""
    runs: list[Run] = []

    def start_run(state: Path | None = tmp_path / "state", **options: int) -> Run:
        runs.append(Run(state, clock, **options))
        return runs[-1]

    yield start_run
    for run in runs:
        run.stop()


@pytest.fixture
def run(start: Start) -> Run:
    """A first run."""
    return start()
