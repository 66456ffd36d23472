"""A path that flaps: its LUNs come and go again and again, in batches as a storm of uevents gives them."""

from __future__ import annotations

import random
from collections.abc import Callable

from midlayer.address import Address
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.subsystem import Subsystem
from midlayer.testing.scripted import inquiry_data


class Reporting(HostTemplate):
    """Its devices are reported, not scanned."""

    name = proc_name = "reporting"
    can_queue = 1
    names_its_devices = True

    def __init__(self, luns: int) -> None:
        self.max_lun = luns

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        command.host_byte = HostByte.DID_NO_CONNECT
        done(command)
        return 0


def flap(subsystem: Subsystem, host: Host, count: int, rounds: int) -> None:
    """Attach and detach every LUN of a path, again and again, in batches as a storm gives them."""
    choose = random.Random(host.host_no)
    for _ in range(rounds):
        luns = choose.sample(range(count), count)
        for begin in range(0, count, 50):
            with host.scan_mutex, subsystem.batch(host):
                for lun in luns[begin : begin + 50]:
                    subsystem.add_reported_device(
                        host,
                        Address(host.host_no, 0, 0, lun),
                        inquiry=inquiry_data(),
                        vpd_pages={},
                        names={},
                        session="",
                    )
        for begin in range(0, count, 50):
            with host.scan_mutex, subsystem.batch(host):
                for lun in luns[begin : begin + 50]:
                    subsystem.remove_device(subsystem.device(Address(host.host_no, 0, 0, lun)))
