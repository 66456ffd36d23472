"""Designation descriptors of VPD page 83h, and the names that Linux and udev make of them.

Two programs choose one name among the designators, by two different orders: the kernel for the sysfs
attribute ``wwid``, and udev's scsi_id for ``/dev/disk/by-id/scsi-…``. Both orders are here, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import LayoutError, inquiry_text

__all__ = [
    "Association",
    "CodeSet",
    "Designator",
    "DesignatorType",
    "decode_designators",
    "persistent_name",
    "wwid",
]


class CodeSet(IntEnum):
    """How the identifier is written (SPC-4 table 44); other values are reserved."""

    BINARY = 1
    ASCII = 2
    UTF8 = 3


class Association(IntEnum):
    """What the identifier names (SPC-4 table 598); 3 is reserved."""

    LOGICAL_UNIT = 0
    TARGET_PORT = 1
    TARGET_DEVICE = 2


class DesignatorType(IntEnum):
    """Form of the identifier (SPC-4 table 599); other values are reserved."""

    VENDOR_SPECIFIC = 0x0
    T10_VENDOR_ID = 0x1
    EUI_64 = 0x2
    NAA = 0x3
    RELATIVE_TARGET_PORT = 0x4
    TARGET_PORT_GROUP = 0x5
    LOGICAL_UNIT_GROUP = 0x6
    MD5_LOGICAL_UNIT = 0x7
    SCSI_NAME_STRING = 0x8
    PROTOCOL_SPECIFIC_PORT = 0x9
    UUID = 0xA


@dataclass(frozen=True, slots=True, kw_only=True)
class Designator:
    """One designation descriptor (SPC-4 7.8.6.1).

    Attributes:
        code_set: 4 bits, see `CodeSet`.
        association: 2 bits, see `Association`.
        designator_type: 4 bits, see `DesignatorType`.
        identifier: the bytes after the four of the header, 255 at most.
        piv: the protocol identifier is valid.
        protocol_identifier: 4 bits; 5 is iSCSI, 6 is SAS.
    """

    code_set: int
    designator_type: int
    identifier: bytes
    association: int = Association.LOGICAL_UNIT
    piv: bool = False
    protocol_identifier: int = 0

    def __post_init__(self) -> None:
        fits = 0 <= self.code_set <= 15 and 0 <= self.designator_type <= 15 and 0 <= self.association <= 3
        if not fits or not 0 <= self.protocol_identifier <= 15 or len(self.identifier) > 255:
            raise LayoutError(
                f"Designator: code set {self.code_set}, type {self.designator_type}, association "
                f"{self.association}, protocol {self.protocol_identifier}, {len(self.identifier)} bytes; "
                "allowed: 0..15, 0..15, 0..3, 0..15, up to 255"
            )

    def encode(self) -> bytes:
        """Return the descriptor."""
        second = self.piv << 7 | self.association << 4 | self.designator_type
        head = (self.protocol_identifier << 4 | self.code_set, second, 0, len(self.identifier))
        return bytes(head) + self.identifier

    @property
    def naa(self) -> int | None:
        """The NAA of an NAA designator: 6 registered extended, 5 registered, 3 local, 2 extended."""
        is_naa = self.designator_type == DesignatorType.NAA and self.identifier
        return self.identifier[0] >> 4 if is_naa else None

    @property
    def hex(self) -> str:
        """The identifier in hexadecimal: ``33333330000007d0``."""
        return self.identifier.hex()

    @property
    def text(self) -> str:
        """The identifier as text up to a NUL; UTF-8 where the code set says so, and never an error."""
        if self.code_set == CodeSet.UTF8:
            return self.identifier.split(b"\0", 1)[0].decode("utf-8", "replace")
        return inquiry_text(self.identifier)


def decode_designators(data: bytes) -> tuple[Designator, ...]:
    """Read descriptors one after the other; a last one that is not wholly there is left out."""
    found = []
    at = 0
    while at + 4 <= len(data) and at + 4 + data[at + 3] <= len(data):
        end = at + 4 + data[at + 3]
        found.append(
            Designator(
                code_set=data[at] & 0x0F,
                designator_type=data[at + 1] & 0x0F,
                identifier=bytes(data[at + 4 : end]),
                association=data[at + 1] >> 4 & 3,
                piv=bool(data[at + 1] & 0x80),
                protocol_identifier=data[at] >> 4,
            )
        )
        at = end
    return tuple(found)


def _page_body(page: bytes | None, code: int) -> bytes | None:
    """Return what follows the header of a page, or None if it is not that page."""
    if page is None or len(page) < 4 or page[1] != code:
        return None
    return bytes(page[4 : 4 + int.from_bytes(page[2:4], "big")])


# The kernel's preference: (type, NAA or length) -> weight; the greatest wins, among equals the last.
_KERNEL_NAA = {6: 8, 5: 5, 4: 4, 3: 1}
_KERNEL_EUI = {16: 7, 12: 6, 8: 3}


def _kernel_weight(one: Designator) -> int:
    """Return how much the kernel prefers a designator; 0 means that it does not use it."""
    if one.association != Association.LOGICAL_UNIT or not one.identifier:
        return 0
    if one.designator_type == DesignatorType.SCSI_NAME_STRING:
        return 9
    if one.designator_type == DesignatorType.NAA:
        return _KERNEL_NAA.get(one.identifier[0] >> 4, 0)
    if one.designator_type == DesignatorType.EUI_64:
        return _KERNEL_EUI.get(len(one.identifier), 0)
    return 1 if one.designator_type == DesignatorType.T10_VENDOR_ID else 0


_ESCAPES = {7: "\\a", 8: "\\010", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e", 0: "\\0"}


def _escaped(data: bytes) -> str:
    """Return text with every unprintable byte escaped as the kernel's ``%pE`` does."""
    return "".join(
        chr(code) if 0x20 <= code <= 0x7E else _ESCAPES.get(code, f"\\{code:03o}") for code in data
    )


