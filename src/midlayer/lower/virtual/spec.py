"""What a configuration may say of a virtual host and its logical units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from midlayer.conversions import flag, named_number, number, size, text
from midlayer.errors import ConfigError, SpecError
from midlayer.lower.virtual.type_keys import TYPE_CONVERSIONS, TypeKeys
from midlayer.mid.recovery_callbacks import EH_SCOPES
from midlayer.spelling import no_such_key
from midlayer.standards.port_groups import AccessState
from midlayer.standards.spc import PeripheralDeviceType
from midlayer.twin import Twin, read_twin

TYPES: dict[str, int] = {
    "disk": 0x00,
    "tape": 0x01,
    "printer": 0x02,
    "processor": 0x03,
    "worm": 0x04,
    "cd": 0x05,
    "scanner": 0x06,
    "optical": 0x07,
    "changer": 0x08,
    "communications": 0x09,
    "raid": 0x0C,
    "enclosure": 0x0D,
    "rbc": 0x0E,
    "card": 0x0F,
    "bridge": 0x10,
    "osd": 0x11,
    "automation": 0x12,
    "security": 0x13,
    "zoned": 0x14,
    "well-known": 0x1E,
    "none": 0x1F,
}
"""Peripheral device types by the names that a configuration uses; a number is as good."""

QUALIFIERS: dict[str, int] = {f"{number:03b}b": number for number in range(8)}

ACCESS_STATES: dict[str, AccessState] = {
    "optimized": AccessState.ACTIVE_OPTIMIZED,
    "nonoptimized": AccessState.ACTIVE_NON_OPTIMIZED,
    "standby": AccessState.STANDBY,
    "unavailable": AccessState.UNAVAILABLE,
    "offline": AccessState.OFFLINE,
}
"""Asymmetric access states by the names that a configuration uses."""

_BLOCK_SIZES = (512, 4096)
_CD_BLOCK_SIZE = 2048
_ALWAYS_REMOVABLE = frozenset(
    {
        PeripheralDeviceType.SEQUENTIAL_ACCESS,
        PeripheralDeviceType.CD_DVD,
        PeripheralDeviceType.MEDIUM_CHANGER,
    }
)
_NAA_LOCALLY_ASSIGNED = "3"
_MOST_MEMORY, _LARGEST_FILE = 1 << 46, (1 << 63) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSpec(TypeKeys):
    """One logical unit; `TypeKeys` has the keys that are for some types alone.

    Attributes:
        type: Peripheral device type, a number or a name of `TYPES`.
        qualifier: Peripheral qualifier, 0 to 7 or text such as ``001b``.
        vendor, product, revision: INQUIRY identification, up to 8, 16 and 4 characters.
        serial: Unit serial number; made from the address if it is empty.
        naa: NAA designator as 16 or 32 hexadecimal digits; made from the serial number if it is empty.
        size: Bytes of the medium, ``1G`` or a number; 0 for all of a file that is there.
        block_size: 512 or 4096 (a CD has 2048); 0 for what is usual. Of a tape, what it begins with, 0 for
            blocks of any length.
        physical_block_size: The block size times a power of two to 32768; 0 for that of a logical block.
        file: A file for the blocks; sparse memory without it.
        thin: Thin provisioning: UNMAP and WRITE SAME with UNMAP give blocks back.
        pool_size: Most bytes that a thin disk may take; 0 for no limit.
        pool_threshold: Percentage of `pool_size` at which initiators are warned; 0 for never.
        alua: State of each target port group, such as ``optimized, standby``; none for a unit without ALUA.
        write_protected: Writes end with DATA PROTECT.
        removable: The RMB bit.
        sanitize_s, format_s: Seconds that SANITIZE and FORMAT UNIT take; 0 to end with their command.
        temperature: Degrees Celsius, for LOG SENSE.
        rotation_rate: Revolutions a minute, 1 for a medium that does not turn.
        scsi_level: ANSI revision in the INQUIRY data: 1, 2 (SCSI-2), 3 (SPC) … 6 (SPC-4), 7 (SPC-5).
        channel, target, lun: Address on the host; `lun` is the kernel's integer form.
        count: That many units alike, at successive LUNs.
        twin: Answers of another device, read from a file that `midlayer capture` wrote; type, qualifier,
            size and the rest of the identity are that device's then.
    """

    type: int = 0
    qualifier: int = 0
    vendor: str = "MIDLAYER"
    product: str = ""
    revision: str = "0001"
    serial: str = ""
    naa: str = ""
    size: int = 1 << 30
    block_size: int = 0
    physical_block_size: int = 0
    file: Path | None = None
    thin: bool = False
    pool_size: int = 0
    pool_threshold: int = 0
    alua: tuple[AccessState, ...] = ()
    write_protected: bool = False
    removable: bool = False
    sanitize_s: int = 0
    format_s: int = 0
    temperature: int = 30
    rotation_rate: int = 1
    scsi_level: int = 6
    channel: int = 0
    target: int = 0
    lun: int = 0
    count: int = 1
    twin: Twin | None = None

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Check and take over the keys of a configuration table or of a device URL.

        Raises:
            SpecError: For the first key that is unknown or has an impossible value.
        """
        values = _known(cls, given)
        for key, convert in CONVERSIONS.items():
            if key in values:
                values[key] = convert(key, values[key])
        if "twin" in values:
            values |= of_twin(values["twin"])
        tape = values.get("type") == PeripheralDeviceType.SEQUENTIAL_ACCESS
        if "size" not in values and "file" in values and values["file"].exists() and not tape:
            values["size"] = 0
        return cls(**values)

    def __post_init__(self) -> None:
        if not self.block_size and self.type != PeripheralDeviceType.SEQUENTIAL_ACCESS:
            usual = _CD_BLOCK_SIZE if self.type == PeripheralDeviceType.CD_DVD else _BLOCK_SIZES[0]
            object.__setattr__(self, "block_size", usual)
        self._check()

    def expanded(self) -> list[Self]:
        """Return the single units that `count` stands for."""
        return [replace(self, lun=self.lun + index, count=1) for index in range(self.count)]

    def identified(self, host_no: int) -> Self:
        """Return the unit with the identity that it has at its place, where none is given."""
        place = f"{host_no}:{self.channel}:{self.target}:{self.lun}"
        serial = self.serial or f"ML{_digest(place)[:10].upper()}"
        naa = (self.naa or _NAA_LOCALLY_ASSIGNED + _digest(serial)[:15]).lower()
        return replace(self, serial=serial, naa=naa, product=self.product or _product(self.type))

    @property
    def blocks(self) -> int:
        """Number of logical blocks."""
        return self.size // self.block_size if self.block_size else 0

    @property
    def is_removable(self) -> bool:
        """The medium can be removed; that of tapes, changers and CDs always can."""
        return self.removable or self.type in _ALWAYS_REMOVABLE

    @property
    def physical_exponent(self) -> int:
        """Power of two of how many logical blocks a physical block has."""
        return max(self.physical_block_size // (self.block_size or 1), 1).bit_length() - 1

    def _check(self) -> None:
        lengths = (("vendor", 8), ("product", 16), ("revision", 4), ("serial", 36))
        for key, longest in lengths:
            value = getattr(self, key)
            if len(value) > longest or not (value.isascii() and (value.isprintable() or not value)):
                raise SpecError(key, f"{value!r} must be at most {longest} printable ASCII characters")
        self.check_type(self.type)
        if self.type != PeripheralDeviceType.SEQUENTIAL_ACCESS:
            self._check_blocks()
        elif not 0 < self.size <= _LARGEST_FILE:
            raise SpecError("size", f"{self.size} must be more than 0, and at most 8192P")
        if self.naa and (len(self.naa) not in (16, 32) or not _is_hex(self.naa)):
            raise SpecError("naa", f"{self.naa!r} must be 16 or 32 hexadecimal digits")
        if (self.pool_size or self.pool_threshold) and not self.thin:
            raise SpecError("pool_size", "only a thin disk has a pool; set thin as well")
        if self.pool_threshold and not self.pool_size:
            raise SpecError("pool_threshold", "is a part of pool_size, which is not given")
        if self.count > 1 and (self.serial or self.naa or self.file or self.directory):
            raise SpecError(
                "count", "units of one table can not share a serial, an naa, a file or a directory"
            )

    def _check_blocks(self) -> None:
        sizes = (_CD_BLOCK_SIZE,) if self.type == PeripheralDeviceType.CD_DVD else _BLOCK_SIZES
        if self.block_size not in sizes and self.twin is None:
            raise SpecError("block_size", f"{self.block_size} must be {' or '.join(map(str, sizes))}")
        physical = self.physical_block_size
        if physical and physical not in (self.block_size << exponent for exponent in range(16)):
            raise SpecError(
                "physical_block_size", f"{physical} must be {self.block_size} times a power of two to 32768"
            )
        if self.size % self.block_size or (self.size <= 0 and self.file is None):
            raise SpecError("size", f"{self.size} must be a multiple of the block size, and more than 0")
        if self.size > (_MOST_MEMORY if self.file is None else _LARGEST_FILE):
            raise SpecError("size", f"{self.size} is too large; memory holds up to 64T, a file up to 8192P")


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSpec:
    """One virtual host.

    Attributes:
        name: Text for the host list.
        host_no: Number of the host; the lowest free one if it is not given.
        can_queue: Commands that the host takes at once.
        cmd_per_lun: Commands that a device takes at once.
        max_cmd_len: Longest CDB in bytes.
        max_channel, max_id, max_lun: Highest channel, number of ids and of LUNs.
        this_id: Target id of the host itself, -1 for none.
        report_luns: False for a target that refuses REPORT LUNS.
        eh_scope: What is held while a device is recovered: ``host``, ``target`` or ``device``.
        eh_deadline: Seconds after which recovery goes straight to the host reset; -1 for never.
        units: Its logical units.
    """

    name: str = "midlayer virtual HBA"
    host_no: int | None = None
    can_queue: int = 1024
    cmd_per_lun: int = 64
    max_cmd_len: int = 32
    max_channel: int = 0
    max_id: int = 256
    max_lun: int = 65536
    this_id: int = -1
    report_luns: bool = True
    eh_scope: str = "host"
    eh_deadline: int = -1
    units: tuple[UnitSpec, ...] = ()

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Check and take over the keys of a configuration table.

        Raises:
            SpecError: For the first key that is unknown or has an impossible value.
        """
        values = _known(cls, given)
        for key, value in values.items():
            convert = _HOST_CONVERSIONS.get(key)
            if convert is not None:
                values[key] = convert(key, value)
        spec = cls(**values)
        taken: set[tuple[int, int, int]] = set()
        for unit in (single for table in spec.units for single in table.expanded()):
            place = (unit.channel, unit.target, unit.lun)
            if place in taken:
                raise SpecError("unit", f"two units at channel {place[0]}, target {place[1]}, LUN {place[2]}")
            if unit.channel > spec.max_channel or unit.target >= spec.max_id or unit.lun >= spec.max_lun:
                raise SpecError("unit", f"channel, target and LUN {place} are beyond what the host addresses")
            if unit.target == spec.this_id:
                raise SpecError("unit", f"target {unit.target} is the id of the host itself, this_id")
            taken.add(place)
        return spec


def _known(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(cls)}
    for key in given:
        if key not in known:
            raise SpecError(key, no_such_key(key, known))
    return dict(given)


def _twin(key: str, value: object) -> Twin:
    try:
        return read_twin(Path(text(key, value)))
    except ConfigError as error:
        raise SpecError(key, str(error)) from None


def of_twin(twin: Twin) -> dict[str, Any]:
    """Return the keys that say what a twin's device was."""
    inquiry = twin.inquiry
    blocks, block_size = twin.capacity
    known: dict[str, Any] = {
        "type": inquiry.peripheral_device_type,
        "qualifier": inquiry.peripheral_qualifier,
        "removable": inquiry.rmb,
        "scsi_level": min(inquiry.version, 7),
    }
    if blocks and block_size in (*_BLOCK_SIZES, _CD_BLOCK_SIZE):
        known |= {"size": min(blocks * block_size, _MOST_MEMORY), "block_size": block_size}
    return known


def _access_states(key: str, value: object) -> tuple[AccessState, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(name in ACCESS_STATES for name in names):
        raise SpecError(key, f"{value!r} must be a list of {', '.join(ACCESS_STATES)}")
    return tuple(ACCESS_STATES[name] for name in names)


def _eh_scope(key: str, value: object) -> str:
    if value in EH_SCOPES:
        return str(value)
    raise SpecError(key, f"{value!r} must be one of {', '.join(EH_SCOPES)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def _product(device_type: int) -> str:
    name = next((name for name, number in TYPES.items() if number == device_type), "device")
    return f"Virtual {name}"[:16]


CONVERSIONS: dict[str, Any] = {
    "type": named_number(TYPES, 0x1F),
    "qualifier": named_number(QUALIFIERS, 7),
    "vendor": text,
    "product": text,
    "revision": text,
    "serial": text,
    "naa": text,
    "size": size,
    "block_size": number(0, 1 << 23),
    "physical_block_size": number(0, 4096 << 15),
    "file": lambda key, value: Path(text(key, value)),
    "thin": flag,
    "pool_size": size,
    "pool_threshold": number(0, 100),
    "alua": _access_states,
    "temperature": number(0, 254),
    "write_protected": flag,
    "removable": flag,
    "sanitize_s": number(0, 1 << 20),
    "format_s": number(0, 1 << 20),
    "rotation_rate": number(0, 0xFFFE),
    "scsi_level": number(0, 7),
    "channel": number(0, 255),
    "target": number(0, 65535),
    "lun": number(0, (1 << 64) - 1),
    "count": number(1, 65536),
    "twin": _twin,
    **TYPE_CONVERSIONS,
}

_HOST_CONVERSIONS: dict[str, Any] = {
    "name": text,
    "host_no": number(0, 1 << 20),
    "can_queue": number(1, 65536),
    "cmd_per_lun": number(1, 4096),
    "max_cmd_len": number(6, 260),
    "max_channel": number(0, 255),
    "max_id": number(1, 65536),
    "max_lun": number(1, 1 << 63),
    "this_id": number(-1, 65535),
    "report_luns": flag,
    "eh_scope": _eh_scope,
    "eh_deadline": number(-1, 1 << 20),
}
