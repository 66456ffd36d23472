from __future__ import annotations

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.sg import SgDriver


@pytest.fixture
def subsystem() -> Subsystem:
    """Two hosts, 0 and 2, with two devices each, sg0 to sg3."""
    subsystem = Subsystem(clock=FakeClock())
    subsystem.register_upper(SgDriver())
    driver = VirtualDriver(subsystem)
    units = (UnitSpec(count=2, vendor="Acme", product="Tape 9", revision="1"),)
    for number in (0, 2):
        driver.add_host(HostSpec(name=f"HBA\n{number}", host_no=number, cmd_per_lun=3, units=units))
    return subsystem
