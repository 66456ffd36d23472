"""Keys of a unit that are for some device types alone."""

from __future__ import annotations

import string
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from midlayer.conversions import flag, number, size, text
from midlayer.errors import SpecError
from midlayer.standards.spc import PeripheralDeviceType as Type


class Place(NamedTuple):
    """Where a unit is on its host; text is ``0:1:0``."""

    channel: int
    target: int
    lun: int

    def __str__(self) -> str:
        return f"{self.channel}:{self.target}:{self.lun}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeKeys:
    """What a configuration may say of a unit of some types.

    Attributes:
        slots: Device slots of an enclosure, storage slots of a changer.
        bays: The units in these slots, in order, by their place; None for a slot that has none.
        fans, power_supplies, temperature_sensors: Other elements of an enclosure.
        loaded: A tape has a medium in it.
        early_warning: Bytes before the end of a tape's medium where writes are warned; at most an eighth
            of its size.
        barcode: Of a tape's medium.
        drives: The tapes that a changer loads, by their place.
        mail_slots: Import/export elements of a changer.
        cartridges: Barcodes of what is in the slots of a changer, in order; empty for a slot without any.
        directory: Where a changer keeps its cartridges, as tape images; memory without it.
    """

    slots: int = 8
    bays: tuple[Place | None, ...] = ()
    fans: int = 2
    power_supplies: int = 2
    temperature_sensors: int = 1
    loaded: bool = True
    early_warning: int = 1 << 20
    barcode: str = ""
    drives: tuple[Place, ...] = ()
    mail_slots: int = 0
    cartridges: tuple[str, ...] = ()
    directory: Path | None = None

    def check_type(self, device_type: int) -> None:
        """Refuse keys of another type, and those that do not fit together.

        Raises:
            SpecError: For the first of them.
        """
        for field in fields(TypeKeys):
            types = _TYPES_OF[field.name]
            if device_type not in types and getattr(self, field.name) != field.default:
                names = " or ".join(_NAMES[one] for one in types)
                raise SpecError(field.name, f"is a key of {names}; set type as well")
        if len(self.bays) > self.slots:
            raise SpecError("bays", f"names {len(self.bays)} units for {self.slots} slots")
        if len(self.cartridges) > self.slots:
            raise SpecError("cartridges", f"names {len(self.cartridges)} for {self.slots} slots")
        if device_type == Type.ENCLOSURE_SERVICES and self.slots > _MOST_DEVICE_SLOTS:
            raise SpecError("slots", f"an enclosure has up to {_MOST_DEVICE_SLOTS}")
        for key, words in (("cartridges", list(filter(None, self.cartridges))), ("drives", self.drives)):
            if len(set(words)) != len(words):
                raise SpecError(key, "names one of them twice")


_MOST_DEVICE_SLOTS = 128
_MOST_DRIVES = 256
_NAMES = {
    Type.SEQUENTIAL_ACCESS: "a tape",
    Type.MEDIUM_CHANGER: "a changer",
    Type.ENCLOSURE_SERVICES: "an enclosure",
}
_CHANGER = (Type.MEDIUM_CHANGER,)
_TAPE = (Type.SEQUENTIAL_ACCESS,)
_ENCLOSURE = (Type.ENCLOSURE_SERVICES,)

_TYPES_OF: dict[str, tuple[Type, ...]] = {
    "slots": (*_ENCLOSURE, *_CHANGER),
    "bays": _ENCLOSURE,
    "fans": _ENCLOSURE,
    "power_supplies": _ENCLOSURE,
    "temperature_sensors": _ENCLOSURE,
    "loaded": _TAPE,
    "early_warning": _TAPE,
    "barcode": _TAPE,
    "drives": _CHANGER,
    "mail_slots": _CHANGER,
    "cartridges": _CHANGER,
    "directory": _CHANGER,
}


_BARCODE = string.ascii_uppercase + string.digits
_LONGEST_BARCODE = 32


def _words(key: str, value: object) -> list[str]:
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise SpecError(key, f"{value!r} must be a list of texts")
    return list(words)


def _place(key: str, word: str) -> Place:
    parts = word.split(":")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 8 for part in parts):
        raise SpecError(key, f"{word!r} must be channel, target and LUN, such as 0:1:0")
    return Place(*map(int, parts))


def _bays(key: str, value: object) -> tuple[Place | None, ...]:
    return tuple(None if word == "-" else _place(key, word) for word in _words(key, value))


def _drives(key: str, value: object) -> tuple[Place, ...]:
    words = _words(key, value)
    if len(words) > _MOST_DRIVES:
        raise SpecError(key, f"names {len(words)}, of which a changer has up to {_MOST_DRIVES}")
    return tuple(_place(key, word) for word in words)


def _cartridges(key: str, value: object) -> tuple[str, ...]:
    return tuple("" if word == "-" else _barcode(key, word) for word in _words(key, value))


def _barcode(key: str, value: object) -> str:
    words = text(key, value)
    if len(words) > _LONGEST_BARCODE or not all(one in _BARCODE for one in words):
        raise SpecError(key, f"{value!r} must be up to {_LONGEST_BARCODE} of A to Z and 0 to 9")
    return words


TYPE_CONVERSIONS: dict[str, Any] = {
    "slots": number(0, 4096),
    "bays": _bays,
    "fans": number(0, 64),
    "power_supplies": number(0, 64),
    "temperature_sensors": number(0, 64),
    "loaded": flag,
    "early_warning": size,
    "barcode": _barcode,
    "drives": _drives,
    "mail_slots": number(0, 256),
    "cartridges": _cartridges,
    "directory": lambda key, value: Path(text(key, value)),
}
