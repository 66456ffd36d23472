"""What holds for every test: nothing is left behind, and chance can be repeated."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

_GONE_S = 20.0
"""What is left stays. A server in this process that learns of a client's end only now is given this time."""

_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)

settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "explore", database=None, deadline=None, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--explore", action="store_true", help="let Hypothesis try something new each time")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads the seed
def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what is to run in the background with SIGINT ignored, and children inherit that:
    # programs that a test ends with Ctrl-C would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    explore = config.getoption("--explore") and os.environ.get("CI") != "true"
    settings.load_profile("explore" if explore else "repeatable")
    if explore and config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = random.SystemRandom().randrange(1 << 32)


def pytest_report_header(config: pytest.Config) -> str:
    profile = settings.get_current_profile_name()
    seed = config.getoption("--hypothesis-seed", None)
    return f"hypothesis: {profile}" + (f", repeat with --explore --hypothesis-seed={seed}" if seed else "")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Return the path of a program; without it the test fails in CI and is skipped elsewhere."""

    def require(name: str) -> str:
        found = shutil.which(name)
        if found is not None:
            return found
        advice = f"{name} is not installed: apt-get install sg3-utils lsscsi sdparm libiscsi-bin tgt"
        if os.environ.get("CI") == "true":
            pytest.fail(advice)
        pytest.skip(advice)

    return require


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("midlayer")}


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the descriptor that listed the directory
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads of midlayer, or file descriptors."""
    threads, descriptors = _threads(), _descriptors()

    def left() -> tuple[list[str], dict[str, str]]:
        return (
            [thread.name for thread in _threads() - threads],
            {number: what for number, what in _descriptors().items() if number not in descriptors},
        )

    yield
    end_s = time.monotonic() + _GONE_S
    while any(left()) and time.monotonic() < end_s:
        gc.collect()  # an error that was caught may keep its frame, and all in it, in a cycle
        time.sleep(0.005)
    names, open_still = left()
    assert not open_still, f"file descriptors left open: {open_still}"
    assert not names, f"threads left running: {names}"
