"""A subsystem that plugs and unplugs as fast as it can until it is killed; run by test_crash.

Prints one JSON document a line. First what it found after the restart, then each event that it was
promised is safe: a line is written only after `plug` or `unplug` returned.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon import EventLog, ScsimonDriver
from midlayer.upper.sg import SgDriver

UNITS = 12


def main(state: Path, seed: int) -> None:
    """Run for ever."""
    subsystem = Subsystem()
    # Few events are kept, so that checkpoints and pruning happen in the storm as well.
    scsimon = ScsimonDriver(EventLog(state, keep_events=4000), subsystem.clock)
    subsystem.register_upper(SgDriver())
    subsystem.register_upper(scsimon)
    driver = VirtualDriver(subsystem)
    host = driver.add_host(HostSpec(units=(UnitSpec(lun=0), UnitSpec(lun=1))))
    scsimon.settle()
    snapshot = scsimon.snapshot()
    report(
        {
            "attached": [record.address for record in snapshot.attached],
            "really": [str(device.address) for device in subsystem.devices()],
            "event_count": snapshot.event_count,
        }
    )
    choose = random.Random(seed)
    plugged = {device.address.lun: device for device in host.devices()}
    while True:
        lun = choose.randrange(UNITS)
        device = plugged.pop(lun, None)
        if device is not None:
            driver.unplug(device)
            report({"detach": f"{host.host_no}:0:0:{lun}", "event_count": scsimon.event_count})
        else:
            plugged[lun] = driver.plug(host, UnitSpec(lun=lun, size=1 << 20))
            report({"attach": f"{host.host_no}:0:0:{lun}", "event_count": scsimon.event_count})


def report(line: dict[str, object]) -> None:
    """Write one line in one piece."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
