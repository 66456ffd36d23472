"""Verbs that send a command to one device: inq, vpd, luns, readcap, turs, raw."""

from __future__ import annotations

import argparse
import errno
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from midlayer.device_url import NodeForm, parse_device_url
from midlayer.errors import DaemonError, NodeError, UsageError
from midlayer.frontends.cli.output import clean, hex_dump, print_json
from midlayer.frontends.exit_status import MALFORMED, of_result
from midlayer.frontends.naming import for_the_daemon, local_path
from midlayer.frontends.places import default_socket
from midlayer.quantities import counted

if TYPE_CHECKING:
    from midlayer.frontends.cli.client import Executor
    from midlayer.mid.command import Result

_NEEDS_READ_CAPACITY_16 = 0xFFFFFFFF
_FIRST_LUN_LIST_BYTES = 8 + 8 * 512
_LONGEST_LUN_LIST_BYTES = 8 + 8 * 0x10000


def find(options: argparse.Namespace) -> Executor:
    """Return the device that the user named.

    A path that is there and a virtual: unit are opened here. An address, a bare node and a name that a rule
    gave belong to the daemon, or, where none runs, to the kernel.
    """
    socket = for_the_daemon(options.device, options.socket)
    if socket is not None:
        from midlayer.frontends.cli.client import Client, RemoteDevice

        return RemoteDevice(Client(socket), options.device)
    from midlayer.device import open_device

    text = local_path(options.device)
    try:
        return open_device(text)
    except NodeError as error:
        form, daemon = parse_device_url(text), options.socket or default_socket()
        if error.errno == errno.ENOENT and isinstance(form, NodeForm) and form.explicit and daemon.exists():
            error.args = (f"{error} (a device of the daemon has no path: write {form.name})",)
        raise


def inq(options: argparse.Namespace) -> int:
    """Print standard INQUIRY data."""
    from midlayer.frontends.cli.describe import describe_inquiry
    from midlayer.standards.spc import StandardInquiry

    with closing(find(options)) as device:
        data = _inquiry(device, 36)
        length = min(data[4] + 5, 255) if len(data) > 4 else 36
        if length > 36:
            data = _inquiry(device, length)
    described = describe_inquiry(StandardInquiry.decode(data), data)
    print_json(described) if options.json else print_fields(described)
    return 0


def vpd(options: argparse.Namespace) -> int:
    """Print VPD pages."""
    from midlayer.frontends.cli.describe import describe_vpd_page

    with closing(find(options)) as device:
        if options.page is not None:
            pages = [_vpd_page(device, options.page)]
        else:
            listed = _vpd_page(device, 0x00)
            pages = [listed, *(_vpd_page(device, code) for code in listed[4:] if code)]
    described = [describe_vpd_page(page) for page in pages]
    if options.json:
        print_json({"items": described})
        return 0
    for number, page in enumerate(described):
        if number:
            print()
        print(f"VPD page {page.pop('page')}: {page.pop('name')}")
        print_fields(page, indent="  ")
    return 0


def luns(options: argparse.Namespace) -> int:
    """Print the LUNs that a target reports."""
    from midlayer.standards.sam import LunAddress, lun_to_bytes
    from midlayer.standards.spc import ReportLuns, decode_lun_list

    length = _FIRST_LUN_LIST_BYTES
    with closing(find(options)) as device:
        while True:
            cdb = ReportLuns(allocation_length=length).encode()
            result = device.execute(cdb, data_in=length).raise_for_status()
            found = decode_lun_list(bytes(result.data))
            if found.complete or length >= _LONGEST_LUN_LIST_BYTES:
                break
            length = min(8 + 8 * found.claimed, _LONGEST_LUN_LIST_BYTES)
    items = [
        {"lun": lun, "bytes": lun_to_bytes(lun).hex(), "meaning": str(LunAddress.from_int(lun))}
        for lun in found
    ]
    if options.json:
        print_json({"items": items})
        return 0
    print(counted(len(items), "LUN"))
    for item in items:
        print(f"  {item['bytes']}  {item['lun']:<6}  {item['meaning']}")
    return 0


