"""Daemons for the front ends: in this process, and as programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .program import Up
from .serving import Serving


@pytest.fixture(autouse=True)
def not_the_users_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from a daemon that runs on this machine."""
    monkeypatch.setenv("MIDLAYER_SOCKET", "/nowhere/midlayer.sock")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A daemon with one virtual host of two units: events 1 to 3."""
    running = Serving(tmp_path)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The same for all tests of a module; they leave it as it is."""
    running = Serving(tmp_path_factory.mktemp("shared"))
    running.http.get("status")  # the connection is there before a test counts descriptors
    yield running
    running.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One ``midlayer up`` for all tests of a module."""
    running = Up(tmp_path_factory.mktemp("up")).ready()
    yield running
    running.stop()


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start ``midlayer up`` in the test's directory; what still runs at the end is stopped."""
    started: list[Up] = []

    def start(*more: str | Path, directory: Path = tmp_path, **options: str) -> Up:
        started.append(Up(directory, *more, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()
