"""scsi_id: the properties that udev's program of this name gives, from pages that were read already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from midlayer.layout import LayoutError
from midlayer.rules.running import ProgramResult
from midlayer.rules.text import escape, replace_characters, replace_white_space
from midlayer.standards.designators import (
    Association,
    CodeSet,
    DesignatorType,
    decode_designators,
    persistent_name,
)
from midlayer.standards.spc import StandardInquiry

if TYPE_CHECKING:
    from midlayer.rules.view import DeviceView

_TYPES = {
    0x00: "disk", 0x01: "tape", 0x04: "optical", 0x05: "cd", 0x07: "optical", 0x0E: "disk", 0x0F: "optical",
}  # fmt: skip


def properties(inquiry: bytes, pages: Mapping[int, bytes]) -> dict[str, str] | None:
    """Return what ``scsi_id --export`` prints, in its order; None if the device has no name.

    Args:
        inquiry: Standard INQUIRY data.
        pages: VPD pages 80h and 83h, headers included.
    """
    try:
        decoded = StandardInquiry.decode(inquiry)
    except LayoutError:
        return None
    # A device ends such a text early with a NUL, and udev has it that way too.
    vendor, model, revision = (
        inquiry[first:end].split(b"\0", 1)[0].decode("latin-1")
        for first, end in ((8, 16), (16, 32), (32, 36))
    )
    name = persistent_name(pages.get(0x83), pages.get(0x80), decoded.vendor, decoded.product)
    serial = (name or "").removeprefix("scsi-")
    short, wwn = _short(pages, serial)
    found = {
        "ID_SCSI": "1",
        "ID_VENDOR": _cleaned(vendor),
        "ID_VENDOR_ENC": escape(vendor),
        "ID_MODEL": _cleaned(model),
        "ID_MODEL_ENC": escape(model),
        "ID_REVISION": _cleaned(revision),
        "ID_TYPE": _TYPES.get(decoded.peripheral_device_type, "generic"),
    }
    if serial:
        found |= {"ID_SERIAL": serial, "ID_SERIAL_SHORT": short}
    if wwn:
        found["ID_WWN"] = f"0x{wwn[:16]}"
        if len(wwn) > 16:
            found["ID_WWN_VENDOR_EXTENSION"] = f"0x{wwn[16:]}"
        found["ID_WWN_WITH_EXTENSION"] = f"0x{wwn}"
    group = _target_port_group(pages.get(0x83))
    if group:
        found["ID_TARGET_PORT"] = group
    unit = _unit_serial(pages.get(0x80))
    if unit:
        found["ID_SCSI_SERIAL"] = unit
    return found


def as_program(view: DeviceView) -> ProgramResult:
    """Answer in place of the program: for our own devices, and where udev is not installed."""
    inquiry, pages = raw(view)
    found = properties(inquiry, pages) if inquiry else None
    if found is None:
        return ProgramResult(1, "")
    return ProgramResult(0, "".join(f"{key}={value}\n" for key, value in found.items()))


def raw(view: DeviceView) -> tuple[bytes, dict[int, bytes]]:
    """Return INQUIRY data and VPD pages of the logical unit that a device is, or belongs to."""
    step: DeviceView | None = view
    while step is not None:
        if inquiry := step.binary("inquiry"):
            pages = {code: step.binary(f"vpd_pg{code:x}") for code in (0x80, 0x83)}
            return inquiry, {code: page for code, page in pages.items() if page}
        step = step.parent
    return b"", {}


def _cleaned(text: str) -> str:
    return replace_characters(replace_white_space(text))


def _body(page: bytes | None) -> bytes:
    return page[4 : 4 + int.from_bytes(page[2:4], "big")] if page and len(page) >= 4 else b""


def _unit_serial(page: bytes | None) -> str:
    """Return the serial number as it is, but for what would end a line."""
    text = _body(page).split(b"\0", 1)[0].decode("latin-1")
    return "".join(letter if letter.isprintable() else "_" for letter in text).strip()


def _short(pages: Mapping[int, bytes], serial: str) -> tuple[str, str]:
    """Return the serial without what was put before it, and the NAA identifier if it is one."""
    if not serial:
        return "", ""
    if serial[0] == "S":
        return _cleaned(_unit_serial(pages.get(0x80))), ""
    digits = serial[1:]
    if serial[0] == "0":  # vendor specific: vendor and model stand before it
        for one in decode_designators(_body(pages.get(0x83))):
            if one.designator_type == DesignatorType.VENDOR_SPECIFIC:
                text = _cleaned(one.text if one.code_set == CodeSet.ASCII else one.hex)
                return (text, "") if digits.endswith(text) else (digits, "")
    return digits, digits if serial[0] == "3" else ""


def _target_port_group(page: bytes | None) -> str:
    """Return the target port group in hexadecimal, which udev calls ID_TARGET_PORT."""
    for one in decode_designators(_body(page)):
        if (
            one.association in (Association.LOGICAL_UNIT, Association.TARGET_PORT)
            and one.designator_type == DesignatorType.TARGET_PORT_GROUP
            and one.code_set == CodeSet.BINARY
            and len(one.identifier) == 4
        ):
            return f"{int.from_bytes(one.identifier[2:], 'big'):x}"
    return ""


__all__ = ["as_program", "properties", "raw"]
