"""Verbs that make sense of bytes: ``sense``, ``modes`` and ``opcodes``."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from midlayer.errors import UsageError
from midlayer.frontends.cli.commands import find, print_fields
from midlayer.frontends.cli.output import Column, print_json, print_table
from midlayer.layout import Layout
from midlayer.mid.command import Result
from midlayer.quantities import counted
from midlayer.standards import mode
from midlayer.standards.opcodes import command_name, describe_cdb
from midlayer.standards.sense import Sense
from midlayer.standards.spc import (
    ModeSense6,
    ModeSense10,
    ReportSupportedOperationCodes,
    SupportedOpcode,
    decode_supported_opcodes,
)

_MODE_BYTES = 4096
_OPCODES_BYTES = 8192
VARIABLE_LENGTH = 0x7F

PAGE_NAMES: dict[int, str] = {
    0x01: "read-write error recovery",
    0x08: "caching",
    0x0A: "control",
    0x1C: "informational exceptions control",
}
_PAGE_HEADER = frozenset({"page_code", "page_length", "spf", "ps"})


def sense(options: argparse.Namespace) -> int:
    """Say what sense data means, or which command a CDB is."""
    data = _bytes(options)
    if options.cdb:
        text = describe_cdb(data)
        print_json({"cdb": data.hex(), "text": text}) if options.json else print(text)
        return 0
    decoded = Sense.decode(data)
    if decoded is None:
        raise UsageError(f"sense: {data[:1].hex() or 'nothing'} is no response code of sense data (70 to 73)")
    described = describe_sense(decoded)
    if options.json:
        print_json(described)
        return 0
    print(described.pop("text"))
    print_fields(described, indent="  ")
    return 0


def describe_sense(decoded: Sense) -> dict[str, Any]:
    """Return sense data by name; what the device did not say is left out."""
    pointer = decoded.field_pointer
    described: dict[str, Any] = {
        "text": str(decoded),
        "format": "descriptor" if decoded.descriptor_format else "fixed",
        "deferred": decoded.deferred,
        "key": int(decoded.key),
        "asc": f"{decoded.asc:02x}h",
        "ascq": f"{decoded.ascq:02x}h",
        "information": decoded.information,
        "command_specific": decoded.command_specific,
        "field_pointer": str(pointer) if pointer is not None else None,
        "progress": decoded.progress,
        "fru": decoded.fru or None,
        "flags": [name for name in ("filemark", "eom", "ili", "sdat_ovfl") if getattr(decoded, name)] or None,
        "sense": decoded.raw.hex(),
    }
    return {key: value for key, value in described.items() if value is not None}


def modes(options: argparse.Namespace) -> int:
    """Print mode pages."""
    with closing(find(options)) as device:
        page = 0x3F if options.page is None else options.page
        control = {"current": 0, "changeable": 1, "default": 2, "saved": 3}[options.values]
        ten = ModeSense10(page_control=control, page_code=page, allocation_length=_MODE_BYTES)
        result = device.execute(ten.encode(), data_in=_MODE_BYTES)
        long = not _refused_opcode(result)
        if not long:
            six = ModeSense6(page_control=control, page_code=page, allocation_length=252)
            result = device.execute(six.encode(), data_in=252)
        result.raise_for_status()
    parameters = mode.decode_mode_sense(bytes(result.data), long)
    header, pages = parameters.header, [_describe_page(one) for one in parameters.pages]
    if options.json:
        print_json({"write_protected": header.wp, "dpofua": header.dpofua, "pages": pages})
        return 0
    print(f"write protected: {'yes' if header.wp else 'no'}")
    for one in pages:
        print(f"\nmode page {one.pop('page')}: {one.pop('name')}")
        print_fields(one, indent="  ")
    return 0


def opcodes(options: argparse.Namespace) -> int:
    """Print the commands that a device says it supports."""
    length = _OPCODES_BYTES
    with closing(find(options)) as device:
        cdb = ReportSupportedOperationCodes(allocation_length=length).encode()
        result = device.execute(cdb, data_in=length).raise_for_status()
    items = [_describe_opcode(one) for one in decode_supported_opcodes(bytes(result.data))]
    if options.json:
        print_json({"items": items})
        return 0
    rows = [
        (one["opcode"], one["service_action"] or "", str(one["cdb_length"]), one["name"]) for one in items
    ]
    print_table((Column("OPCODE", 2), Column("ACTION", 1), Column("BYTES"), Column("COMMAND", 3)), rows)
    print(counted(len(items), "command"))
    return 0


def _describe_opcode(one: SupportedOpcode) -> dict[str, Any]:
    action = one.service_action
    cdb = bytes((one.opcode, (action or 0) & 0x1F)).ljust(max(one.cdb_length, 10), b"\0")
    if one.opcode == VARIABLE_LENGTH:
        cdb = cdb[:8] + (action or 0).to_bytes(2, "big") + cdb[10:]
    return {
        "opcode": f"{one.opcode:02x}h",
        "service_action": None if action is None else f"{action:02x}h",
        "cdb_length": one.cdb_length,
        "name": command_name(cdb),
    }


def _describe_page(one: mode.SplitPage) -> dict[str, Any]:
    code = f"{one.page:02x}h" + (f",{one.subpage:02x}h" if one.subpage else "")
    described: dict[str, Any] = {"page": code, "name": "not decoded"}
    kind = mode.PAGES.get(one.page) if not one.subpage else None
    if kind is not None:
        page: Layout = kind.decode(one.data)
        described["name"] = PAGE_NAMES[one.page]
        described |= {
            name: getattr(page, name) for name in page.fields if name not in _PAGE_HEADER and page.has(name)
        }
    return described | {"data": one.data.hex()}


def _refused_opcode(result: Result) -> bool:
    decoded = result.sense
    return decoded is not None and (decoded.key, decoded.asc, decoded.ascq) == (5, 0x20, 0)


def _bytes(options: argparse.Namespace) -> bytes:
    if options.file is not None:
        try:
            text = sys.stdin.read() if options.file == Path("-") else options.file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"sense: {options.file}: {error}") from None
        words = text.split()
    else:
        words = options.bytes
    try:
        data = bytes.fromhex("".join(word.removeprefix("0x").zfill(2) for word in words))
    except ValueError:
        raise UsageError(f"sense: {' '.join(words)[:60]!r} is not hexadecimal") from None
    if not data:
        raise UsageError("sense: give bytes in hexadecimal, such as 70 00 05 00 00 00 00 0a, or --file FILE")
    return data
