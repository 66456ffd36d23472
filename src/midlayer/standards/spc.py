"""Commands and data that every SCSI device shares (SPC-4).

Each CDB is a layout named as the standard names the command; the data that a command carries is a
layout with ``Data`` in its name, or a function where it is a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from midlayer.layout import DecodeError, Layout, bits, flag, raw, text, uint
from midlayer.standards.sam import lun_from_bytes, lun_to_bytes

__all__ = [
    "Inquiry",
    "LogSense",
    "LunList",
    "ModeSelect6",
    "ModeSelect10",
    "ModeSense6",
    "ModeSense10",
    "PeripheralDeviceType",
    "PeripheralQualifier",
    "PreventAllow",
    "ReportLuns",
    "ReportSupportedOperationCodes",
    "RequestSense",
    "StandardInquiry",
    "SupportedOpcode",
    "TestUnitReady",
    "decode_lun_list",
    "decode_supported_opcodes",
    "encode_lun_list",
]


class PeripheralQualifier(IntEnum):
    """The three high bits of the first INQUIRY byte (SPC-4 table 141): is there a device behind the LUN?"""

    CONNECTED = 0b000
    NOT_CONNECTED = 0b001
    RESERVED = 0b010
    NOT_SUPPORTED = 0b011
    VENDOR_SPECIFIC_4 = 0b100
    VENDOR_SPECIFIC_5 = 0b101
    VENDOR_SPECIFIC_6 = 0b110
    VENDOR_SPECIFIC_7 = 0b111

    @property
    def meaning(self) -> str:
        """One sentence for people: what the device server says with this value."""
        return _QUALIFIER_MEANINGS[min(self.value, 4)]


_QUALIFIER_MEANINGS = (
    "a device of the stated type is connected to this logical unit, as far as the target can tell",
    "the target can support a device of the stated type here, but none is connected now",
    "reserved: no standard gives this value a meaning",
    "the target can not support a device at this logical unit number",
    "vendor specific: only the vendor's documents say what it means",
)


class PeripheralDeviceType(IntEnum):
    """The five low bits of the first INQUIRY byte (SPC-4 table 142)."""

    DIRECT_ACCESS = 0x00
    SEQUENTIAL_ACCESS = 0x01
    PRINTER = 0x02
    PROCESSOR = 0x03
    WRITE_ONCE = 0x04
    CD_DVD = 0x05
    SCANNER = 0x06
    OPTICAL_MEMORY = 0x07
    MEDIUM_CHANGER = 0x08
    COMMUNICATIONS = 0x09
    ASC_IT8_A = 0x0A
    ASC_IT8_B = 0x0B
    STORAGE_ARRAY = 0x0C
    ENCLOSURE_SERVICES = 0x0D
    SIMPLIFIED_DIRECT_ACCESS = 0x0E
    OPTICAL_CARD = 0x0F
    BRIDGE_CONTROLLER = 0x10
    OBJECT_STORAGE = 0x11
    AUTOMATION_DRIVE = 0x12
    SECURITY_MANAGER = 0x13
    HOST_MANAGED_ZONED_BLOCK = 0x14
    REDUCED_MULTIMEDIA = 0x15
    RESERVED_16 = 0x16
    RESERVED_17 = 0x17
    RESERVED_18 = 0x18
    RESERVED_19 = 0x19
    RESERVED_1A = 0x1A
    RESERVED_1B = 0x1B
    RESERVED_1C = 0x1C
    RESERVED_1D = 0x1D
    WELL_KNOWN_LOGICAL_UNIT = 0x1E
    UNKNOWN_OR_NO_DEVICE = 0x1F

    @property
    def description(self) -> str:
        """What Linux prints in ``/proc/scsi/scsi`` for the type, without padding."""
        return _TYPE_DESCRIPTIONS.get(self.value, "Unknown")


_TYPE_DESCRIPTIONS = dict(
    enumerate(
        (
            "Direct-Access",
            "Sequential-Access",
            "Printer",
            "Processor",
            "WORM",
            "CD-ROM",
            "Scanner",
            "Optical Device",
            "Medium Changer",
            "Communications",
            "ASC IT8",
            "ASC IT8",
            "RAID",
            "Enclosure",
            "Direct-Access-RBC",
            "Optical card",
            "Bridge controller",
            "Object storage",
            "Automation/Drive",
            "Security Manager",
            "Zoned Block",
        )
    )
) | {0x1E: "Well-known LUN", 0x1F: "No Device"}


class Inquiry(Layout, size=6):
    """INQUIRY (SPC-4 6.6)."""

    opcode = uint(0, const=0x12)
    evpd: bool = flag(1, 0)
    page_code: int = uint(2)
    allocation_length: int = uint(3, 2)
    control: int = uint(5)


class StandardInquiry(Layout, size=96):
    """Standard INQUIRY data (SPC-4 6.6.2, with SPC-2's bits): 36 bytes in most devices, 96 at most here.

    `additional_length` is what the device says of its own data: byte 4, the length less 5. `encode`
    gives all 96 bytes; `encode_sized` as many as `additional_length` announces.
    """

    peripheral_qualifier: int = bits(0, 7, 5)
    peripheral_device_type: int = bits(0, 4, 0)
    rmb: bool = flag(1, 7)
    lu_cong: bool = flag(1, 6)
    version: int = uint(2)
    aerc: bool = flag(3, 7)
    normaca: bool = flag(3, 5)
    hisup: bool = flag(3, 4)
    response_data_format: int = bits(3, 3, 0)
    additional_length: int = uint(4)
    sccs: bool = flag(5, 7)
    acc: bool = flag(5, 6)
    tpgs: int = bits(5, 5, 4)
    threepc: bool = flag(5, 3)
    protect: bool = flag(5, 0)
    bque: bool = flag(6, 7)
    encserv: bool = flag(6, 6)
    multip: bool = flag(6, 4)
    mchngr: bool = flag(6, 3)
    addr16: bool = flag(6, 0)
    reladr: bool = flag(7, 7)
    wbus16: bool = flag(7, 5)
    sync: bool = flag(7, 4)
    linked: bool = flag(7, 3)
    cmdque: bool = flag(7, 1)
    t10_vendor_identification: str = text(8, 8)
    product_identification: str = text(16, 16)
    product_revision_level: str = text(32, 4)
    vendor_specific: bytes = raw(36, 20)
    clocking: int = bits(56, 3, 2)
    qas: bool = flag(56, 1)
    ius: bool = flag(56, 0)
    version_descriptors_raw: bytes = raw(58, 16)

    @property
    def qualifier(self) -> PeripheralQualifier:
        """The peripheral qualifier as a name."""
        return PeripheralQualifier(self.peripheral_qualifier)

    @property
    def device_type(self) -> PeripheralDeviceType:
        """The peripheral device type as a name."""
        return PeripheralDeviceType(self.peripheral_device_type)

    @property
    def vendor(self) -> str:
        """T10 vendor identification by rule SC-6, without padding."""
        return self.t10_vendor_identification

    @property
    def product(self) -> str:
        """Product identification by rule SC-6, without padding."""
        return self.product_identification

    @property
    def revision(self) -> str:
        """Product revision level by rule SC-6, without padding."""
        return self.product_revision_level

    @property
    def version_descriptors(self) -> tuple[int, ...]:
        """The standards that the device claims, up to eight; 0460h is SPC-4 (SPC-4 table 143)."""
        pieces = (self.version_descriptors_raw[at : at + 2] for at in range(0, 16, 2))
        return tuple(number for number in (int.from_bytes(piece, "big") for piece in pieces) if number)

    def encode_sized(self) -> bytes:
        """Return as many bytes as `additional_length` announces (its value and 5), 5 at least.

        What is announced beyond the 96 bytes of the structure is zero.
        """
        return self.encode()[: 5 + self.additional_length].ljust(5 + self.additional_length, b"\0")


class TestUnitReady(Layout, size=6):
    """TEST UNIT READY (SPC-4 6.47)."""

    __test__ = False  # pytest would collect it by its name

    opcode = uint(0, const=0x00)
    control: int = uint(5)


class RequestSense(Layout, size=6):
    """REQUEST SENSE (SPC-4 6.39)."""

    opcode = uint(0, const=0x03)
    desc: bool = flag(1, 0)
    allocation_length: int = uint(4)
    control: int = uint(5)


class ModeSense6(Layout, size=6):
    """MODE SENSE(6) (SPC-4 6.13)."""

    opcode = uint(0, const=0x1A)
    dbd: bool = flag(1, 3)
    page_control: int = bits(2, 7, 6)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = uint(3)
    allocation_length: int = uint(4)
    control: int = uint(5)


class ModeSense10(Layout, size=10):
    """MODE SENSE(10) (SPC-4 6.14)."""

    opcode = uint(0, const=0x5A)
    llbaa: bool = flag(1, 4)
    dbd: bool = flag(1, 3)
    page_control: int = bits(2, 7, 6)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = uint(3)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ModeSelect6(Layout, size=6):
    """MODE SELECT(6) (SPC-4 6.11)."""

    opcode = uint(0, const=0x15)
    pf: bool = flag(1, 4)
    rtd: bool = flag(1, 1)
    sp: bool = flag(1, 0)
    parameter_list_length: int = uint(4)
    control: int = uint(5)


class ModeSelect10(Layout, size=10):
    """MODE SELECT(10) (SPC-4 6.12)."""

    opcode = uint(0, const=0x55)
    pf: bool = flag(1, 4)
    rtd: bool = flag(1, 1)
    sp: bool = flag(1, 0)
    parameter_list_length: int = uint(7, 2)
    control: int = uint(9)


class PreventAllow(Layout, size=6):
    """PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.17 and SBC-3 5.15)."""

    opcode = uint(0, const=0x1E)
    prevent: int = bits(4, 1, 0)
    control: int = uint(5)


class LogSense(Layout, size=10):
    """LOG SENSE (SPC-4 6.8)."""

    opcode = uint(0, const=0x4D)
    sp: bool = flag(1, 0)
    page_control: int = bits(2, 7, 6)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = uint(3)
    parameter_pointer: int = uint(5, 2)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ReportLuns(Layout, size=12):
    """REPORT LUNS (SPC-4 6.33)."""

    opcode = uint(0, const=0xA0)
    select_report: int = uint(2)
    allocation_length: int = uint(6, 4)
    control: int = uint(11)


class ReportSupportedOperationCodes(Layout, size=12):
    """REPORT SUPPORTED OPERATION CODES (SPC-4 6.35)."""

    opcode = uint(0, const=0xA3)
    service_action = bits(1, 4, 0, const=0x0C)
    rctd: bool = flag(2, 7)
    reporting_options: int = bits(2, 2, 0)
    requested_operation_code: int = uint(3)
    requested_service_action: int = uint(4, 2)
    allocation_length: int = uint(6, 4)
    control: int = uint(11)


class SupportedOpcode(NamedTuple):
    """One command of REPORT SUPPORTED OPERATION CODES; `service_action` is None if it has none."""

    opcode: int
    service_action: int | None
    cdb_length: int


def decode_supported_opcodes(data: bytes) -> list[SupportedOpcode]:
    """Read the list of all commands, as many descriptors as are wholly there (SPC-4 table 306).

    Raises:
        DecodeError: there is not even the length.
    """
    if len(data) < 4:
        raise DecodeError(f"supported operation codes: {len(data)} bytes, 4 needed for the length")
    end = min(int.from_bytes(data[:4], "big") + 4, len(data))
    found = []
    at = 4
    while at + 8 <= end:
        flags = data[at + 5]
        action = int.from_bytes(data[at + 2 : at + 4], "big") if flags & 0x01 else None
        found.append(SupportedOpcode(data[at], action, int.from_bytes(data[at + 6 : at + 8], "big")))
        at += 20 if flags & 0x02 else 8
    return found


class LunList(list[int]):
    """LUNs in the kernel's integer form, and how many the device says it has.

    Attributes:
        claimed: number of LUNs by the header; greater than the list's length if the data was cut.
    """

    def __init__(self, luns: Iterable[int] = (), *, claimed: int | None = None) -> None:
        super().__init__(luns)
        self.claimed = len(self) if claimed is None else claimed

    @property
    def complete(self) -> bool:
        """Every LUN that the header announces is in the list."""
        return len(self) >= self.claimed


def encode_lun_list(luns: Iterable[int]) -> bytes:
    """Return REPORT LUNS parameter data: an 8-byte header and 8 bytes a LUN (SPC-4 table 291).

    Raises:
        LayoutError: a LUN does not fit 64 bits.
    """
    body = b"".join(lun_to_bytes(lun) for lun in luns)
    return len(body).to_bytes(4, "big") + bytes(4) + body


def decode_lun_list(data: bytes) -> LunList:
    """Read REPORT LUNS parameter data, as many LUNs as are wholly there.

    Raises:
        DecodeError: there is not even the list length.
    """
    if len(data) < 4:
        raise DecodeError(f"REPORT LUNS data: {len(data)} bytes, 4 needed for the LUN list length")
    length = int.from_bytes(data[:4], "big")
    whole = min(length, max(len(data) - 8, 0)) // 8
    luns = (lun_from_bytes(bytes(data[8 + 8 * at : 16 + 8 * at])) for at in range(whole))
    return LunList(luns, claimed=length // 8)
