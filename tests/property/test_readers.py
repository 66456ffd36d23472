"""Eight readers during a storm: each snapshot equals the replay of the log up to its event count."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon import EventLog, Lists, ScsimonDriver, Snapshot

READERS = 8
STEPS = 600
KEEP_DETACHED = 20


class Reader(threading.Thread):
    """Takes snapshots until the storm is over, and replays the log beside them."""

    def __init__(self, scsimon: ScsimonDriver, over: threading.Event) -> None:
        super().__init__(name="reader")
        self.scsimon, self.over = scsimon, over
        self.lists = Lists(keep_detached=KEEP_DETACHED)
        self.compared: set[int] = set()
        self.failure = ""

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.compare(self.scsimon.snapshot())
            self.compare(self.scsimon.snapshot())
        except AssertionError as error:
            self.failure = str(error) or "a snapshot differs from the replay"

    def compare(self, snapshot: Snapshot) -> None:
        page = self.scsimon.events(self.lists.event_count)
        assert page.gap is None
        self.lists.replay(event for event in page.events if event.event_count <= snapshot.event_count)
        assert self.lists.event_count == snapshot.event_count
        assert tuple(self.lists.attached.values()) == snapshot.attached
        assert tuple(self.lists.detached) == snapshot.detached
        assert tuple(self.lists.hosts.values()) == snapshot.hosts
        self.compared.add(snapshot.event_count)


def test_each_snapshot_equals_the_replay_of_the_log(tmp_path: Path) -> None:
    subsystem = Subsystem()
    scsimon = ScsimonDriver(EventLog(tmp_path, keep_detached=KEEP_DETACHED), subsystem.clock)
    subsystem.register_upper(scsimon)
    driver = VirtualDriver(subsystem)
    over = threading.Event()
    readers = [Reader(scsimon, over) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        storm(driver, random.Random(8))
    finally:
        over.set()
        for reader in readers:
            reader.join(300)
    scsimon.close()
    assert [reader.failure for reader in readers] == [""] * READERS
    assert max(len(reader.compared) for reader in readers) > 10, "the readers saw too little of the storm"


def storm(driver: VirtualDriver, choose: random.Random) -> None:
    """Plug and unplug units, and whole hosts with units in one batch."""
    hosts = [driver.add_host(HostSpec(units=(UnitSpec(count=3),))) for _ in range(2)]
    for _ in range(STEPS):
        host = choose.choice(hosts)
        devices = host.devices()
        if choose.random() < 0.05:
            driver.remove_host(host)
            hosts[hosts.index(host)] = driver.add_host(
                HostSpec(units=(UnitSpec(count=choose.randrange(1, 8)),))
            )
        elif devices and choose.random() < 0.5:
            driver.unplug(choose.choice(devices))
        else:
            free = set(range(16)) - {device.address.lun for device in devices}
            driver.plug(host, UnitSpec(lun=choose.choice(sorted(free))))
