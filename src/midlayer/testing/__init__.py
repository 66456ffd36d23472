"""Public helpers for tests of lower-level drivers, upper-level drivers and whatever stands on a subsystem.

`FakeClock` is time that moves only when told to. `ScriptedDriver` is a host whose devices answer what a
test wrote down, when the test says so. `check_lower_driver` is a suite for whoever writes a driver.
"""

from midlayer.testing.clock import FakeClock
from midlayer.testing.conformance import LOWER_DRIVER_CHECKS, check_lower_driver
from midlayer.testing.scripted import Answer, Pending, ScriptedDriver, ScriptedUnit, inquiry_data

__all__ = [
    "LOWER_DRIVER_CHECKS",
    "Answer",
    "FakeClock",
    "Pending",
    "ScriptedDriver",
    "ScriptedUnit",
    "check_lower_driver",
    "inquiry_data",
]
