"""200 made-up targets: our scan through our own initiator finds what the rules of docs/scanning.md say."""

from __future__ import annotations

import os

from tests.described_targets import Description, Seen, Unit, generate, served

from midlayer.lower.iscsi import IscsiDriver, SessionSpec
from midlayer.mid.subsystem import Subsystem

SEED = int(os.environ.get("MIDLAYER_SEED", "20261128"))
COUNT = 200
MISSING = Unit(b"\x7f\x00\x06\x02")
"""What our target says of a LUN that it does not have."""


def test_our_scan_finds_what_the_rules_say(subsystem: Subsystem) -> None:
    print(f"MIDLAYER_SEED={SEED}")
    descriptions = generate(COUNT, SEED)
    driver = IscsiDriver(subsystem)
    with served(descriptions, lambda number: "127.0.0.1:0") as server:
        for each in descriptions:
            portal = server.portals(each.iqn)[0].address
            host = driver.add_host(SessionSpec(portal=portal, target=each.iqn))
            seen = [Seen.by_us(device) for device in host.devices()]
            driver.remove_host(host)
            assert [one.lun for one in seen] == expected(each), each
            for one in seen:
                unit = each.units[one.lun & 0x3FFF]
                assert (one.type, one.scsi_level) == (unit.inquiry[0] & 0x1F, level(unit)), each


def expected(target: Description) -> list[int]:
    """Return the kernel's numbers of the LUNs that a scan adds."""
    first = target.units.get(0, MISSING)
    if verdict(first) == "silent":  # SC-20
        return []
    found = [0] if verdict(first) == "device" else []
    if target.refuses or level(first) < 4:  # SC-21, SC-25
        for lun in range(1, 8 if level(first) < 4 else 256):
            if verdict(target.units.get(lun, MISSING)) != "device":
                break
            found.append(lun)
        return found
    for lun, unit in target.units.items():
        if verdict(unit) == "silent":  # SC-23; LUN 0 does answer
            break
        if lun and verdict(unit) == "device":
            found.append(lun if lun < 256 else 0x4000 | lun)
    return found


def verdict(unit: Unit) -> str:
    """Rules SC-5, SC-9 and SC-10."""
    if not unit.inquiry:
        return "silent"
    qualifier, device_type = unit.inquiry[0] >> 5, unit.inquiry[0] & 0x1F
    return "target" if qualifier == 3 or (qualifier == 1 and device_type == 0x1F) else "device"


def level(unit: Unit) -> int:
    """Rule SC-7."""
    version, response_format = unit.inquiry[2] & 0xF, unit.inquiry[3] & 0xF
    return version + 1 if version >= 2 or (version == 1 and response_format == 1) else version
