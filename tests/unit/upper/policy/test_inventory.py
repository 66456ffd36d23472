"""Unit attentions that say that something is not as it was scanned: what policy makes of them."""

from __future__ import annotations

import pytest

from midlayer.lower.filters import add_fault
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.scsimon import Kind
from midlayer.upper.sg import execute

from .conftest import Array


def change_luns(array: Array, *devices: LogicalUnit) -> None:
    """Have devices report it, each to the next command."""
    for device in devices:
        add_fault(device, unit_attention="3f/0e", times=1)
        execute(device, bytes(6))


def test_a_new_lun_is_attached(array: Array) -> None:
    device = array.plug(0)
    array.put_in(3)
    assert array.attached() == ["0:0:0:0"]
    change_luns(array, device)
    assert array.attached() == ["0:0:0:0", "0:0:0:3"]
    assert array.kinds()[-2:] == [Kind.ATTACH, Kind.CHANGE], "and that it was reported"


def test_a_lun_that_is_gone_stays_until_somebody_removes_it(array: Array) -> None:
    device = array.plug(0)
    array.plug(1)
    array.driver.disconnect(array.host, 0, 0, 1)
    change_luns(array, device)
    assert array.attached() == ["0:0:0:0", "0:0:0:1"]


def test_inquiry_data_is_read_again(array: Array) -> None:
    device = array.plug(0, revision="0001", serial="SAME")
    array.put_in(0, revision="0002", serial="SAME")
    add_fault(device, unit_attention="3f/03", times=1)
    execute(device, bytes(6))
    assert device.revision == "0002"
    changes = [event.data["changes"] for event in array.events() if event.kind is Kind.CHANGE]
    assert [change["revision"] for change in changes if "revision" in change] == ["0002"]


def test_one_scan_for_all_who_say_so(array: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [array.plug(lun) for lun in range(3)]
    scans = []

    def scan(*place: object) -> None:
        scans.append(place)
        for device in devices:  # and the scan is told as well
            array.inventory.attention(device, 0x3F, 0x0E)

    monkeypatch.setattr(array.subsystem, "scan_host", scan)
    array.inventory.attention(devices[0], 0x3F, 0x0E)
    assert scans == [(array.host, 0, 0)]
    array.inventory.attention(devices[1], 0x3F, 0x0E)
    assert len(scans) == 2, "the next change is news again"
    array.inventory.attention(devices[1], 0x3F, 0x03)
    monkeypatch.setattr(type(array.driver), "scans_itself", True)
    array.inventory.attention(devices[1], 0x3F, 0x0E)
    assert len(scans) == 2
