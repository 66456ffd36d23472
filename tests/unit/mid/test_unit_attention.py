"""Unit attentions become `changed` events; residual and underflow."""

from __future__ import annotations

import pytest
from recovery_rig import READ, TUR, Rig

from midlayer.mid.command import Command, HostByte
from midlayer.mid.dispatch import run
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.testing import Answer, inquiry_data

REPORT_LUNS = 0xA0
GOOD_BUT_SHORT = Answer(data=b"abc")


class Changes(UpperDriver):
    """Notes what changed."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, dict[str, str]]] = []

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        self.heard.append((device.address.lun, changes))


@pytest.fixture
def changes(rig: Rig) -> Changes:
    listener = Changes()
    rig.subsystem.register_upper(listener)
    return listener


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ((0x3F, 0x03), "INQUIRY_DATA_HAS_CHANGED"),
        ((0x3F, 0x0E), "REPORTED_LUNS_DATA_HAS_CHANGED"),
        ((0x38, 0x07), "THIN_PROVISIONING_SOFT_THRESHOLD_REACHED"),
        ((0x29, 0x00), "POWER_ON_RESET_OCCURRED"),
        ((0x29, 0x04), "POWER_ON_RESET_OCCURRED"),
        ((0x2A, 0x01), "MODE_PARAMETERS_CHANGED"),
        ((0x2A, 0x06), "ASYMMETRIC_ACCESS_STATE_CHANGED"),
        ((0x2A, 0x09), "CAPACITY_DATA_HAS_CHANGED"),
    ],
)
def test_names_of_unit_attentions(rig: Rig, changes: Changes, code: tuple[int, int], name: str) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], Answer.check(6, *code))
    rig.send(device, TUR)
    assert changes.heard == [(0, {"SDEV_UA": name})]


@pytest.mark.parametrize(
    "answer", [Answer.check(6, 0x2A, 0x02), Answer.check(2, 0x29), Answer.check(6, 0x28)]
)
def test_what_is_no_news(rig: Rig, changes: Changes, answer: Answer) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], answer)
    rig.send(device, TUR)
    assert changes.heard == []


def test_a_changed_medium(rig: Rig, changes: Changes) -> None:
    inquiry = bytearray(inquiry_data(device_type=5))
    inquiry[1] = 0x80
    rig.driver.unit(0, 0, 0, bytes(inquiry)).on(TUR[0], Answer.check(6, 0x28))
    (device,) = rig.start()
    rig.send(device, TUR)
    assert changes.heard == [(0, {"SDEV_MEDIA_CHANGE": "1"})]
    assert device.medium_changed


def test_changed_luns_are_news_until_they_are_read() -> None:
    rig = Rig(luns=2)
    changes = Changes()
    rig.subsystem.register_upper(changes)
    one, other = rig.start()
    for lun in (0, 1):
        rig.driver.units[0, 0, lun].on(TUR[0], Answer.check(6, 0x3F, 0x0E))
    rig.send(one, TUR)
    rig.send(other, TUR)
    rig.send(one, TUR)
    assert changes.heard == [(0, {"SDEV_UA": "REPORTED_LUNS_DATA_HAS_CHANGED"})]
    rig.send(one, bytes((REPORT_LUNS, *bytes(11))))
    assert (one.target.expecting_lun_change, rig.idle()) == (False, True)
    rig.send(other, TUR)
    assert len(changes.heard) == 2
    rig.subsystem.remove_host(rig.host)


def test_a_target_that_goes_expects_nothing(rig: Rig) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(TUR[0], Answer.check(6, 0x3F, 0x0E))
    rig.send(device, TUR)
    assert rig.host.watched == 1
    rig.subsystem.remove_device(device)
    assert rig.idle()


@pytest.mark.parametrize(
    ("underflow", "host_byte"), [(0, 0), (3, 0), (4, HostByte.DID_ERROR), (512, HostByte.DID_ERROR)]
)
def test_underflow(rig: Rig, underflow: int, host_byte: int) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], GOOD_BUT_SHORT)
    command = Command(device, READ, None, memoryview(bytearray(512)))
    if underflow:
        command.underflow = underflow
    result = run(command)
    assert (result.host_byte, result.status, result.residual) == (host_byte, 0, 509)


def test_underflow_is_retried_as_any_error(rig: Rig) -> None:
    (device,) = rig.start()
    rig.driver.units[0, 0, 0].on(READ[0], GOOD_BUT_SHORT, Answer(data=bytes(512)))
    command = Command(device, READ, None, memoryview(bytearray(512)), allowed=1)
    command.underflow = 512
    assert run(command).ok
    assert rig.sent() == [READ[0], READ[0]]
