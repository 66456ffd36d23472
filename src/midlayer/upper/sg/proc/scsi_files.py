"""``/proc/scsi/scsi`` and ``/proc/scsi/device_info``: the mid level's own files, read and written."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from midlayer.address import Address
from midlayer.errors import DeviceGone, MidlayerError, NodeError, NoSuchDevice, NoSuchHost
from midlayer.mid.callbacks import demand
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.quirks import QuirkTable
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.proc.inquiry_text import identity
from midlayer.upper.sg.proc.numbers import kstrtoul, refusal, simple_strtoul

_log = logging.getLogger("midlayer.proc")

_PAGE_BYTES = 4096
_WILD_CARD = 0xFFFFFFFF
_SCSI_1_CCS = 2

_TYPES = (
    "Direct-Access    ", "Sequential-Access", "Printer          ", "Processor        ",
    "WORM             ", "CD-ROM           ", "Scanner          ", "Optical Device   ",
    "Medium Changer   ", "Communications   ", "ASC IT8          ", "ASC IT8          ",
    "RAID             ", "Enclosure        ", "Direct-Access-RBC", "Optical card     ",
    "Bridge controller", "Object storage   ", "Automation/Drive ", "Security Manager ",
    "Direct-Access-ZBC",
)  # fmt: skip
_SPECIAL_TYPES = {0x1E: "Well-known LUN   ", 0x1F: "No Device        "}
_UNKNOWN_TYPE = "Unknown          "
_TYPES_2_4 = (*_TYPES[:10], _UNKNOWN_TYPE, _UNKNOWN_TYPE, *_TYPES[12:14])


def attached_6(devices: Iterable[LogicalUnit]) -> Iterator[str]:
    """Yield ``scsi/scsi`` of a kernel 6 (rule SC-31); it is empty while there are no devices."""
    for number, device in enumerate(devices):
        if number == 0:
            yield "Attached devices:\n"
        revision = device.scsi_level - (device.scsi_level > 1)
        yield _block(device, type_name(device.type), f"ANSI  SCSI revision: {revision:02x}")


def attached_2_4(devices: Iterable[LogicalUnit]) -> Iterator[str]:
    """Yield ``scsi/scsi`` of a kernel 2.4, host by host."""
    ordered = sorted(devices, key=lambda device: device.address.host)
    yield f"Attached devices: {'' if ordered else 'none'}\n"
    for device in ordered:
        kind = _TYPES_2_4[device.type] if device.type < len(_TYPES_2_4) else _UNKNOWN_TYPE
        yield _block(device, kind, f"ANSI SCSI revision: {device.scsi_level - 1 or 1:02x}")


def type_name(device_type: int) -> str:
    """Return the 17 characters that stand for a peripheral device type."""
    if device_type < len(_TYPES):
        return _TYPES[device_type]
    return _SPECIAL_TYPES.get(device_type, _UNKNOWN_TYPE)


def write_attached(subsystem: Subsystem, data: bytes) -> int:
    """Obey ``scsi add-single-device H C I L`` or ``scsi remove-single-device H C I L`` (rule SC-28).

    As in the kernel, a number that is missing is 0, and it is no error if nothing answers at an address.

    Raises:
        OSError: ENXIO if the host, or the device to remove, is absent; EINVAL for any other text, and
            for an address that the host can not have.
    """
    text = _page(data)
    for verb, act in (("scsi add-single-device", _add), ("scsi remove-single-device", _remove)):
        if text.startswith(verb):
            with _as_the_kernel():
                act(subsystem, *_four_numbers(text, len(verb) + 1))
            return len(data)
    raise refusal(errno.EINVAL)


def device_info(quirks: QuirkTable) -> Iterator[str]:
    """Yield ``scsi/device_info``: the entries in the order in which they are tried."""
    for entry in quirks.entries():
        yield f"{entry}\n"


def write_device_info(quirks: QuirkTable, data: bytes) -> int:
    """Add entries written ``vendor:model:flags``, with commas between them, before all others.

    As in the kernel, the first mistake ends it with a line in the log, and the write succeeds.

    Raises:
        OSError: EINVAL for more than a page.
    """
    for part in _page(data).strip('"\n').split(","):
        if not part:
            break
        vendor, _, rest = part.partition(":")
        model, _, flags = rest.partition(":")
        try:
            quirks.add(f"{vendor}:{model}:{kstrtoul(flags.encode('latin-1')):#x}", first=True)
        except (MidlayerError, OSError) as error:
            _log.error("device_info: bad dev info string %r: %s", part, error)
            break
    return len(data)


def _block(device: LogicalUnit, kind: str, revision: str) -> str:
    host, channel, target, lun = device.address
    vendor, model, firmware = identity(device)
    end = " CCS" if device.scsi_level == _SCSI_1_CCS else ""
    return (
        f"Host: scsi{host} Channel: {channel:02d} Id: {target:02d} Lun: {lun:02d}\n"
        f"  Vendor: {vendor} Model: {model} Rev: {firmware}\n"
        f"  Type:   {kind} {'':15}{revision}{end}\n"
    )


def _page(data: bytes) -> str:
    if len(data) > _PAGE_BYTES or (len(data) == _PAGE_BYTES and data[-1]):
        raise refusal(errno.EINVAL)
    return data.split(b"\0", 1)[0].decode("latin-1")


def _four_numbers(text: str, at: int) -> tuple[int, int, int, int]:
    """Read host, channel, target and LUN, with one character of any kind between them."""
    numbers = []
    for _ in range(4):
        number, end = simple_strtoul(text, at)
        numbers.append(number & _WILD_CARD)
        at = end + 1
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _add(subsystem: Subsystem, host_no: int, channel: int, target: int, lun: int) -> None:
    host = subsystem.host(host_no)
    where = (None if channel == _WILD_CARD else channel, None if target == _WILD_CARD else target, lun)
    if not demand(host, host.template.user_scan, host, *where):
        subsystem.scan_host(host, *where)


def _remove(subsystem: Subsystem, host_no: int, channel: int, target: int, lun: int) -> None:
    device = subsystem.device(Address(host_no, channel, target, lun))
    template = device.host.template
    # A driver that does not scan would pull the unit out for good; a person who writes here expects
    # to find the device again with add-single-device.
    if not (template.scans_itself and demand(device.host, template.user_remove, device)):
        subsystem.remove_device(device)


@contextmanager
def _as_the_kernel() -> Iterator[None]:
    try:
        yield
    except (NoSuchHost, NoSuchDevice, DeviceGone):
        raise refusal(errno.ENXIO) from None
    except NodeError as error:
        raise refusal(error.errno or errno.EIO) from error
    except MidlayerError as error:
        raise refusal(errno.EINVAL) from error
