"""Admission: asked once, before anybody sees the device; and what follows when the answer changes."""

from __future__ import annotations

import pytest

from midlayer.mid.admission import admit, rebind, withdraw
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.testing.scripted import inquiry_data


class Witness(UpperDriver):
    """Writes down what it hears; wants accessible devices alone, as drivers do."""

    def __init__(self, heard: list[str], name: str) -> None:
        self.heard, self.name = heard, name

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(f"{self.name} attach{' by resync' if by_resync else ''}")

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self.heard.append(f"{self.name} detach")

    def scan_begins(self, host: Host) -> None:
        self.heard.append(f"{self.name} (")

    def scan_ends(self, host: Host) -> None:
        self.heard.append(f"{self.name} )")


@pytest.fixture
def heard(subsystem: Subsystem) -> list[str]:
    events: list[str] = []
    for name in ("first", "second"):
        subsystem.register_upper(Witness(events, name))
    return events


def one_disk(subsystem: Subsystem, driver: ScriptedDriver) -> LogicalUnit:
    driver.unit(0, 0, 0)
    (device,) = driver.start(subsystem).devices()
    return device


def test_admission_is_asked_after_the_device_is_configured(
    subsystem: Subsystem, driver: ScriptedDriver, heard: list[str]
) -> None:
    asked = []

    def refuse(device: LogicalUnit) -> bool:
        asked.append((device.vendor, device.state.value, driver.calls[-1].split()[0]))
        return False

    subsystem.admission = refuse
    device = one_disk(subsystem, driver)
    assert asked == [("SCRIPTED", "running", "slave_configure")]
    assert not device.admitted
    assert [text for text in heard if "tach" in text] == []
    assert subsystem.device(device.address) is device, "it is there all the same"
    heard.clear()
    assert admit(device)
    assert heard == ["first (", "second (", "first attach", "second attach", "first )", "second )"]
    assert not admit(device), "once"


def test_withdraw_goes_the_other_way_round(
    subsystem: Subsystem, driver: ScriptedDriver, heard: list[str]
) -> None:
    device = one_disk(subsystem, driver)
    heard.clear()
    assert withdraw(device)
    assert [text for text in heard if "tach" in text] == ["second detach", "first detach"]
    assert device.upper == []
    assert not withdraw(device)
    heard.clear()
    subsystem.remove_device(device)
    assert heard == [], "nobody is told of the end of what nobody knows"
    assert not admit(device)


def test_rebind_asks_each_driver_anew(subsystem: Subsystem, driver: ScriptedDriver, heard: list[str]) -> None:
    device = one_disk(subsystem, driver)
    heard.clear()
    rebind(device)
    assert heard == []
    device.set_inquiry(inquiry_data(qualifier=1))
    rebind(device)
    assert heard == ["first detach", "second detach"]
    assert device.upper == []
    device.set_inquiry(inquiry_data())
    rebind(device)
    assert heard[2:] == ["first attach", "second attach"]
    withdraw(device)
    heard.clear()
    rebind(device)
    assert heard == [], "it is held back"
