"""SCSI architecture: status codes and the 8-byte logical unit number (SAM-5 5.3 and 4.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import DecodeError, LayoutError

__all__ = [
    "LunAddress",
    "LunLevel",
    "Status",
    "is_well_known_lun",
    "lun_from_bytes",
    "lun_to_bytes",
]


class Status(IntEnum):
    """Status byte of a command (SAM-5 5.3.1; the three obsolete ones from SAM and SCSI-2)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    INTERMEDIATE = 0x10
    INTERMEDIATE_CONDITION_MET = 0x14
    RESERVATION_CONFLICT = 0x18
    COMMAND_TERMINATED = 0x22
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40

    @property
    def title(self) -> str:
        """The name as standards print it: ``CHECK CONDITION``."""
        return self.name.replace("_", " ")


def lun_from_bytes(data: bytes) -> int:
    """Return the kernel's integer for an 8-byte LUN (rule SC-26).

    The four two-byte levels are big endian; the first level is the least significant part, so
    that ``00 05 00 00 …`` is 5 and ``d2 04 0b 03 00 …`` is 0x0b03d204.

    Raises:
        DecodeError: `data` is not 8 bytes long.
    """
    if len(data) != 8:
        raise DecodeError(f"a LUN has 8 bytes, not {len(data)}")
    return sum(int.from_bytes(data[at : at + 2], "big") << 8 * at for at in (0, 2, 4, 6))


def lun_to_bytes(lun: int) -> bytes:
    """Return the 8 bytes of a LUN given as the kernel's integer; the inverse of `lun_from_bytes`.

    Raises:
        LayoutError: the number is negative or does not fit 64 bits.
    """
    if not 0 <= lun < 1 << 64:
        raise LayoutError(f"LUN {lun} does not fit; allowed: 0..{(1 << 64) - 1:#x}")
    return b"".join((lun >> 8 * at & 0xFFFF).to_bytes(2, "big") for at in (0, 2, 4, 6))


def is_well_known_lun(lun: int) -> bool:
    """Say whether the kernel's integer is a well-known logical unit, such as 0xc101 (REPORT LUNS)."""
    return lun & 0xFF00 == 0xC100


_WELL_KNOWN = {1: "REPORT LUNS", 2: "ACCESS CONTROLS", 3: "TARGET LOG PAGES", 4: "SECURITY PROTOCOL"}


@dataclass(frozen=True, slots=True)
class LunLevel:
    """One level of a LUN (SAM-5 4.7.6 and 4.7.7).

    Attributes:
        method: ``peripheral``, ``flat``, ``logical-unit``, ``well-known``, ``extended-flat``,
            ``not-specified`` or ``reserved``.
        lun: the logical unit at this level; 0 at a level that leads on to a target.
        bus: bus identifier; 0 where the method has none.
        target: target identifier; 0 where the method has none.
        length: bytes that the level takes: 2, 4, 6 or 8.
    """

    method: str
    lun: int
    bus: int = 0
    target: int = 0
    length: int = 2

    def __str__(self) -> str:
        if self.method == "well-known":
            return f"well-known {self.lun:#04x} ({_WELL_KNOWN.get(self.lun, 'reserved')})"
        if self.method == "logical-unit":
            return f"logical-unit bus {self.bus} target {self.target} lun {self.lun}"
        if self.method == "peripheral" and self.bus:
            return f"peripheral bus {self.bus} target {self.target}"
        return f"{self.method} lun {self.lun}"


@dataclass(frozen=True, slots=True)
class LunAddress:
    """An 8-byte LUN level by level (SAM-5 4.7); one level for most devices."""

    levels: tuple[LunLevel, ...]

    @classmethod
    def decode(cls, data: bytes) -> LunAddress:
        """Split 8 bytes into levels; the zeros after the last one are no level.

        Raises:
            DecodeError: `data` is not 8 bytes long.
        """
        if len(data) != 8:
            raise DecodeError(f"a LUN has 8 bytes, not {len(data)}")
        levels, at = [], 0
        while at < 8 and (at == 0 or any(data[at:])):
            levels.append(_level(data[at:]))
            at += levels[-1].length
        return cls(tuple(levels))

    @classmethod
    def from_int(cls, lun: int) -> LunAddress:
        """Split the kernel's integer form; raises LayoutError as `lun_to_bytes` does."""
        return cls.decode(lun_to_bytes(lun))

    def __str__(self) -> str:
        return " > ".join(str(level) for level in self.levels)


def _level(data: bytes) -> LunLevel:
    """Decode the level at the start of `data`, which has 2 bytes or more."""
    first, second = data[0], data[1]
    method = first >> 6
    if method == 0:
        bus = first & 0x3F
        return LunLevel("peripheral", 0, bus=bus, target=second) if bus else LunLevel("peripheral", second)
    if method == 1:
        return LunLevel("flat", (first & 0x3F) << 8 | second)
    if method == 2:
        return LunLevel("logical-unit", second & 0x1F, bus=second >> 5, target=first & 0x3F)
    return _extended_level(data)


def _extended_level(data: bytes) -> LunLevel:
    """Decode extended addressing (SAM-5 4.7.7.5): byte 0 is 11b, length code, method."""
    code, method = data[0] >> 4 & 3, data[0] & 0x0F
    length = min(2 * code + 2, len(data))
    number = int.from_bytes(data[1:length], "big")
    if code == 0 and method == 1:
        return LunLevel("well-known", number)
    if code in (1, 2) and method == 2:
        return LunLevel("extended-flat", number, length=length)
    if code == 3 and method == 0x0F:
        return LunLevel("not-specified", number, length=length)
    return LunLevel("reserved", number, length=length)
