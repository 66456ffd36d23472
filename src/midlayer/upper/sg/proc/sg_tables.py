"""The tables below ``/proc/scsi/sg``: one line for a device or a host, in order of number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState
from midlayer.upper.sg.proc.inquiry_text import identity
from midlayer.upper.sg.proc.sg_debug import Rows
from midlayer.upper.sg.proc.views import GOING, SgDeviceView

VERSION_NUMBER = 30536
VERSION_6 = f"{VERSION_NUMBER}\t3.5.36 [20140603]\n"
VERSION_2_4 = f"{VERSION_NUMBER}\tVersion: 3.5.36 (20140603)\n"

DEVICE_HEADINGS = "host\tchan\tid\tlun\ttype\topens\tqdepth\tbusy\tonline\n"
HOST_HEADINGS = "uid\tbusy\tcpl\tscatg\tisa\temul\n"

_NO_DEVICE = "\t".join(["-1"] * 9) + "\n"
_NO_HOST = "\t".join(["-1"] * 6) + "\n"
_MOST_HOST_BYTES = 255

_OFFLINE = frozenset({DeviceState.OFFLINE, DeviceState.TRANSPORT_OFFLINE})


def in_rows(devices: Iterable[SgDeviceView], first_minor: int) -> Rows:
    """Return devices by row, None for a gap; row 0 is `first_minor`, and lower minors have no row."""
    by_row = {device.minor - first_minor: device for device in devices if device.minor >= first_minor}
    return [by_row.get(row) for row in range(max(by_row, default=-1) + 1)]


def devices_6(rows: Rows) -> Iterator[str]:
    """Yield ``devices`` of a kernel 6, which says 1 for the openers of each device."""
    for device in rows:
        yield _device_line(device, 1) if device is not None else _NO_DEVICE


def devices_2_4(rows: Rows) -> Iterator[str]:
    """Yield ``devices`` of a kernel 2.4, which counts the openers, those of other drivers too."""
    for device in rows:
        if device is None:
            yield _NO_DEVICE
        else:
            yield _device_line(device, max(device.device.references - 1, 0))


def device_strings(rows: Rows) -> Iterator[str]:
    """Yield ``device_strs``."""
    for device in rows:
        if device is None or device.detaching or device.device.state in GOING:
            yield "<no active device>\n"
        else:
            yield "\t".join(identity(device.device)) + "\n"


def hosts(present: Iterable[Host]) -> Iterator[str]:
    """Yield ``hosts`` of a kernel 2.4."""
    for host in _with_gaps(present):
        if host is None:
            yield _NO_HOST
        else:
            isa = int(host.template.unchecked_isa_dma)
            numbers = (host.unique_id, host.busy, host.cmd_per_lun, host.sg_tablesize, isa)
            yield "\t".join(map(str, (*numbers, int(host.emulated)))) + "\n"


def host_strings(present: Iterable[Host]) -> Iterator[str]:
    """Yield ``host_strs`` of a kernel 2.4: what the driver says of each host, in one line."""
    for host in _with_gaps(present):
        if host is None:
            yield "<no active host>\n"
        else:
            text = host.info.replace("\n", " ").encode()[:_MOST_HOST_BYTES].decode(errors="ignore")
            yield f"{text}\n"


def _device_line(sg_device: SgDeviceView, opens: int) -> str:
    device = sg_device.device
    state = device.state  # once: it may change while the line is made
    if sg_device.detaching or state in GOING:
        return _NO_DEVICE
    online = int(state not in _OFFLINE)
    numbers = (*device.address, int(device.type), opens, device.queue_depth, device.busy, online)
    return "\t".join(map(str, numbers)) + "\n"


def _with_gaps(present: Iterable[Host]) -> Iterator[Host | None]:
    """Yield hosts in order of number, None for each number that no host has."""
    by_number = {host.host_no: host for host in present}
    for number in range(max(by_number, default=-1) + 1):
        yield by_number.get(number)
