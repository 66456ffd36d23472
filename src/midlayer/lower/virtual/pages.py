"""What a virtual logical unit says of itself: INQUIRY data, VPD pages, mode pages."""

from __future__ import annotations

from midlayer.lower.virtual.unit import MAX_TRANSFER_BYTES, VirtualUnit
from midlayer.standards import mode, vpd
from midlayer.standards.spc import PeripheralDeviceType, PeripheralQualifier, StandardInquiry

_ADDITIONAL_LENGTH = 96 - 5
_SAM_5, _SPC_4, _SBC_3 = 0x00A0, 0x0460, 0x04C0
_SPC_2_LEVEL, _SCSI_2_LEVEL = 4, 2
_DISK = PeripheralDeviceType.DIRECT_ACCESS

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
    descriptors = () if old else (_SAM_5, _SPC_4, _SBC_3) if spec.type == _DISK else (_SAM_5, _SPC_4)
    return StandardInquiry(
        peripheral_qualifier=spec.qualifier,
        peripheral_device_type=spec.type,
        rmb=spec.removable,
        version=spec.scsi_level,
        response_data_format=min(spec.scsi_level, 2),
        hisup=not old,
        additional_length=31 if old else _ADDITIONAL_LENGTH,
        cmdque=True,
        t10_vendor_identification=spec.vendor,
        product_identification=spec.product,
        product_revision_level=spec.revision,
        version_descriptors_raw=b"".join(number.to_bytes(2, "big") for number in descriptors),
    ).encode_sized()


def vpd_page(unit: VirtualUnit, code: int) -> bytes | None:
    """Return a VPD page, or None if the unit does not have it."""
    spec = unit.spec
    peripheral = spec.qualifier << 5 | spec.type
    codes = [0x00, 0x80, 0x83, 0x86]
    if unit.blocks and spec.type == _DISK:
        codes += [0xB0, 0xB1, 0xB2]
    if code not in codes:
        return None
    if code == 0x00:
        return vpd.SupportedVpdPages(peripheral=peripheral, pages=tuple(codes)).encode()
    if code == 0x80:
        return vpd.UnitSerialNumber(peripheral=peripheral, serial=spec.serial.encode()).encode()
    if code == 0x83:
        return vpd.DeviceIdentification(peripheral=peripheral, designators=_designators(unit)).encode()
    if code == 0x86:
        return vpd.ExtendedInquiry(peripheral=peripheral, simpsup=True).encode()
    return _block_page(unit, code, peripheral)


def _designators(unit: VirtualUnit) -> tuple[vpd.Designator, ...]:
    spec = unit.spec
    t10 = spec.vendor.ljust(8).encode() + spec.product.ljust(16).encode() + spec.serial.encode()
    return (
        vpd.Designator(code_set=2, association=0, designator_type=1, identifier=t10),
        vpd.Designator(code_set=1, association=0, designator_type=3, identifier=bytes.fromhex(spec.naa)),
    )


def _block_page(unit: VirtualUnit, code: int, peripheral: int) -> bytes:
    spec = unit.spec
    if code == 0xB0:
        return vpd.BlockLimits(
            peripheral=peripheral,
            wsnz=False,
            maximum_transfer_length=unit.max_blocks,
            optimal_transfer_length=min(1 << 20, MAX_TRANSFER_BYTES) // unit.block_size,
            maximum_unmap_lba_count=0xFFFFFFFF if spec.thin else 0,
            maximum_unmap_block_descriptor_count=256 if spec.thin else 0,
            optimal_unmap_granularity=max(1, 4096 // unit.block_size) if spec.thin else 0,
            maximum_write_same_length=unit.blocks,
        ).encode()
    if code == 0xB1:
        return vpd.BlockDeviceCharacteristics(
            peripheral=peripheral, medium_rotation_rate=spec.rotation_rate
        ).encode()
    return vpd.LogicalBlockProvisioning(
        peripheral=peripheral, lbpu=spec.thin, lbpws=spec.thin, lbpws10=spec.thin, lbprz=int(spec.thin),
        provisioning_type=2 if spec.thin else 0,
    ).encode()  # fmt: skip


def block_descriptor(unit: VirtualUnit, *, long: bool) -> bytes:
    """Return the block descriptor of MODE SENSE; empty for a unit without blocks."""
    if not unit.blocks:
        return b""
    if long:
        return mode.LongBlockDescriptor(
            number_of_logical_blocks=unit.blocks, logical_block_length=unit.block_size
        ).encode()
    return mode.ShortBlockDescriptor(
        number_of_logical_blocks=min(unit.blocks, 0xFFFFFFFF), logical_block_length=unit.block_size
    ).encode()


def mode_pages(unit: VirtualUnit, *, changeable: bool) -> dict[int, bytes]:
    """Return the mode pages by code; for `changeable`, the same pages with nothing in them.

    No mode parameter can be changed, so each mask of changeable values is zero.
    """
    control = mode.ControlPage()
    exceptions = mode.InformationalExceptionsPage(dexcpt=True)
    known = {0x0A: control.encode(), 0x1C: exceptions.encode()}
    if unit.blocks:
        recovery = mode.ReadWriteErrorRecoveryPage(awre=True, arre=True)
        known[0x01] = recovery.encode()
        known[0x08] = mode.CachingPage(wce=not unit.spec.write_protected).encode()
    if changeable:
        return {code: page[:2] + bytes(len(page) - 2) for code, page in known.items()}
    return known