def readcap(options: argparse.Namespace) -> int:
    """Print the capacity of a device."""
    from midlayer.quantities import format_size

    with closing(find(options)) as device:
        described = _read_capacity(device)
    if options.json:
        print_json(described)
        return 0
    blocks, block_size = described["blocks"], described["block_size"]
    size = blocks * block_size
    print(f"{blocks} blocks of {block_size} bytes: {size} bytes, {format_size(size)}")
    print(f"last logical block address: {blocks - 1} ({blocks - 1:#x})")
    if described["thin"] is not None:
        print(f"thin provisioning: {'yes' if described['thin'] else 'no'}")
        print(f"logical blocks in a physical block: {described['logical_per_physical']}")
    return 0


def turs(options: argparse.Namespace) -> int:
    """Send TEST UNIT READY, once or many times."""
    from midlayer.standards.spc import TestUnitReady

    cdb = TestUnitReady().encode()
    failed: Result | None = None
    failures = 0
    with closing(find(options)) as device:
        begin = time.monotonic()
        for _ in range(options.num):
            result = device.execute(cdb)
            if not result.ok:
                failed, failures = result, failures + 1
        elapsed = time.monotonic() - begin
    if options.json:
        rate = options.num / elapsed if elapsed else 0.0
        print_json({"commands": options.num, "failures": failures, "seconds": elapsed, "per_second": rate})
    else:
        if failed is not None:
            print(f"{failures} of {options.num} failed; last: {failed}" if options.num > 1 else str(failed))
        elif options.num == 1:
            print("ready")
        if options.time and elapsed:
            print(f"{options.num} commands in {elapsed:.6f} s, {options.num / elapsed:.0f} a second")
    return 0 if failed is None else of_result(failed)


def raw(options: argparse.Namespace) -> int:
    """Send any command."""
    cdb = _cdb(options)
    data_out = _data_out(options)
    if data_out is not None and options.request is not None:
        raise UsageError("raw: a command moves data one way: give --request or --send, not both")
    to_stdout = options.binary or options.outfile == Path("-")
    if to_stdout and options.json:
        raise UsageError("raw: --json needs standard output for itself; give --outfile FILE")
    with closing(find(options)) as device:
        result = device.execute(cdb, data_out=data_out, data_in=options.request, timeout_s=options.timeout)
    if to_stdout:
        sys.stdout.flush()
        sys.stdout.buffer.write(result.data)
        sys.stdout.buffer.flush()
    elif options.outfile is not None:
        _write_file(options.outfile, result.data)
    if options.json:
        print_json(_result_json(result))
    else:
        _print_result(result, options, to=sys.stderr if to_stdout else sys.stdout)
    return of_result(result)


def _cdb(options: argparse.Namespace) -> bytes:
    """Return the CDB from the command line, or from a file of hexadecimal numbers with comments."""
    words = list(options.cdb)
    if options.cmdfile is not None:
        if words:
            raise UsageError("raw: give the CDB, or --cmdfile, not both")
        lines = _read_file(options.cmdfile).decode(errors="replace").splitlines()
        words = " ".join(line.partition("#")[0].replace(",", " ") for line in lines).split()
    elif not words:
        raise UsageError("raw: give the CDB in hexadecimal: midlayer raw DEVICE 00 00 00 00 00 00")
    try:
        digits = (word.removeprefix("0x") for word in words)
        return bytes.fromhex("".join(byte.zfill(2) if len(byte) == 1 else byte for byte in digits))
    except ValueError:
        raise UsageError(f"raw: {' '.join(words)!r} is not a CDB in hexadecimal") from None


def _data_out(options: argparse.Namespace) -> bytes | None:
    if options.infile is None:
        if options.skip:
            raise UsageError("raw: --skip leaves out bytes of a file; give --infile")
        return bytes(options.send) if options.send is not None else None
    data = _read_file(options.infile)[options.skip :]
    if options.send is not None and len(data) < options.send:
        raise UsageError(f"raw: {options.infile} has {len(data)} bytes, --send asks for {options.send}")
    return data if options.send is None else data[: options.send]


