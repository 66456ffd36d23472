"""What a device says of itself: INQUIRY data and VPD pages. Comments name the rules of docs/scanning.md.

The steps are generators (`midlayer.mid.asking`), because a scan may take them for several devices at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

from midlayer.mid.asking import Question, Steps, ask
from midlayer.mid.command import HostByte, Result
from midlayer.mid.logical_unit import SCSI_3, SCSI_SPC_2, LogicalUnit, decode_inquiry
from midlayer.mid.quirks import Quirk
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import Inquiry

_log = logging.getLogger("midlayer.scan")

INQUIRY_TIMEOUT_S = 20.5
FIRST_INQUIRY_BYTES = 36
CACHED_VPD_PAGES = (0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2, 0xB7)
_SPC_4 = 6  # in the version field of standard INQUIRY data
_TIMED_OUT = int(HostByte.DID_TIME_OUT)
_INQUIRY_36, _SKIP_VPD_PAGES, _TRY_VPD_PAGES = map(
    int, (Quirk.INQUIRY_36, Quirk.SKIP_VPD_PAGES, Quirk.TRY_VPD_PAGES)
)
_MAX_ALLOCATION_LENGTH = 0xFFFF

_Retry = Callable[[Result], bool]


def read_inquiry(device: LogicalUnit) -> bytes | None:
    """Read the standard INQUIRY data as a scan does, in one or two steps (SC-3 to SC-5)."""
    return ask(inquiry_steps(device))


def read_vpd_pages(device: LogicalUnit) -> dict[int, bytes]:
    """Read the VPD pages that are worth keeping; none of a device that had better not be asked (SC-14)."""
    return ask(vpd_steps(device))


def inquiry_steps(device: LogicalUnit) -> Steps[bytes | None]:
    """Ask for the standard INQUIRY data, and put the quirks that go by it on the device."""
    limit = device.inquiry_len
    first_length = limit or FIRST_INQUIRY_BYTES
    first = yield from _inquire(device, first_length)
    if first is None:
        return None
    device.flags = flags = int(device.host.subsystem.quirks.lookup(*_names(first)))
    length = first[4] + 5 if len(first) > 4 else len(first)
    if length > 255:
        length = first_length
    if flags & _INQUIRY_36:
        length = min(length, FIRST_INQUIRY_BYTES)
    elif limit and len(first) > 2 and first[2] & 0x07 < _SPC_4:
        length = min(length, limit)
    if length <= first_length:
        return first[:length] if length >= 5 else first
    second = yield from _inquire(device, length)
    if second is None:
        _log.info(
            "%s: the longer INQUIRY failed; consider the quirk INQUIRY_36 for this device", device.address
        )
        second = yield from _inquire(device, first_length)
    return second


def vpd_steps(device: LogicalUnit) -> Steps[dict[int, bytes]]:
    """Ask for page 00h, and for those of `CACHED_VPD_PAGES` that it lists."""
    if not _bears_vpd(device):
        return {}
    supported = yield from _read_vpd_page(device, 0x00)
    if supported is None:
        return {}
    pages = {0x00: supported}
    for code in CACHED_VPD_PAGES:
        if code in supported[4:]:
            page = yield from _read_vpd_page(device, code)
            if page is not None:
                pages[code] = page
    return pages


def _bears_vpd(device: LogicalUnit) -> bool:
    """Return whether a device may be asked for VPD pages; old ones may choke on it."""
    if device.scsi_level < SCSI_3:
        return False
    willing = device.scsi_level >= SCSI_SPC_2 and not device.flags & _SKIP_VPD_PAGES
    return bool(willing or device.flags & _TRY_VPD_PAGES)


def try_again(
    device: LogicalUnit, cdb: bytes, buffer: bytearray, timeout_s: float, retry: _Retry
) -> Steps[Result]:
    """Send a command, and again, up to three times, for the failures that `retry` names."""
    timed_out = False
    question = Question(device, cdb, buffer, timeout_s)
    for _ in range(3):
        result = yield question
        if result.ok or not retry(result):
            return result
        if result.host_byte == _TIMED_OUT and retry is _inquiry_retry:
            if timed_out:
                return result  # SC-3: one more try after a time-out, not three
            timed_out = True
    return (yield question)


def is_unit_attention(result: Result, *codes: tuple[int, int]) -> bool:
    """Return whether a command met a unit attention, one of `codes` if there are any."""
    sense = None if result.host_byte else result.sense
    if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
        return False
    return not codes or (sense.asc, sense.ascq) in codes


def _inquire(device: LogicalUnit, length: int) -> Steps[bytes | None]:
    """Send one INQUIRY; up to three times if it comes back without an error and without data (SC-3)."""
    cdb = _inquiry_cdb(length)
    for _ in range(3):
        result = yield from try_again(device, cdb, bytearray(length), INQUIRY_TIMEOUT_S, _inquiry_retry)
        if not result.ok:
            return None
        data = bytes(result.data)
        if data:
            return data
    _log.warning(
        "%s: INQUIRY ended well three times, each time without data; zeros are taken for it", device.address
    )
    return bytes(FIRST_INQUIRY_BYTES)


def _read_vpd_page(device: LogicalUnit, code: int) -> Steps[bytes | None]:
    length = 255
    while True:
        cdb = _vpd_cdb(code, length)
        result = yield from try_again(device, cdb, bytearray(length), INQUIRY_TIMEOUT_S, _inquiry_retry)
        data = bytes(result.data)
        if not result.ok or len(data) < 4 or data[1] != code:
            return None
        needed = int.from_bytes(data[2:4], "big") + 4
        if needed <= length or length == _MAX_ALLOCATION_LENGTH:
            return data[:needed]
        length = min(needed, _MAX_ALLOCATION_LENGTH)


@cache
def _inquiry_cdb(length: int) -> bytes:
    return Inquiry(allocation_length=length).encode()


@cache
def _vpd_cdb(code: int, length: int) -> bytes:
    return Inquiry(evpd=True, page_code=code, allocation_length=length).encode()


def _inquiry_retry(result: Result) -> bool:
    return result.host_byte == HostByte.DID_TIME_OUT or is_unit_attention(result, (0x28, 0x00), (0x29, 0x00))


def _names(inquiry: bytes) -> tuple[str, str]:
    decoded = decode_inquiry(inquiry)
    return decoded.vendor, decoded.product
