"""Standard INQUIRY data of a virtual logical unit (SPC-4 6.6.2)."""

from __future__ import annotations

from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import PeripheralDeviceType, PeripheralQualifier, StandardInquiry

_ADDITIONAL_LENGTH = 96 - 5
_SAM_5, _SPC_4 = 0x00A0, 0x0460
_SPC_2_LEVEL, _SCSI_2_LEVEL = 4, 2
_BY_COMMAND_AND_BY_ITSELF = 3  # how access states change: SET TARGET PORT GROUPS, and the device
_STANDARDS = {
    PeripheralDeviceType.DIRECT_ACCESS: 0x04C0,  # SBC-3
    PeripheralDeviceType.SEQUENTIAL_ACCESS: 0x0520,  # SSC-4
    PeripheralDeviceType.CD_DVD: 0x04E0,  # MMC-6
    PeripheralDeviceType.MEDIUM_CHANGER: 0x0480,  # SMC-3
    PeripheralDeviceType.ENCLOSURE_SERVICES: 0x0580,  # SES-3
}
"""Version descriptor of each type's own standard, none of them with a revision."""

NO_LOGICAL_UNIT = StandardInquiry(
    peripheral_qualifier=PeripheralQualifier.NOT_SUPPORTED,
    peripheral_device_type=PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE,
    version=6,
    response_data_format=2,
    additional_length=31,
    t10_vendor_identification="MIDLAYER",
).encode_sized()
"""INQUIRY data of a LUN that the target does not have."""


def standard_inquiry(unit: VirtualUnit) -> bytes:
    """Return standard INQUIRY data; 36 bytes for SCSI-2 and older, else 96 with version descriptors."""
    spec = unit.spec
    old = spec.scsi_level <= _SCSI_2_LEVEL
    own = _STANDARDS.get(PeripheralDeviceType(spec.type))
    descriptors = () if old else (_SAM_5, _SPC_4) if own is None else (_SAM_5, _SPC_4, own)
    return StandardInquiry(
        peripheral_qualifier=spec.qualifier,
        peripheral_device_type=spec.type,
        rmb=spec.is_removable,
        version=spec.scsi_level,
        response_data_format=min(spec.scsi_level, 2),
        hisup=not old,
        additional_length=31 if old else _ADDITIONAL_LENGTH,
        tpgs=_BY_COMMAND_AND_BY_ITSELF if unit.ports.alua else 0,
        threepc=not old and Opcode.THIRD_PARTY_COPY_OUT in unit.commands,
        encserv=spec.type == PeripheralDeviceType.ENCLOSURE_SERVICES,
        cmdque=True,
        t10_vendor_identification=spec.vendor,
        product_identification=spec.product,
        product_revision_level=spec.revision,
        version_descriptors_raw=b"".join(number.to_bytes(2, "big") for number in descriptors),
    ).encode_sized()
