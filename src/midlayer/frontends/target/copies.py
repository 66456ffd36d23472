"""EXTENDED COPY through a target: it reaches no logical unit that its initiator could not reach itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from midlayer.frontends.target.export import ExportedLun
from midlayer.standards.extended_copy import BlockToBlockSegment, IdentificationCscd, ParameterListHeader
from midlayer.standards.sense import SenseKey, fixed_sense

_UNREACHABLE = fixed_sense(SenseKey.COPY_ABORTED, 0x0D, 0x02)
_WRITE_PROTECTED = fixed_sense(SenseKey.COPY_ABORTED, 0x27)
_CSCD_TYPE = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x26, 0x07)
_SEGMENT_TYPE = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x26, 0x09)
_SERVICE_ACTION = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x24)
_LID1, _LID4 = 0, 1
_DEVICE_IDENTIFICATION = 0x83
_CSCD, _SEGMENT = IdentificationCscd, BlockToBlockSegment


class _Place(NamedTuple):
    """A unit that an initiator sees: the page with its designators, and whether it may write there."""

    page: bytes
    writable: bool


def refusal(cdb: bytes, data: bytes | bytearray | memoryview | None, seen: Iterable[ExportedLun]) -> bytes:
    """Return why a third-party copy must not go to the device, as sense data; empty if it may.

    What is wrong in itself is left to the device: it refuses lists that can not be decoded.

    Args:
        cdb: A command with the operation code 83h.
        data: Its parameter list.
        seen: What the initiator sees.
    """
    action = cdb[1] & 0x1F
    if action == _LID4:
        return _SERVICE_ACTION
    if action != _LID1 or not data:
        return b""  # tokens name no unit
    try:
        return _refusal(bytes(data), list(_places(seen)))
    except (struct.error, ValueError):
        return b""


def _places(seen: Iterable[ExportedLun]) -> Iterable[_Place]:
    for exported in set(seen):
        device = exported.device()
        if device is not None:
            page = device.vpd_pages.get(_DEVICE_IDENTIFICATION, b"")
            yield _Place(page, not exported.read_only)


def _refusal(data: bytes, places: list[_Place]) -> bytes:
    header = ParameterListHeader.decode(data[: ParameterListHeader.size])
    first = ParameterListHeader.size
    middle = first + header.cscd_descriptor_list_length
    end = middle + header.segment_descriptor_list_length
    named: list[list[_Place]] = []
    for at in range(first, min(middle, len(data)), _CSCD.size):
        if data[at] != _CSCD.descriptor_type:
            return _CSCD_TYPE
        designator = _CSCD.decode(data[at : at + _CSCD.size]).designator
        found = [place for place in places if len(designator) >= 8 and designator in place.page]
        if not found:
            return _UNREACHABLE
        named.append(found)
    for at in range(middle, min(end, len(data)), _SEGMENT.size):
        if data[at] != _SEGMENT.descriptor_type:
            return _SEGMENT_TYPE
        to = _SEGMENT.decode(data[at : at + _SEGMENT.size]).destination_cscd
        if to < len(named) and not any(place.writable for place in named[to]):
            return _WRITE_PROTECTED
    return b""
