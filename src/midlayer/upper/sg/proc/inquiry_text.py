"""Vendor, model and revision as the kernel keeps them: fixed width, and printable (rule SC-6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit

_VENDOR, _MODEL, _REVISION = slice(8, 16), slice(16, 32), slice(32, 36)


class Identity(NamedTuple):
    """Three texts of 8, 16 and 4 characters."""

    vendor: str
    model: str
    revision: str


def identity(device: LogicalUnit) -> Identity:
    """Return the identification of a device; spaces where its INQUIRY data is too short."""
    data = device.inquiry_data
    return Identity(*(_sanitized(data, place) for place in (_VENDOR, _MODEL, _REVISION)))


def _sanitized(data: bytes, place: slice) -> str:
    """Blank what is not printable, and everything after a NUL."""
    kept = data[place].split(b"\0", 1)[0]
    text = "".join(chr(byte) if 0x20 <= byte <= 0x7E else " " for byte in kept)
    return text.ljust(place.stop - place.start)
