"""INQUIRY data and VPD pages as names and values, for people and for JSON."""

from __future__ import annotations

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
    return {}


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
