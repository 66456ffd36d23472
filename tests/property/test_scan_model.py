"""Our scan against a model of its rules, small enough to be read at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import example, given
from hypothesis import strategies as st

from midlayer.mid.quirks import Quirk
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sense import SenseKey
from midlayer.testing import Answer, FakeClock, ScriptedDriver, inquiry_data

REPORT_LUNS = 0xA0
WELL_KNOWN = 0xC101


@dataclass(frozen=True)
class Lun:
    """What answers INQUIRY at one LUN."""

    qualifier: int
    device_type: int
    version: int
    short: int  # bytes of INQUIRY data, 36 if it is whole


LUNS = st.builds(
    Lun,
    qualifier=st.sampled_from([0, 0, 0, 1, 3]),
    device_type=st.sampled_from([0x00, 0x00, 0x05, 0x0D, 0x1F]),
    version=st.sampled_from([0, 1, 2, 3, 6, 6]),
    short=st.sampled_from([36, 36, 36, 36, 5, 3, 1, 0]),
)
NUMBERS = st.one_of(
    st.integers(0, 4), st.integers(0, 20), st.sampled_from([255, 256, 0x4100, 0x412C, WELL_KNOWN, 1 << 32])
)
QUIRKS = st.sets(
    st.sampled_from(
        [
            Quirk.NOLUN,
            Quirk.FORCELUN,
            Quirk.SPARSELUN,
            Quirk.MAX5LUN,
            Quirk.ISROM,
            Quirk.LARGELUN,
            Quirk.INQUIRY_36,
            Quirk.REPORTLUN2,
            Quirk.NOREPORTLUN,
            Quirk.SKIP_VPD_PAGES,
        ]
    ),
    max_size=3,
).map(lambda flags: Quirk(sum(flags)))
DISK = Lun(qualifier=0, device_type=0, version=6, short=36)
ABSENT = Lun(qualifier=3, device_type=0x1F, version=6, short=36)
SCSI_2 = Lun(qualifier=0, device_type=0, version=2, short=36)
TARGETS = st.dictionaries(NUMBERS, LUNS, max_size=8)


def level_of(lun: Lun) -> int:
    """Rule SC-7; `inquiry_data` writes response data format 1 for version 1."""
    if lun.short < 3:
        return 0
    if lun.version == 1:
        return 2 if lun.short > 3 else 1
    return lun.version + 1 if lun.version >= 2 else lun.version


def verdict(number: int, lun: Lun | None) -> str:
    """Rules SC-3, SC-5 and SC-9 to SC-12: "silent", "target" or "device"."""
    if lun is None:
        return "silent"
    if lun.short == 0:  # as in the kernel, zeros: a disk without a name
        return "device"
    if lun.qualifier == 3:
        return "target"
    if lun.qualifier == 1 and lun.device_type == 0x1F and number & 0xFF00 != 0xC100:
        return "target"
    return "device"


def model(target: dict[int, Lun], *, max_lun: int, report_luns: bool, quirks: Quirk) -> list[int]:
    """Return the LUNs that a scan adds."""
    first = verdict(0, target.get(0))
    if first == "silent":  # SC-20
        return []
    found = [0] if first == "device" else []
    flags = quirks if target[0].short == 36 else Quirk(0)  # SC-30: shorter data names nobody
    if flags & Quirk.NOLUN:
        return found
    level = level_of(target[0])
    if report_luns and may_be_asked(level, max_lun, flags):
        return sorted({*found, *listed(target, max_lun)})
    for number in range(1, limit(level, max_lun, flags)):  # SC-25
        if verdict(number, target.get(number)) == "device":
            found.append(number)
        elif not flags & Quirk.SPARSELUN:
            break
    return found


def may_be_asked(level: int, max_lun: int, flags: Quirk) -> bool:
    """Rule SC-21."""
    if flags & Quirk.NOREPORTLUN:
        return False
    return level >= 4 or bool(level in (0, 3) and flags & Quirk.REPORTLUN2 and max_lun > 8)


def limit(level: int, max_lun: int, flags: Quirk) -> int:
    """Rule SC-25."""
    most = max_lun if flags & (Quirk.SPARSELUN | Quirk.FORCELUN) else min(512, max_lun)
    if flags & Quirk.MAX5LUN:
        return min(5, most)
    return min(8 if level < 4 and not flags & Quirk.LARGELUN else 256, most)


def listed(target: dict[int, Lun], max_lun: int) -> list[int]:
    """Rule SC-23, with the list in order of number."""
    found = []
    for number in sorted(target):
        if number > max_lun:
            continue
        what = verdict(number, target[number])
        if what == "silent":
            break
        if what == "device":
            found.append(number)
    return found


@given(
    target=TARGETS,
    max_lun=st.sampled_from([4, 8, 256, 0x4100, 1 << 33]),
    report_luns=st.booleans(),
    scan_ahead=st.sampled_from([1, 2, 5]),
    quirks=QUIRKS,
)
@example(target={0: DISK, 2: DISK}, max_lun=8, report_luns=False, scan_ahead=1, quirks=Quirk.SPARSELUN)
@example(target={0: ABSENT, 3: DISK}, max_lun=8, report_luns=True, scan_ahead=1, quirks=Quirk(0))
@example(target={0: replace(DISK, short=0)}, max_lun=4, report_luns=False, scan_ahead=1, quirks=Quirk(0))
@example(
    target={0: SCSI_2, 256: SCSI_2}, max_lun=512, report_luns=True, scan_ahead=1, quirks=Quirk.REPORTLUN2
)
@example(target={0: DISK, 1: DISK}, max_lun=8, report_luns=True, scan_ahead=1, quirks=Quirk.ISROM)
def test_scan_equals_the_model(
    target: dict[int, Lun], max_lun: int, report_luns: bool, scan_ahead: int, quirks: Quirk
) -> None:
    driver = ScriptedDriver()
    driver.max_lun, driver.max_id, driver.scan_ahead = max_lun, 1, scan_ahead
    for number, lun in target.items():
        whole = inquiry_data(qualifier=lun.qualifier, device_type=lun.device_type, version=lun.version)
        unit = driver.unit(0, 0, number, whole[: lun.short])
        if not report_luns:
            unit.on(REPORT_LUNS, Answer.check(SenseKey.ILLEGAL_REQUEST, 0x20))
    subsystem = Subsystem(clock=FakeClock())
    subsystem.quirks.add(f"SCRIPTED:Scripted disk:{int(quirks)}")
    host = driver.start(subsystem)
    found = [device.address.lun for device in subsystem.devices()]
    assert found == model(target, max_lun=max_lun, report_luns=report_luns, quirks=quirks)
    subsystem.scan_host(host)
    again = [device.address.lun for device in subsystem.devices()]
    # Once more changes nothing, except where units differ in their level: as in the kernel, the one that was
    # probed last speaks for the target, and may lead from one way of scanning to the other.
    assert again == found or (len(set(map(level_of, target.values()))) > 1 and set(again) > set(found))
    subsystem.remove_host(host)
    host.put()
    balanced(driver)
    assert host.references == 0


def balanced(driver: ScriptedDriver) -> None:
    """Each alloc has its destroy, in turn, at each address."""
    for kind in ("slave", "target"):
        places = {call.split()[1] for call in driver.calls if call.startswith(kind)}
        for place in places:
            calls = [
                call.split()[0]
                for call in driver.calls
                if call.startswith(kind) and call.endswith(f" {place}")
            ]
            calls = [call for call in calls if not call.endswith("configure")]
            assert calls == [f"{kind}_alloc", f"{kind}_destroy"] * (len(calls) // 2)