def _read_file(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise UsageError(f"raw: {path}: {error.strerror}") from None


def _write_file(path: Path, data: memoryview) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        told = NodeError(f"{path}: {error.strerror}")
        told.errno = error.errno
        raise told from None


def _result_json(result: Result) -> dict[str, Any]:
    sense = result.sense
    return {
        "address": str(result.address),
        "cdb": result.cdb.hex(),
        "status": int(result.status),
        "host_byte": int(result.host_byte),
        "driver_byte": int(result.driver_byte),
        "outcome": result.outcome,
        "sense": result.sense_data.hex(),
        "sense_text": str(sense) if sense is not None else "",
        "residual": result.residual,
        "duration_s": result.duration_s,
        "data": bytes(result.data).hex(),
    }


def _print_result(result: Result, options: argparse.Namespace, *, to: TextIO) -> None:
    print(clean(str(result)), file=to)
    if result.sense_data and not options.nosense:
        print(f"sense: {result.sense_data.hex(' ')}", file=to)
    if len(result.data) and options.outfile is None and not options.binary:
        print(hex_dump(result.data), file=to)
    if result.residual:
        print(f"residual: {result.residual} bytes were not transferred", file=to)


def _inquiry(device: Executor, length: int, *, page: int | None = None) -> bytes:
    from midlayer.standards.spc import Inquiry

    cdb = Inquiry(evpd=page is not None, page_code=page or 0, allocation_length=length).encode()
    return bytes(device.execute(cdb, data_in=length).raise_for_status().data)


def _vpd_page(device: Executor, code: int) -> bytes:
    length = 252
    while True:
        data = _inquiry(device, length, page=code)
        if len(data) < 4 or data[1] != code:
            said = data[:4].hex(" ") or "nothing"
            raise _malformed(f"VPD page {code:02x}h: the device answered with {said}")
        needed = int.from_bytes(data[2:4], "big") + 4
        if needed <= length:
            return data[:needed]
        length = needed


def _malformed(text: str) -> DaemonError:
    return DaemonError(text, exit_status=MALFORMED)


def _read_capacity(device: Executor) -> dict[str, Any]:
    from midlayer.standards.sbc import ReadCapacity10, ReadCapacity10Data, ReadCapacity16, ReadCapacity16Data
    from midlayer.standards.sense import SenseKey

    result = device.execute(ReadCapacity16(allocation_length=32).encode(), data_in=32)
    if result.ok and len(result.data) >= 12:
        long = ReadCapacity16Data.decode(bytes(result.data))
        return {
            "blocks": long.returned_logical_block_address + 1,
            "block_size": long.block_length_in_bytes,
            "thin": long.lbpme,
            "logical_per_physical": 1 << long.logical_blocks_per_physical_block_exponent,
        }
    sense = result.sense
    if not result.ok and (
        sense is None or sense.key not in (SenseKey.ILLEGAL_REQUEST, SenseKey.UNIT_ATTENTION)
    ):
        result.raise_for_status()
    result = device.execute(ReadCapacity10().encode(), data_in=8).raise_for_status()
    short = ReadCapacity10Data.decode(bytes(result.data))
    if short.returned_logical_block_address == _NEEDS_READ_CAPACITY_16:
        raise _malformed("the device is too big for READ CAPACITY(10) and refuses READ CAPACITY(16)")
    return {
        "blocks": short.returned_logical_block_address + 1,
        "block_size": short.block_length_in_bytes,
        "thin": None,
        "logical_per_physical": None,
    }


def print_fields(fields: dict[str, Any], indent: str = "") -> None:
    """Print names and values, a line each; ``data`` is bytes in hexadecimal."""
    for key, value in fields.items():
        if key == "data":
            print(f"{indent}data:")
            print("\n".join(f"{indent}  {line}" for line in hex_dump(bytes.fromhex(value)).splitlines()))
        elif isinstance(value, list):
            print(f"{indent}{key.replace('_', ' ')}:{'' if value else ' none'}")
            for item in value:
                print(f"{indent}  {clean(_inline(item))}")
        else:
            print(f"{indent}{key.replace('_', ' ')}: {clean(_inline(value))}")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(
            f"{key.replace('_', ' ')} {_inline(item)}" for key, item in value.items() if item != ""
        )
    return str(value)
