"""Keys of a unit that are for some device types alone."""

from __future__ import annotations

import string
from dataclasses import dataclass, fields
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
        slots: Device slots of an enclosure.
        bays: The units in these slots, in order, by their place; None for a slot that has none.
        fans, power_supplies, temperature_sensors: Other elements of an enclosure.
        loaded: A tape has a medium in it.
        early_warning: Bytes before the end of a tape's medium where writes are warned; at most an eighth
            of its size.
        barcode: Of a tape's medium.
    """

    slots: int = 8
    bays: tuple[Place | None, ...] = ()
    fans: int = 2
    power_supplies: int = 2
    temperature_sensors: int = 1
    loaded: bool = True
    early_warning: int = 1 << 20
    barcode: str = ""

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


_NAMES = {Type.SEQUENTIAL_ACCESS: "a tape", Type.ENCLOSURE_SERVICES: "an enclosure"}
_TAPE = (Type.SEQUENTIAL_ACCESS,)
_ENCLOSURE = (Type.ENCLOSURE_SERVICES,)

_TYPES_OF: dict[str, tuple[Type, ...]] = {
    "slots": _ENCLOSURE,
    "bays": _ENCLOSURE,
    "fans": _ENCLOSURE,
    "power_supplies": _ENCLOSURE,
    "temperature_sensors": _ENCLOSURE,
    "loaded": _TAPE,
    "early_warning": _TAPE,
    "barcode": _TAPE,
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


def _barcode(key: str, value: object) -> str:
    words = text(key, value)
    if len(words) > _LONGEST_BARCODE or not all(one in _BARCODE for one in words):
        raise SpecError(key, f"{value!r} must be up to {_LONGEST_BARCODE} of A to Z and 0 to 9")
    return words


TYPE_CONVERSIONS: dict[str, Any] = {
    "slots": number(0, 128),
    "bays": _bays,
    "fans": number(0, 64),
    "power_supplies": number(0, 64),
    "temperature_sensors": number(0, 64),
    "loaded": flag,
    "early_warning": size,
    "barcode": _barcode,
}
