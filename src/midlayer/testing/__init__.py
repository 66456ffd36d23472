"""Public helpers for tests of lower-level drivers, upper-level drivers and whatever stands on a subsystem.

`FakeClock` is time that moves only when told to. `ScriptedDriver` is a host whose devices answer what a
test wrote down, when the test says so.
"""

from midlayer.testing.clock import FakeClock
from midlayer.testing.scripted import Answer, Pending, ScriptedDriver, ScriptedUnit, inquiry_data

__all__ = ["Answer", "FakeClock", "Pending", "ScriptedDriver", "ScriptedUnit", "inquiry_data"]
