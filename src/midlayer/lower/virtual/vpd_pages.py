"""VPD pages of a virtual logical unit (SPC-4 7.8, SBC-3 6.6), as its commands and settings make them."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.lower.virtual.unit import MAX_TRANSFER_BYTES, VirtualUnit
from midlayer.mid.nexus import Nexus
from midlayer.standards import extended_copy, vpd
from midlayer.standards.opcodes import Opcode
from midlayer.standards.spc import PeripheralDeviceType

MAX_COMPARE_AND_WRITE_BLOCKS = 255
MAX_UNMAP_DESCRIPTORS = 256
THRESHOLD_SET_BYTES = 1 << 20
"""What LOG SENSE and the thresholds of a thin disk count in."""

_READS_AFTER_ERASE = 0b01  # blocks can be read, and are zeros, after SANITIZE
_UNMAP_GRANULARITY_BYTES = 4096
_ALL_PAGES = b"\x3f\xff\x00\x00"  # mode page policy: every page and subpage is shared by all initiators


def threshold_exponent(unit: VirtualUnit) -> int:
    """Return the power of two of how many blocks a threshold set has."""
    return (THRESHOLD_SET_BYTES // unit.block_size).bit_length() - 1


def vpd_page(unit: VirtualUnit, code: int, nexus: Nexus) -> bytes | None:
    """Return a VPD page as the initiator at `nexus` gets it, or None if the unit does not have it."""
    codes = _codes(unit)
    if code not in codes:
        return None
    peripheral = unit.spec.qualifier << 5 | unit.spec.type
    if code == 0x00:
        return vpd.SupportedVpdPages(peripheral=peripheral, pages=tuple(codes)).encode()
    if code == 0x83:
        return vpd.DeviceIdentification(peripheral=peripheral, designators=_designators(unit, nexus)).encode()
    return _PAGES[code](unit, peripheral)


def _codes(unit: VirtualUnit) -> list[int]:
    codes = [0x00, 0x80, 0x83, 0x86, 0x87, 0x88]
    if Opcode.THIRD_PARTY_COPY_OUT in unit.commands:
        codes.append(0x8F)
    if unit.blocks and unit.spec.type == PeripheralDeviceType.DIRECT_ACCESS:
        codes += [0xB0, 0xB1, 0xB2]
    return codes


def _designators(unit: VirtualUnit, nexus: Nexus) -> tuple[vpd.Designator, ...]:
    spec = unit.spec
    t10 = spec.vendor.ljust(8).encode() + spec.product.ljust(16).encode() + spec.serial.encode()
    own = (
        vpd.Designator(code_set=2, association=0, designator_type=1, identifier=t10),
        vpd.Designator(code_set=1, association=0, designator_type=3, identifier=bytes.fromhex(spec.naa)),
    )
    if not unit.ports.alua:
        return own
    number = bytes(2) + nexus.relative_target_port.to_bytes(2, "big")
    return (
        *own,
        vpd.Designator(code_set=1, association=1, designator_type=4, identifier=number),
        vpd.Designator(code_set=1, association=1, designator_type=5, identifier=number),
    )


def _serial(unit: VirtualUnit, peripheral: int) -> bytes:
    return vpd.UnitSerialNumber(peripheral=peripheral, serial=unit.spec.serial.encode()).encode()


def _extended(unit: VirtualUnit, peripheral: int) -> bytes:
    return vpd.ExtendedInquiry(peripheral=peripheral, simpsup=True, v_sup=unit.blocks > 0).encode()


def _mode_page_policy(unit: VirtualUnit, peripheral: int) -> bytes:
    return vpd.GenericPage(page_code=0x87, peripheral=peripheral, body=_ALL_PAGES).encode()


def _ports(unit: VirtualUnit, peripheral: int) -> bytes:
    body = b"".join(bytes(2) + number.to_bytes(2, "big") + bytes(8) for number in unit.ports.numbers)
    return vpd.GenericPage(page_code=0x88, peripheral=peripheral, body=body).encode()


def _third_party_copy(unit: VirtualUnit, peripheral: int) -> bytes:
    return vpd.GenericPage(
        page_code=0x8F, peripheral=peripheral, body=extended_copy.third_party_copy_page()
    ).encode()


def _block_limits(unit: VirtualUnit, peripheral: int) -> bytes:
    thin, physical = unit.spec.thin, 1 << unit.spec.physical_exponent
    return vpd.BlockLimits(
        peripheral=peripheral,
        maximum_compare_and_write_length=MAX_COMPARE_AND_WRITE_BLOCKS,
        maximum_transfer_length=unit.max_blocks,
        optimal_transfer_length_granularity=physical if physical > 1 else 0,
        optimal_transfer_length=min(1 << 20, MAX_TRANSFER_BYTES) // unit.block_size,
        maximum_unmap_lba_count=0xFFFFFFFF if thin else 0,
        maximum_unmap_block_descriptor_count=MAX_UNMAP_DESCRIPTORS if thin else 0,
        optimal_unmap_granularity=max(physical, _UNMAP_GRANULARITY_BYTES // unit.block_size) if thin else 0,
        maximum_write_same_length=unit.blocks,
        maximum_atomic_transfer_length=unit.max_blocks,
    ).encode()


def _characteristics(unit: VirtualUnit, peripheral: int) -> bytes:
    return vpd.BlockDeviceCharacteristics(
        peripheral=peripheral,
        medium_rotation_rate=unit.spec.rotation_rate,
        wabereq=_READS_AFTER_ERASE if unit.spec.thin else 0,
        wacereq=_READS_AFTER_ERASE,
        fuab=True,
    ).encode()


def _provisioning(unit: VirtualUnit, peripheral: int) -> bytes:
    thin = unit.spec.thin
    return vpd.LogicalBlockProvisioning(
        peripheral=peripheral,
        threshold_exponent=threshold_exponent(unit) if thin else 0,
        lbpu=thin,
        lbpws=thin,
        lbpws10=thin,
        lbprz=int(thin),
        provisioning_type=2 if thin else 0,
        threshold_percentage=unit.spec.pool_threshold,
    ).encode()


_PAGES: dict[int, Callable[[VirtualUnit, int], bytes]] = {
    0x80: _serial,
    0x86: _extended,
    0x87: _mode_page_policy,
    0x88: _ports,
    0x8F: _third_party_copy,
    0xB0: _block_limits,
    0xB1: _characteristics,
    0xB2: _provisioning,
}
