"""INQUIRY data and VPD pages as names and values, for people and for JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from midlayer.layout import Layout
from midlayer.standards import vpd
from midlayer.standards.designators import Association, CodeSet, Designator, DesignatorType
from midlayer.standards.spc import StandardInquiry

NAMES: dict[int, str] = {
    0x00: "supported VPD pages",
    0x80: "unit serial number",
    0x83: "device identification",
    0x86: "extended INQUIRY data",
    0x87: "mode page policy",
    0x88: "SCSI ports",
    0x8F: "third-party copy",
    0xB0: "block limits",
    0xB1: "block device characteristics",
    0xB2: "logical block provisioning",
}


def describe_inquiry(inquiry: StandardInquiry, data: bytes) -> dict[str, Any]:
    """Return standard INQUIRY data by name; only fields that the device really sent."""
    described: dict[str, Any] = {
        "qualifier": f"{inquiry.peripheral_qualifier:03b}b",
        "qualifier_meaning": inquiry.qualifier.meaning,
        "type": inquiry.peripheral_device_type,
        "type_name": inquiry.device_type.description,
    }
    for name, field in (
        ("vendor", "t10_vendor_identification"),
        ("model", "product_identification"),
        ("revision", "product_revision_level"),
        ("removable", "rmb"),
        ("version", "version"),
        ("response_data_format", "response_data_format"),
        ("command_queueing", "cmdque"),
        ("protection", "protect"),
        ("target_port_groups", "tpgs"),
    ):
        if inquiry.has(field):
            described[name] = getattr(inquiry, field)
    if inquiry.version_descriptors:
        described["version_descriptors"] = [f"{number:04x}h" for number in inquiry.version_descriptors]
    described["data"] = data.hex()
    return described


def describe_vpd_page(data: bytes) -> dict[str, Any]:
    """Return a VPD page by name; one of an unknown kind, or one that is damaged, as its bytes."""
    code = data[1]
    described: dict[str, Any] = {"page": f"{code:02x}h", "name": NAMES.get(code, "not decoded")}
    try:
        page = vpd.decode_page(data)
    except ValueError as error:
        return described | {"damaged": str(error), "data": data.hex()}
    return described | _fields(page) | {"data": data.hex()}


def _fields(page: Any) -> dict[str, Any]:
    if isinstance(page, vpd.SupportedVpdPages):
        return {"pages": [f"{code:02x}h {NAMES.get(code, '')}".strip() for code in page.pages]}
    if isinstance(page, vpd.UnitSerialNumber):
        return {"serial": page.text}
    if isinstance(page, vpd.DeviceIdentification):
        return {"designators": [_designator(one) for one in page.designators]}
    if isinstance(page, Layout):
        return {name: getattr(page, name) for name in page.fields if name not in _HEADER and page.has(name)}
    listed = _LISTS.get(page.page_code)
    return listed(page.body) if listed is not None else {}


def _policies(body: bytes) -> dict[str, Any]:
    """Page 87h: a mode page, and by whom its values are shared (SPC-4 7.8.9)."""
    names = ("shared", "per target port", "reserved", "per I_T nexus")
    return {
        "policies": [
            {"page": f"{body[at] & 0x3F:02x}h,{body[at + 1]:02x}h", "policy": names[body[at + 2] & 3]}
            for at in range(0, len(body) - 3, 4)
        ]
    }


def _ports(body: bytes) -> dict[str, Any]:
    """Page 88h: relative target port identifiers (SPC-4 7.8.12)."""
    ports, at = [], 0
    while at + 12 <= len(body):
        ports.append(int.from_bytes(body[at + 2 : at + 4], "big"))
        at += 8 + int.from_bytes(body[at + 6 : at + 8], "big")
        at += 4 + int.from_bytes(body[at + 2 : at + 4], "big")
    return {"ports": ports}


def _copy_descriptors(body: bytes) -> dict[str, Any]:
    """Page 8Fh: third-party copy descriptors by their type (SPC-4 7.8.17)."""
    descriptors, at = [], 0
    while at + 4 <= len(body):
        end = at + 4 + int.from_bytes(body[at + 2 : at + 4], "big")
        kind = int.from_bytes(body[at : at + 2], "big")
        descriptors.append({"type": f"{kind:04x}h", "bytes": body[at + 4 : end].hex()})
        at = end
    return {"descriptors": descriptors}


_LISTS: dict[int, Callable[[bytes], dict[str, Any]]] = {
    0x87: _policies,
    0x88: _ports,
    0x8F: _copy_descriptors,
}


def _designator(one: Designator) -> dict[str, Any]:
    text = one.code_set in (CodeSet.ASCII, CodeSet.UTF8)
    return {
        "association": _name(Association, one.association),
        "type": _name(DesignatorType, one.designator_type),
        "code_set": _name(CodeSet, one.code_set),
        "identifier": one.text if text else one.hex,
    }


def _name(enum: Any, value: int) -> str:
    try:
        return str(enum(value).name).lower().replace("_", " ")
    except ValueError:
        return f"reserved {value:#x}"


_HEADER = frozenset({"peripheral", "page_code", "page_length"})
