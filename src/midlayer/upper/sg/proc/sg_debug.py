"""``/proc/scsi/sg/debug``: every open descriptor and its requests, today's layout and that of Linux 2.4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from midlayer.upper.sg.proc.views import RequestView, SgDeviceView, SgFileView

KINDS = {"": "     ", "rb": "     rb>> ", "mmap": "     mmap>> ", "dio": "     dio>> "}
"""Beginning of a request's line, by whose memory the request uses."""

STATES_6 = {"prior": "act:", "act": "act:", "rcv": "rcv:", "fin": "fin:"}
STATES_2_4 = {"prior": "prior:", "act": "act:", "rcv": "rcv:", "fin": "fin:"}
"""Name of a request's state; a kernel of today does not tell what it has not yet passed on."""

_ANSWERED = frozenset({"rcv", "fin"})

# A kernel 2.4 took its buffers from pools whose sizes it printed. There is no such pool here, so the
# numbers are those of the document's example, of a pool that nobody draws from.
_DMA_FREE_SECTORS, _POOL_SECTORS_AVAILABLE = 416, 320
_SPARE_DEVICES_2_4 = 6  # its table of devices grew by that many beyond the last device

Rows = Sequence[SgDeviceView | None]


def debug_6(rows: Rows, def_reserved_size: int) -> Iterator[str]:
    """Yield the lines of a kernel 6; there is none while there are no devices."""
    if rows:
        yield f"max_active_device={len(rows)}  def_reserved_size={def_reserved_size}\n"
    for row, device in enumerate(rows):
        if device is not None:
            with device.lock:
                lines = _device_6(row, device)
            yield from lines


def debug_2_4(rows: Rows, def_reserved_size: int) -> Iterator[str]:
    """Yield the lines of a kernel 2.4, those of the document."""
    yield (
        f"dev_max(currently)={len(rows) + _SPARE_DEVICES_2_4} max_active_device={len(rows)} (origin 1)\n"
        f" scsi_dma_free_sectors={_DMA_FREE_SECTORS} sg_pool_secs_aval={_POOL_SECTORS_AVAILABLE} "
        f"def_reserved_size={def_reserved_size}\n"
    )
    for row, device in enumerate(rows):
        if device is not None:
            with device.lock:
                lines = _device_2_4(row, device)
            yield from lines


def _device_6(row: int, device: SgDeviceView) -> list[str]:
    files = device.files
    if not files:
        return []
    address, emulated = device.device.address, int(device.device.host.emulated)
    place = "detaching pending close " if device.detaching else f"{address}   em={emulated}"
    openers = sum(not file.closed for file in files)
    lines = [f" >>> device=sg{row} {place} {_tablesize(device)} open_cnt={openers}\n"]
    for number, file in enumerate(files, 1):
        lines += _descriptor(number, file, STATES_6, closed=False)
    return lines


def _device_2_4(row: int, device: SgDeviceView) -> list[str]:
    files = device.files
    if not files:
        return []
    host, channel, target, lun = device.device.address
    place = f"scsi{host} chan={channel} id={target} lun={lun}   em={int(device.device.host.emulated)}"
    if device.detaching:
        place = "detached pending close "
    lines = [f" >>> device=sg{row} {place} {_tablesize(device)}\n"]
    for number, file in enumerate(files, 1):
        lines += _descriptor(number, file, STATES_2_4, closed=file.closed)
    return lines


def _tablesize(device: SgDeviceView) -> str:
    return f"sg_tablesize={device.sg_tablesize} excl={int(device.exclusive)}"


def _descriptor(number: int, file: SgFileView, states: dict[str, str], *, closed: bool) -> Iterator[str]:
    yield (
        f"   FD({number}): timeout={file.timeout_ms}ms bufflen={file.reserved_bytes} "
        f"(res)sgat={file.reserved_sgat} low_dma=0\n"
        f"   cmd_q={int(file.cmd_q)} f_packid={int(file.force_pack_id)} "
        f"k_orphan={int(file.keep_orphan)} closed={int(closed)}\n"
    )
    requests = file.requests
    for request in requests:
        yield _request(request, states)
    if not requests:
        yield "     No requests active\n"


def _request(request: RequestView, states: dict[str, str]) -> str:
    state = request.state
    time = (
        f"dur={request.duration_ms}"
        if state in _ANSWERED
        else f"t_o/elap={request.timeout_ms}/{request.elapsed_ms}"
    )
    return (
        f"{KINDS[request.kind]}{states[state]} id={request.pack_id} blen={request.blen} {time}ms "
        f"sgat={request.sgat} op=0x{request.opcode:02x}\n"
    )
