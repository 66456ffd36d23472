"""Scanning: which logical units a host has. Comments name the rules (SC-…) of docs/scanning.md."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from midlayer.mid.asking import Steps, ask
from midlayer.mid.command import Result
from midlayer.mid.inquiry import FIRST_INQUIRY_BYTES, inquiry_steps, is_unit_attention, try_again, vpd_steps
from midlayer.mid.logical_unit import SCSI_2, SCSI_3, SCSI_UNKNOWN, Gate, LogicalUnit
from midlayer.mid.quirks import Quirk
from midlayer.mid.scan_ahead import Begun, LookAhead
from midlayer.standards.sam import Status, is_well_known_lun
from midlayer.standards.spc import PeripheralDeviceType, PeripheralQualifier, ReportLuns, decode_lun_list

if TYPE_CHECKING:
    from midlayer.mid.target import Target

_log = logging.getLogger("midlayer.scan")

REPORT_LUNS_TIMEOUT_S = 30.0
MAX_SEQUENTIAL_LUNS = 512
FIRST_REPORT_LUNS_BYTES = (511 + 1) * 8
_ISROM, _NOTQ = int(Quirk.ISROM), int(Quirk.NOTQ)
_CMDQUE = (7, 0x02)  # byte and bit of the standard INQUIRY data


class Adder(Protocol):
    """Who makes devices and takes them in: the subsystem, or somebody who only wants to know."""

    def allocate_device(self, target: Target, lun: int) -> LogicalUnit | None:
        """Make a device that is not yet visible."""

    def install_device(self, device: LogicalUnit, *, probed: bool = True) -> bool:
        """Take a device in that answered; False if its driver refused it.

        `probed` is False if its VPD pages were read already, or it has none.
        """

    def drop_device(self, device: LogicalUnit) -> None:
        """Forget a device."""


class Found(Enum):
    """What a probe of one address found."""

    NO_RESPONSE = auto()
    """Nothing answers, or what does is unusable: the target is not there."""
    TARGET_PRESENT = auto()
    """The target answers, but has no logical unit at this LUN."""
    LUN_PRESENT = auto()
    """There is a device."""


def scan_target(adder: Adder, target: Target, lun: int | None = None) -> None:
    """Look at one LUN of a target, or at all. The caller holds the host's scan mutex."""
    if lun is not None:
        probe_and_add(adder, target, lun)
        return
    found, flags = probe_and_add(adder, target, 0)
    if found is Found.NO_RESPONSE:  # SC-20
        return
    if flags & Quirk.NOLUN:  # SC-21
        return
    luns = None if _must_scan_sequentially(target, flags) else report_luns(adder, target)
    if luns is None:
        _scan_sequentially(adder, target, flags)
    else:
        _scan_reported(adder, target, luns)


def probe_and_add(
    adder: Adder, target: Target, lun: int, ahead: LookAhead[Found] | None = None
) -> tuple[Found, Quirk]:
    """Probe one address and add the device that answers. The caller holds the scan mutex."""
    existing = target.logical_units.get(lun)
    if existing is not None:  # SC-1
        return Found.LUN_PRESENT, Quirk(existing.flags)
    begun = ahead.take(lun) if ahead is not None else None
    device = begun.device if begun is not None else adder.allocate_device(target, lun)
    if device is None:  # SC-2
        return Found.NO_RESPONSE, Quirk(0)
    found = _probe(device, begun)
    if found is Found.LUN_PRESENT and not adder.install_device(device, probed=begun is None):  # SC-13
        return Found.NO_RESPONSE, Quirk(device.flags)
    if found is not Found.LUN_PRESENT:
        adder.drop_device(device)
    return found, Quirk(device.flags)


def report_luns(adder: Adder, target: Target) -> list[int] | None:
    """Ask a target for its LUNs (SC-22); None if it will not say."""
    device = target.logical_units.get(0)
    temporary = device is None
    if device is None:
        device = adder.allocate_device(target, 0)
        if device is None:
            return None
    try:
        return ask_for_luns(device)
    finally:
        if temporary:  # SC-24
            adder.drop_device(device)


def ask_for_luns(device: LogicalUnit) -> list[int] | None:
    """Send REPORT LUNS to a device; None if it will not say, nothing if commands to it are held."""
    if device.gate is Gate.HELD:
        # It would wait for a state change, which in turn waits for the scan mutex that the caller holds.
        _log.warning("%s: %s, so its target can not be asked for LUNs", device.address, device.state.value)
        return []
    length = FIRST_REPORT_LUNS_BYTES
    while True:
        buffer = bytearray(length)
        cdb = ReportLuns(allocation_length=length).encode()
        result = ask(try_again(device, cdb, buffer, REPORT_LUNS_TIMEOUT_S, _report_luns_retry))
        if not result.ok or len(result.data) < 8:
            return None
        claimed = int.from_bytes(buffer[:4], "big") + 8
        if claimed > length and length < 8 * 0x10000:
            length = min(claimed, 8 * 0x10000)
            continue
        return list(decode_lun_list(bytes(result.data)))


