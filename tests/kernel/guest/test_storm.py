"""Devices that come and go at full speed: with room for all uevents, and with nearly none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from midlayer.lower.linux.netlink import UeventSocket
from midlayer.upper.scsimon import Event, Kind

from .eventually import eventually
from .nodes import udev_away
from .running import Recorder, recorder
from .scsi_debug import SCSI_DEVICES, SCSI_HOSTS, ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
CYCLES = int(os.environ.get("MIDLAYER_CYCLES", "150"))
"""Of the full size are 500."""
TINY_BUFFER_BYTES = 2048


def storm(address: str, cycles: int) -> None:
    """Delete and rescan one LUN, as fast as the kernel does it."""
    host, channel, target, lun = address.split(":")
    scan = SCSI_HOSTS / f"host{host}" / "scan"
    for _ in range(cycles):
        (SCSI_DEVICES / address / "delete").write_text("1\n")
        scan.write_text(f"{channel} {target} {lun}\n")


def in_sysfs(host: int) -> list[str]:
    return sorted(entry.name for entry in SCSI_DEVICES.iterdir() if entry.name.startswith(f"{host}:"))


def comings_and_goings(running: Recorder, address: str) -> list[Event]:
    events = running.scsimon.events().events
    return [
        event for event in events if event.address == address and event.kind in (Kind.ATTACH, Kind.DETACH)
    ]


def ready(debug: ScsiDebug) -> tuple[int, str]:
    (host,) = debug.hosts()
    (device,) = eventually(debug.devices)
    eventually(lambda: list((device / "scsi_generic").iterdir()))
    return host, device.name


@pytest.fixture(autouse=True)
def no_udev() -> Iterator[None]:
    with udev_away():
        yield


def test_nothing_is_missed_when_uevents_have_room(scsi_debug: LoadScsiDebug, tmp_path: Path) -> None:
    host, address = ready(scsi_debug())
    with recorder(tmp_path) as running:
        storm(address, CYCLES)
        eventually(lambda: len(comings_and_goings(running, address)) == 2 * CYCLES + 1)
        events = comings_and_goings(running, address)
        kinds = [event.kind for event in events]
        assert kinds == [Kind.ATTACH, *[Kind.DETACH, Kind.ATTACH] * CYCLES]
        assert not any(event.by_resync for event in events)
        assert running.monitor.counters.lost == 0
        assert running.addresses(host) == in_sysfs(host)
        print(running.monitor.counters)


def test_lost_uevents_are_made_up_for(scsi_debug: LoadScsiDebug, tmp_path: Path) -> None:
    host, address = ready(scsi_debug())
    tiny = partial(UeventSocket, receive_buffer_bytes=TINY_BUFFER_BYTES)
    with recorder(tmp_path, open_socket=tiny) as running:
        storm(address, CYCLES)
        eventually(lambda: settled(running, host), interval_s=0.2)
        counters = running.monitor.counters
        print(counters)
        assert counters.lost > 0, "the buffer was not too small"
        assert counters.resyncs > 1, "lost events must be made up for"
        events = comings_and_goings(running, address)
        for earlier, later in pairwise(events):
            assert earlier.kind is not later.kind, "two attaches, or two detaches, in a row"
        attaches = sum(event.kind is Kind.ATTACH for event in events)
        assert attaches - (len(events) - attaches) == len(in_sysfs(host))
        assert counters.attaches >= attaches
        sessions = [event.data["device"]["session"] for event in events if event.kind is Kind.ATTACH]
        assert sessions[-1] == f"{boot_id()}:{(SCSI_DEVICES / address).stat().st_ino}"
        assert any(event.by_resync for event in events)


def settled(running: Recorder, host: int) -> bool:
    """All that happened is handled: no event is waiting, and sysfs says what the list says.

    Of a device that was gone when its uevent was read no session is known until what came after is read.
    """
    before = running.monitor.counters
    records = [one for one in running.scsimon.snapshot().attached if one.address.startswith(f"{host}:")]
    same = {one.address: one.facts["session"] for one in records} == {
        name: f"{boot_id()}:{(SCSI_DEVICES / name).stat().st_ino}" for name in in_sysfs(host)
    }
    return same and running.monitor.counters == before and before.resyncs > 1


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