def _kernel_form(one: Designator) -> str | None:
    """Return a designator in the form of the sysfs attribute ``wwid``."""
    if one.designator_type == DesignatorType.SCSI_NAME_STRING:
        return one.identifier.split(b"\0", 1)[0].decode("utf-8", "replace")
    if one.designator_type == DesignatorType.T10_VENDOR_ID:
        return "t10." + _escaped(one.identifier)
    if one.designator_type == DesignatorType.EUI_64:
        return "eui." + one.hex
    return "naa." + one.hex if len(one.identifier) in (8, 16) else None


def wwid(vpd83: bytes | None) -> str | None:
    """Return what Linux shows as ``/sys/…/wwid``: ``naa.…``, ``eui.…``, ``t10.…`` or a SCSI name string.

    The kernel prefers a SCSI name string, NAA 6, a 16-byte and a 12-byte EUI-64, NAA 5, NAA 4, an 8-byte
    EUI-64, a T10 vendor id; only designators of the logical unit count.

    Args:
        vpd83: the page, header included, or None.

    Returns:
        None if the page is missing, is another page, or has no designator that the kernel uses.
    """
    chosen, best, size = None, 0, 0
    for one in decode_designators(_page_body(vpd83, 0x83) or b""):
        weight = _kernel_weight(one)
        textual = one.designator_type in (DesignatorType.T10_VENDOR_ID, DesignatorType.SCSI_NAME_STRING)
        if weight == 0 or weight < best or (textual and size > len(one.identifier)):
            continue
        best, size = weight, len(one.identifier)
        chosen = _kernel_form(one) or chosen
    return chosen


# scsi_id's order of search: (type, NAA or None for any); in each, binary is looked for before ASCII.
_UDEV_ORDER: tuple[tuple[int, int | None], ...] = (
    (DesignatorType.NAA, 6),
    (DesignatorType.NAA, 5),
    (DesignatorType.NAA, None),
    (DesignatorType.EUI_64, None),
    (DesignatorType.T10_VENDOR_ID, None),
    (DesignatorType.VENDOR_SPECIFIC, None),
)


def _udev_choice(designators: tuple[Designator, ...]) -> Designator | None:
    """Return the designator that scsi_id takes, or None."""
    for kind, naa in _UDEV_ORDER:
        for code_set in (CodeSet.BINARY, CodeSet.ASCII):
            for one in designators:
                same = (one.designator_type, one.code_set) == (kind, code_set)
                if same and one.association == Association.LOGICAL_UNIT and naa in (None, one.naa):
                    return one
    return None


def _udev_text(text: str) -> str:
    """Join runs of white space by one underscore, none at the ends, and replace what a link can not have."""
    allowed = frozenset("#+-.:=@_")
    joined = "_".join(text.split())
    return "".join(letter if letter.isalnum() or letter in allowed else "_" for letter in joined)


def persistent_name(vpd83: bytes | None, vpd80: bytes | None, vendor: str, model: str) -> str | None:
    """Return udev's name for a SCSI disk in ``/dev/disk/by-id``: ``scsi-3600…``.

    Page 83h is asked first: NAA 6, NAA 5, any other NAA, EUI-64, T10 vendor id, vendor specific; the name
    is the designator's type as a digit and the identifier, in hexadecimal if it is binary. Without one,
    page 80h gives ``scsi-SVENDOR_MODEL_SERIAL``.

    Args:
        vpd83: the device identification page, header included, or None.
        vpd80: the unit serial number page, header included, or None.
        vendor: T10 vendor identification; padded to its 8 characters here.
        model: product identification; padded to its 16 characters here.

    Returns:
        None if neither page names the device.
    """
    maker = f"{vendor:<8.8}{model:<16.16}"
    one = _udev_choice(decode_designators(_page_body(vpd83, 0x83) or b""))
    if one is not None:
        prefix = maker if one.designator_type == DesignatorType.VENDOR_SPECIFIC else ""
        is_text = one.code_set == CodeSet.ASCII
        name = f"{one.designator_type:x}{prefix}{inquiry_text(one.identifier) if is_text else one.hex}"
        return "scsi-" + _udev_text(name)
    serial = inquiry_text(_page_body(vpd80, 0x80) or b"")
    return "scsi-" + _udev_text(f"S{maker}{serial}") if serial else None