def _scan_reported(adder: Adder, target: Target, luns: Sequence[int]) -> None:
    with LookAhead(adder, target, luns, _probe_ahead) as ahead:
        _add_reported(adder, target, luns, ahead)


def _add_reported(adder: Adder, target: Target, luns: Sequence[int], ahead: LookAhead[Found]) -> None:
    for lun in luns:  # SC-23
        if lun > target.host.max_lun:  # the kernel's comparison: LUN max_lun itself is probed
            _log.warning(
                "%d:%d:%d: lun%d has a LUN larger than allowed by the host adapter",
                target.host.host_no, target.channel, target.id, lun,
            )  # fmt: skip
            continue
        found, _ = probe_and_add(adder, target, lun, ahead)
        if found is Found.NO_RESPONSE:
            _log.warning(
                "%d:%d:%d: Unexpected response from lun %d while scanning, scan aborted",
                target.host.host_no, target.channel, target.id, lun,
            )  # fmt: skip
            return


def _scan_sequentially(adder: Adder, target: Target, flags: Quirk) -> None:
    host = target.host  # SC-25
    limit = min(MAX_SEQUENTIAL_LUNS, host.max_lun)
    sparse = bool(flags & Quirk.SPARSELUN)
    if flags & (Quirk.SPARSELUN | Quirk.FORCELUN):
        limit = host.max_lun
    if flags & Quirk.MAX5LUN:
        limit = min(5, limit)
    elif target.scsi_level < SCSI_3 and not flags & Quirk.LARGELUN:
        limit = min(8, limit)
    else:
        limit = min(256, limit)
    for lun in range(1, limit):
        found, _ = probe_and_add(adder, target, lun)
        if found is not Found.LUN_PRESENT and not sparse:
            return


def _must_scan_sequentially(target: Target, flags: Quirk) -> bool:
    level = target.scsi_level  # SC-21
    if flags & Quirk.NOREPORTLUN or target.no_report_luns:
        return True
    if level < SCSI_2 and level != SCSI_UNKNOWN:
        return True
    return level < SCSI_3 and not (flags & Quirk.REPORTLUN2 and target.host.max_lun > 8)


def _probe(device: LogicalUnit, begun: Begun[Found] | None) -> Found:
    found = begun.asking.wait() if begun is not None else ask(_probe_steps(device))
    if found is not Found.NO_RESPONSE:
        device.target.scsi_level = device.scsi_level
    return found


def _probe_steps(device: LogicalUnit) -> Steps[Found]:
    data = yield from inquiry_steps(device)
    if data is None:
        return Found.NO_RESPONSE
    if len(data) < FIRST_INQUIRY_BYTES:
        _log.warning(
            "%s: INQUIRY data of %d bytes, too short for vendor, product and revision",
            device.address,
            len(data),
        )
    device.set_inquiry(data)
    return _judge(device)


def _probe_ahead(device: LogicalUnit) -> Steps[Found]:
    """Probe a device together with others, its VPD pages included."""
    found = yield from _probe_steps(device)
    if found is Found.LUN_PRESENT:
        pages = yield from vpd_steps(device)
        device.vpd_pages.update(pages)
    return found


def _judge(device: LogicalUnit) -> Found:
    """Decide by peripheral qualifier and type whether there is a device at all (SC-9 to SC-12)."""
    qualifier = device.peripheral_qualifier
    well_known = is_well_known_lun(device.address.lun)
    no_type = device.type == PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE
    if qualifier == PeripheralQualifier.NOT_SUPPORTED:  # SC-9
        _log.info("%s: peripheral qualifier 011b, no device added", device.address)
        if device.address.lun == 0:
            _log.info(
                "%s: if its other LUNs are missing, try the quirk %s:%s:0x240",
                device.address, device.vendor, device.model,
            )  # fmt: skip
        return Found.TARGET_PRESENT
    not_accessible = qualifier == PeripheralQualifier.NOT_CONNECTED or device.target.pdt_1f_for_no_lun
    if not_accessible and no_type and not well_known:  # SC-10
        _log.info("%s: peripheral device type 1Fh, no device added", device.address)
        return Found.TARGET_PRESENT
    if well_known:  # SC-12
        device.type = PeripheralDeviceType.WELL_KNOWN_LOGICAL_UNIT
    flags = int(device.flags)  # the operators of `Quirk` take longer than the rest of this
    if flags & _ISROM:
        device.type = PeripheralDeviceType.CD_DVD
    device.allow_restart = device.vendor == "ATA"
    data = device.inquiry_data
    cmdque = len(data) > _CMDQUE[0] and data[_CMDQUE[0]] & _CMDQUE[1]
    device.tagged = bool(device.scsi_level >= SCSI_2 and cmdque and not flags & _NOTQ)
    return Found.LUN_PRESENT  # SC-11, SC-12


def _report_luns_retry(result: Result) -> bool:
    refused = not result.host_byte and result.status == Status.CHECK_CONDITION
    return not refused or is_unit_attention(result)
