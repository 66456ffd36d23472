"""The verb ``logs``: log pages of a device."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from midlayer.frontends.cli.commands import find
from midlayer.frontends.cli.output import clean, print_json
from midlayer.standards.log_pages import LogPage, describe, page_name
from midlayer.standards.spc import LogSense

if TYPE_CHECKING:
    from midlayer.frontends.cli.client import Executor

_CUMULATIVE = 1
_FIRST_BYTES, _MOST_BYTES = 512, 0xFFFC
_SUPPORTED_PAGES = 0x00


def logs(options: argparse.Namespace) -> int:
    """Print log pages: one, or all that the device has."""
    with closing(find(options)) as device:
        if options.page is not None:
            pages = [_read(device, options.page)]
        else:
            listed = LogPage.decode(_read(device, _SUPPORTED_PAGES)).listed
            pages = [_read(device, code) for code, subpage in listed if code and not subpage]
    described = [describe_page(data) for data in pages]
    if options.json:
        print_json({"items": described})
        return 0
    for number, page in enumerate(described):
        if number:
            print()
        print(f"log page {page['page']}: {page['name']}")
        for parameter in page["parameters"]:
            print(f"  {parameter['name']}: {clean(parameter['value'])}")
    return 0


def describe_page(data: bytes) -> dict[str, Any]:
    """Return a log page by name; the pages of a list are its parameters."""
    page = LogPage.decode(data)
    rows = zip(page.parameters, describe(page), strict=True)
    parameters = [{"code": f"{one.code:04x}h", "name": name, "value": value} for one, (name, value) in rows]
    if not page.page:
        parameters = [
            {"code": f"{code:02x}h", "name": page_name(code, subpage), "value": "supported"}
            for code, subpage in page.listed
        ]
    return {
        "page": f"{page.page:02x}h",
        "name": page_name(page.page, page.subpage),
        "parameters": parameters,
        "data": data.hex(),
    }


def _read(device: Executor, code: int) -> bytes:
    """Read a page, with a second command if the first one had too little room."""
    length = _FIRST_BYTES
    while True:
        cdb = LogSense(page_control=_CUMULATIVE, page_code=code, allocation_length=length).encode()
        data = bytes(device.execute(cdb, data_in=length).raise_for_status().data)
        needed = min(4 + int.from_bytes(data[2:4], "big"), _MOST_BYTES)
        if needed <= length:
            return data[:needed]
        length = needed
