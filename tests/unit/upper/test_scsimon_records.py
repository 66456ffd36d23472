"""The shapes of events and lists, and that lists follow from events alone."""

from __future__ import annotations

import re

import pytest

from midlayer.testing import FakeClock
from midlayer.testing.scripted import inquiry_data
from midlayer.upper.scsimon import Event, Kind, Lists

from .running import Run, Start

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DEVICE_KEYS = [
    "vendor", "model", "revision", "type", "type_name", "qualifier", "scsi_level", "removable", "serial",
    "wwid", "by_id", "names", "state", "session", "inquiry", "host_data",
]  # fmt: skip
HOST_KEYS = ["name", "driver", "info", "emulated", "unique_id", "session"]


def test_attach(run: Run, clock: FakeClock) -> None:
    host = run.host(3)
    clock.advance(1.5)
    run.plug(host, 7, names={"sg": "sg4", "sd": "sdb"}, inquiry=inquiry_data(qualifier=1, vendor="ACME"))
    event = run.events()[-1]
    assert event.to_json() == {
        "event_count": 2,
        "event": "attach",
        "host": 3,
        "time": "2023-11-14T22:13:21.500000Z",
        "since_boot_s": 5001.5,
        "by_resync": False,
        "address": "3:0:0:7",
        "device": event.data["device"],
    }
    device = event.data["device"]
    assert list(device) == DEVICE_KEYS
    assert list(device["host_data"]) == HOST_KEYS
    assert (device["vendor"], device["qualifier"], device["type_name"]) == ("ACME", "001b", "Direct-Access")
    assert device["names"] == {"sg": "sg4", "sd": "sdb"}
    assert bytes.fromhex(device["inquiry"]) == inquiry_data(qualifier=1, vendor="ACME")


def test_detach(run: Run) -> None:
    device = run.plug(run.host(), names={"sg": "sg0"})
    run.unplug(device, by_resync=True)
    shown = run.events()[-1].to_json()
    assert {key: shown[key] for key in list(shown)[5:]} == {
        "by_resync": True,
        "address": "0:0:0:0",
        "attach_count": 2,
        "vendor": "SCRIPTED",
        "model": device.model,
        "revision": "1",
        "type": 0,
        "qualifier": "000b",
        "removable": False,
        "serial": "",
        "wwid": "",
        "names": {"sg": "sg0"},
        "emulated": False,
        "access_count": 0,
    }


def test_change_host_added_and_host_removed(run: Run) -> None:
    host = run.host()
    device = run.plug(host)
    run.subsystem.report_change(device, {"sd": "sda"}, by_resync=True)
    run.unplug(device)
    run.subsystem.remove_host(host)
    added, _, change, _, removed = run.events()
    assert [event.kind for event in (added, change, removed)] == ["host-added", "change", "host-removed"]
    assert change.to_json()["changes"] == {"sd": "sda"}
    assert change.by_resync
    for event in (added, removed):
        assert list(event.to_json()["host_data"]) == HOST_KEYS
        assert "address" not in event.to_json()


def test_elements_of_the_three_lists(run: Run, clock: FakeClock) -> None:
    host = run.host()
    device = run.plug(host)
    clock.advance(2.0)
    run.unplug(device, by_resync=True)
    run.plug(host)
    snapshot = run.scsimon.snapshot()
    (attached,), (detached,), (listed,) = snapshot.attached, snapshot.detached, snapshot.hosts
    counts_and_times = ["address", "attach_count", "attached_at", "attached_since_boot_s"]
    kept = [key for key in DEVICE_KEYS if key != "session"]
    assert list(attached.to_json()) == counts_and_times + kept
    detach_keys = ["detach_count", "detached_at", "detached_since_boot_s", "detach_by_resync"]
    assert list(detached.to_json()) == counts_and_times + detach_keys + kept
    assert list(listed.to_json()) == ["host", "added_count", "added_at", *HOST_KEYS[:-1]]
    shown = detached.to_json()
    assert list(shown["host_data"]) == HOST_KEYS[:-1]
    assert (shown["attach_count"], shown["detach_count"], shown["detach_by_resync"]) == (2, 3, True)
    assert shown["detached_since_boot_s"] - shown["attached_since_boot_s"] == 2.0
    assert all(TIME.fullmatch(shown[key]) for key in ("attached_at", "detached_at"))


def test_a_host_without_devices_is_in_the_list(run: Run) -> None:
    run.host(5)
    run.host(2)
    assert [record.host_no for record in run.scsimon.snapshot().hosts] == [5, 2]


def test_a_device_that_does_not_say_who_it_is_is_recorded_all_the_same(run: Run) -> None:
    run.plug(run.host(), inquiry=b"")
    record = run.scsimon.snapshot().attached[0].to_json()
    assert (record["vendor"], record["type"], record["inquiry"]) == ("", 0x1F, "")


def test_names_and_states_change_in_the_list(run: Run) -> None:
    device = run.plug(run.host(), names={"sg": "sg0"})

    def facts() -> tuple[object, object]:
        record = run.scsimon.snapshot().attached[0]
        return record.facts["names"], record.facts["state"]

    run.subsystem.report_change(device, {"sd": "sda", "state": "offline"})
    assert facts() == ({"sg": "sg0", "sd": "sda"}, "offline")
    run.subsystem.report_change(device, {"sd": "", "sg": "sg1"})
    assert facts() == ({"sg": "sg1"}, "offline")
    run.unplug(device)
    run.subsystem.report_change(device, {"sd": "sdz"})  # too late: nobody is told any more
    assert run.scsimon.snapshot().detached[0].facts["names"] == {"sg": "sg1"}


def test_only_the_latest_of_the_detached_are_kept(start: Start) -> None:
    run = start(keep_detached=3)
    host = run.host()
    for lun in range(6):
        run.unplug(run.plug(host, lun))
    assert [record.address for record in run.scsimon.snapshot().detached] == ["0:0:0:3", "0:0:0:4", "0:0:0:5"]


@pytest.mark.parametrize("keep_detached", [0, 2, 1000])
def test_the_lists_are_a_replay_of_the_events(start: Start, keep_detached: int) -> None:
    run = start(keep_detached=keep_detached)
    hosts = [run.host(number) for number in range(3)]
    devices = [run.plug(host, lun) for lun in range(4) for host in hosts]
    for device in devices[::2]:
        run.unplug(device)
    run.subsystem.report_change(devices[1], {"sg": "sg9"})
    run.subsystem.remove_host(hosts[2])
    replayed = Lists(keep_detached=keep_detached).replay(run.events())
    assert replayed == run.log.lists
    snapshot = run.scsimon.snapshot()
    assert tuple(replayed.attached.values()) == snapshot.attached
    assert tuple(replayed.detached) == snapshot.detached
    assert tuple(replayed.hosts.values()) == snapshot.hosts


def test_a_detach_of_what_was_never_attached_changes_nothing() -> None:
    lists = Lists()
    run_of = {"attach_count": 0, "vendor": "", "model": "", "names": {}}
    lists.apply(Event(7, Kind.DETACH, 0, "0:0:0:0", 0.0, 0.0, False, run_of))
    lists.apply(Event(8, Kind.CHANGE, 0, "0:0:0:0", 0.0, 0.0, False, {"changes": {"sg": "sg0"}}))
    assert (lists.event_count, lists.attached, len(lists.detached)) == (8, {}, 0)
