"""Attributes of ours: what INQUIRY data and VPD pages say, by name, for ``ATTR{}`` and ``ATTRS{}``.

================================  ==========================================================================
``peripheral_qualifier``          0 to 7: 0 is a device that is there, 1 and 3 are none now, or never
``device_type``                   0 disk, 1 tape, 5 CD, 8 changer, 13 enclosure … 31 none
``inquiry/NAME``                  a field of `StandardInquiry`; a bit is 0 or 1
``vpd/serial``                    unit serial number, from page 80h
``vpd/wwid``, ``vpd/by_id``       the name that Linux, and that udev, make of page 83h
``vpd/HH/NAME``                   a field of page HH: ``vpd/b1/medium_rotation_rate``
================================  ==========================================================================

No attribute of sysfs has a name with a slash, and the kernel has neither of the first two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from midlayer.layout import Layout, LayoutError
from midlayer.standards import vpd
from midlayer.standards.designators import persistent_name, wwid
from midlayer.standards.spc import StandardInquiry

VPD_PAGES = (0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2, 0xB7)
"""Pages that the kernel keeps a file for, but the list of pages."""

_PLAIN = {"peripheral_qualifier": "peripheral_qualifier", "device_type": "peripheral_device_type"}
_HEADER = frozenset({"peripheral", "page_code", "page_length", "vendor_specific", "version_descriptors_raw"})


def is_ours(name: str) -> bool:
    """Return whether a name may be one of these."""
    return name in _PLAIN or name.startswith(("inquiry/", "vpd/"))


def value(name: str, inquiry: bytes, pages: Mapping[int, bytes]) -> str | None:
    """Return a field as text; None if the device has none of that name.

    Args:
        name: Such as ``peripheral_qualifier`` or ``vpd/serial``.
        inquiry: Standard INQUIRY data.
        pages: VPD pages, headers included.
    """
    if not inquiry:
        return None
    return _all(bytes(inquiry), tuple(sorted(pages.items()))).get(name)


def names(inquiry: bytes, pages: Mapping[int, bytes]) -> list[str]:
    """Return the names that a device has values for."""
    return list(_all(bytes(inquiry), tuple(sorted(pages.items())))) if inquiry else []


@lru_cache(maxsize=256)
def _all(inquiry: bytes, pages: tuple[tuple[int, bytes], ...]) -> dict[str, str]:
    try:
        decoded = StandardInquiry.decode(inquiry)
    except LayoutError:
        return {}
    found = {name: str(int(getattr(decoded, field))) for name, field in _PLAIN.items()}
    found |= _of_layout("inquiry", decoded)
    by_code = dict(pages)
    found |= {
        name: text
        for name, text in (
            ("vpd/serial", _serial(by_code.get(0x80))),
            ("vpd/wwid", wwid(by_code.get(0x83))),
            (
                "vpd/by_id",
                persistent_name(by_code.get(0x83), by_code.get(0x80), decoded.vendor, decoded.product),
            ),
        )
        if text
    }
    for code, data in pages:
        try:
            page = vpd.decode_page(data)
        except LayoutError:
            continue
        if isinstance(page, Layout):
            found |= _of_layout(f"vpd/{code:02x}", page)
    return found


def _of_layout(prefix: str, layout: Layout) -> dict[str, str]:
    return {
        f"{prefix}/{name}": _text(getattr(layout, name))
        for name in layout.fields
        if name not in _HEADER and layout.has(name)
    }


def _text(item: object) -> str:
    return str(int(item)) if isinstance(item, int) else str(item)


def _serial(page: bytes | None) -> str:
    if not page:
        return ""
    try:
        return vpd.UnitSerialNumber.decode(page).text
    except LayoutError:
        return ""
