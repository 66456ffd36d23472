from __future__ import annotations

import pytest
from recovery_rig import Rig

from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock, ScriptedDriver


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def subsystem(clock: FakeClock) -> Subsystem:
    return Subsystem(clock=clock)


@pytest.fixture
def driver() -> ScriptedDriver:
    return ScriptedDriver()


@pytest.fixture
def rig() -> Rig:
    return Rig()
