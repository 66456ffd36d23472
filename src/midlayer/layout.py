"""Wire layouts: declare a structure as the standard's table prints it, compile it once.

A standard describes a CDB or a page as a table of bytes and bits. A `Layout` subclass is that table::

    class ReadCapacity10Data(Layout, size=8):
        returned_logical_block_address: int = uint(0, 4)
        block_length_in_bytes: int = uint(4, 4)

Bytes count from 0, bit 7 is the high bit of a byte, and every number is big endian, as T10 prints them.
When the class statement ends the table is checked (overlaps, fields outside the structure, names used
twice) and compiled to one `struct.Struct` and a list of shifts and masks. Nothing is written on the
class after that.

A layout is an immutable value. A number that does not fit its field is an error, never masked. Data
that is shorter than the structure is legal in SCSI (an allocation length cuts it), so `decode` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Self, cast, dataclass_transform

__all__ = ["DecodeError", "Layout", "LayoutError", "bits", "flag", "inquiry_text", "raw", "text", "uint"]


class LayoutError(ValueError):
    """A table that contradicts itself, or a value that does not fit its field.

    The message names the layout, the field, the value and what would have been allowed.
    """


class DecodeError(LayoutError):
    """Bytes that cannot be what they were said to be; the message says what and at which byte."""


def inquiry_text(data: bytes, *, strip: bool = True) -> str:
    """Return the text in an ASCII field as Linux reads it (rule SC-6); it never fails.

    Args:
        data: the bytes of the field.
        strip: drop trailing spaces, the padding of a left-aligned field.

    A NUL ends the text. Every other byte outside 20h..7Eh counts as a space.
    """
    end = data.find(0)
    kept = bytes(data if end < 0 else data[:end]).translate(_PRINTABLE).decode("ascii")
    return kept.rstrip(" ") if strip else kept


_PRINTABLE = bytes(code if 0x20 <= code <= 0x7E else 0x20 for code in range(256))


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table: where a value lies, and of what kind it is."""

    kind: str  # "uint", "flag", "text" or "raw"
    byte: int
    length: int  # bytes touched
    high: int = 7  # bit of the first byte at which a number begins
    low: int = 0  # bit of the last byte at which it ends
    const: int | None = None
    strict: bool = True

    @property
    def width(self) -> int:
        """Bits of a number."""
        return 8 * (self.length - 1) + self.high - self.low + 1

    @property
    def end(self) -> int:
        """The byte after the last one touched."""
        return self.byte + self.length

    @property
    def zero(self) -> Any:
        """What an absent field reads as, and what a constructor takes when nothing is given."""
        return {"uint": 0, "flag": False, "text": "", "raw": bytes(self.length)}[self.kind]

    @property
    def allowed(self) -> str:
        """The values that fit, for messages."""
        if self.kind == "uint":
            return f"0..{(1 << self.width) - 1:#x}"
        if self.kind == "flag":
            return "False or True"
        return f"up to {self.length} {'printable ASCII characters' if self.kind == 'text' else 'bytes'}"

    def normal(self, value: Any) -> Any:
        """Return `value` in the form that is stored, or raise ValueError if it does not fit."""
        if self.kind in {"uint", "flag"}:
            number = int(value) if isinstance(value, int) else -1
            if not 0 <= number < 1 << self.width:
                raise ValueError
            return bool(number) if self.kind == "flag" else number
        if self.kind == "text":
            if not isinstance(value, str) or len(value) > self.length:
                raise ValueError
            if not (value.isascii() and value.isprintable()):
                raise ValueError
            return value.rstrip(" ")
        if not isinstance(value, bytes | bytearray | memoryview) or len(value) > self.length:
            raise ValueError
        return bytes(value).ljust(self.length, b"\0")


def bits(
    byte: int, high: int, low: int, *, length: int = 1, const: int | None = None, strict: bool = True
) -> int:
    """Declare a number between two bits of a byte, or of a run of bytes.

    Args:
        byte: the first byte.
        high: the bit of that byte where the number begins; 7 is the high bit.
        low: the bit of the last byte where the number ends.
        length: bytes that the number reaches over; the LBA of READ(6) is `bits(1, 4, 0, length=3)`.
        const: always encode this value; the field is then no constructor argument.
        strict: with `const`, refuse to decode data that holds another value.
    """
    return cast(int, Field("uint", byte, length, high, low, const, strict))


def flag(byte: int, bit: int) -> bool:
    """Declare a single bit that reads as False or True."""
    return cast(bool, Field("flag", byte, 1, bit, bit))


def uint(byte: int, length: int = 1, *, const: int | None = None, strict: bool = True) -> int:
    """Declare a big-endian number of 1 to 8 whole bytes; `const` and `strict` as for `bits`."""
    return cast(int, Field("uint", byte, length, 7, 0, const, strict))


def text(byte: int, length: int) -> str:
    """Declare an ASCII field: left aligned, padded with spaces. Decoding follows `inquiry_text`."""
    return cast(str, Field("text", byte, length))


def raw(byte: int, length: int) -> bytes:
    """Declare uninterpreted bytes. A shorter value is padded with zeros at the end."""
    return cast(bytes, Field("raw", byte, length))


_WORDS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class _Step:
    """How one field is taken from, and put into, the values that `struct` unpacks."""

    name: str
    unit: int  # index into the unpacked tuple
    shift: int
    mask: int  # 0 for text and raw
    field: Field


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled table."""

    packer: Struct
    steps: tuple[_Step, ...]
    blank: tuple[int | bytes, ...]  # one zero per unit
    odd: tuple[tuple[int, int], ...]  # (unit, length) of numbers that struct has no letter for


def _units(fields: Mapping[str, Field]) -> list[tuple[int, int]]:
    """Merge the byte ranges of fields that share bytes into disjoint (start, end) units."""
    units: list[tuple[int, int]] = []
    for field in sorted(fields.values(), key=lambda one: (one.byte, one.end)):
        if units and field.byte < units[-1][1]:
            units[-1] = (units[-1][0], max(units[-1][1], field.end))
        else:
            units.append((field.byte, field.end))
    return units


def _check(layout: str, fields: Mapping[str, Field], size: int) -> None:
    """Raise LayoutError unless every field lies inside the structure and no two share a bit."""
    owner: dict[int, str] = {}
    for name, field in fields.items():
        if field.kind in ("uint", "flag") and not (1 <= field.length <= 8 and field.width > 0):
            raise LayoutError(f"{layout}.{name}: a number has 1 to 8 bytes, from a high bit to a low one")
        if not (0 <= field.low <= 7 and 0 <= field.high <= 7):
            raise LayoutError(f"{layout}.{name}: bits are numbered 7 to 0")
        if field.byte < 0 or field.length < 1 or field.end > size:
            raise LayoutError(f"{layout}.{name}: bytes {field.byte}..{field.end - 1} not in 0..{size - 1}")
        if field.const is not None and not 0 <= field.const < 1 << field.width:
            raise LayoutError(f"{layout}.{name}: constant {field.const:#x} is outside {field.allowed}")
        first = field.byte * 8 + 7 - field.high
        for bit in range(first, field.end * 8 - field.low):
            if bit in owner:
                where = f"byte {bit // 8} bit {7 - bit % 8}"
                raise LayoutError(f"{layout}.{name}: overlaps {owner[bit]} at {where}")
            owner[bit] = name


def _compile(fields: Mapping[str, Field], size: int) -> _Plan:
    """Turn a checked table into a struct format and the steps that go with it."""
    spelled, at, units = [">"], 0, _units(fields)
    odd, blank = [], []
    index = {start: number for number, (start, _) in enumerate(units)}
    texts = {field.byte for field in fields.values() if field.kind in ("text", "raw")}
    for number, (start, end) in enumerate(units):
        spelled.append(f"{start - at}x" if start > at else "")
        letter = _WORDS.get(end - start) if start not in texts else None
        spelled.append(letter or f"{end - start}s")
        if letter is None and start not in texts:
            odd.append((number, end - start))
        blank.append(bytes(end - start) if start in texts else 0)
        at = end
    spelled.append(f"{size - at}x" if size > at else "")
    steps = []
    for name, field in fields.items():
        start, end = next(unit for unit in units if unit[0] <= field.byte < unit[1])
        if field.kind in ("text", "raw"):
            steps.append(_Step(name, index[start], 0, 0, field))
        else:
            shift = 8 * (end - field.end) + field.low
            steps.append(_Step(name, index[start], shift, (1 << field.width) - 1, field))
    return _Plan(Struct("".join(spelled)), tuple(steps), tuple(blank), tuple(odd))


class _Rows(dict[str, Any]):
    """The class body while it is read; a row given twice is an error rather than a lost row."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Field):
            raise LayoutError(f"{name}: declared twice")
        super().__setitem__(name, value)


class _LayoutType(type):
    """Exists for `__prepare__` only."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **options: Any) -> _Rows:
        return _Rows()


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Layout(metaclass=_LayoutType):
    """Base of every fixed structure on the wire; see the module for how to declare one.

    The constructor takes the fields by keyword; one that is not given is zero or empty. A declaration
    with `const` and without an annotation is no argument; the value is then a class attribute as well.

    Attributes:
        size: bytes of the structure.
        struct: the compiled `struct.Struct`.
        fields: the rows by name, in the order of declaration.
        decoded_length: how many bytes of the structure `decode` was given; `size` for a value made here.

    Raises:
        LayoutError: a value does not fit its field.
        TypeError: a name that is no field.
    """

    size: ClassVar[int] = 0
    struct: ClassVar[Struct] = Struct("")
    fields: ClassVar[Mapping[str, Field]] = {}
    _plan: ClassVar[_Plan] = _Plan(Struct(""), (), (), ())
    _zero: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, *, size: int | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: row for name, row in vars(cls).items() if isinstance(row, Field)}
        for name, row in own.items():
            if name in cls.fields or hasattr(Layout, name) or name == "decoded_length":
                raise LayoutError(f"{cls.__name__}.{name}: the name is taken")
            if row.const is None:
                delattr(cls, name)
            else:
                setattr(cls, name, row.const)
        cls.size = cls.size if size is None else size
        cls.fields = {**cls.fields, **own}
        _check(cls.__name__, cls.fields, cls.size)
        cls._plan = _compile(cls.fields, cls.size)
        cls.struct = cls._plan.packer
        cls._zero = {name: row.zero for name, row in cls.fields.items() if row.const is None}

    def __init__(self, **values: Any) -> None:
        state = self.__dict__
        state.update(self._zero)
        for name, value in values.items():
            if name not in self._zero:
                raise TypeError(f"{type(self).__name__}() has no field {name!r}")
            try:
                state[name] = self.fields[name].normal(value)
            except ValueError:
                where, allowed = f"{type(self).__name__}.{name}", self.fields[name].allowed
                raise LayoutError(f"{where}: {value!r} does not fit; allowed: {allowed}") from None
        state["_decoded_length"] = self.size

    @property
    def decoded_length(self) -> int:
        """Bytes of the structure that were really there; `size` for a value that was made, not decoded."""
        return cast(int, self.__dict__["_decoded_length"])

    def has(self, name: str) -> bool:
        """Say whether all bytes of a field were in the data that this value was decoded from.

        Raises:
            LayoutError: there is no such field.
        """
        try:
            return self.fields[name].end <= self.decoded_length
        except KeyError:
            raise LayoutError(f"{type(self).__name__} has no field {name!r}") from None

    def encode(self) -> bytes:
        """Return the structure, `size` bytes; what no field covers is zero."""
        plan, state = self._plan, self.__dict__
        values: list[Any] = list(plan.blank)
        for step in plan.steps:
            if step.mask:
                const = step.field.const
                values[step.unit] |= (state[step.name] if const is None else const) << step.shift
            elif step.field.kind == "text":
                values[step.unit] = state[step.name].encode("ascii").ljust(step.field.length)
            else:
                values[step.unit] = state[step.name]
        for unit, length in plan.odd:
            values[unit] = values[unit].to_bytes(length, "big")
        return plan.packer.pack(*values)

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the start of `data`; what follows it is ignored.

        Data may be shorter than the structure. A number that is not wholly there reads as zero; a text
        or raw field keeps the bytes that arrived. `has` tells the difference.

        Raises:
            DecodeError: a strict constant (an operation code, a page code) has another value.
        """
        there = min(len(data), cls.size)
        whole = bytes(data[: cls.size]).ljust(cls.size, b"\0")
        values: list[Any] = list(cls._plan.packer.unpack(whole))
        for unit, _ in cls._plan.odd:
            values[unit] = int.from_bytes(values[unit], "big")
        self = cls.__new__(cls)
        state = self.__dict__
        for step in cls._plan.steps:
            field = step.field
            if field.const is not None:
                cls._match(step, values, there)
            elif not step.mask:
                piece = values[step.unit]
                state[step.name] = piece if field.kind == "raw" else inquiry_text(piece)
            elif field.end > there:
                state[step.name] = field.zero
            else:
                number = values[step.unit] >> step.shift & step.mask
                state[step.name] = number if field.kind == "uint" else number == 1
        state["_decoded_length"] = there
        return self

    @classmethod
    def _match(cls, step: _Step, values: list[Any], there: int) -> None:
        """Raise DecodeError if a strict constant is there with another value."""
        found = values[step.unit] >> step.shift & step.mask
        if step.field.strict and step.field.end <= there and found != step.field.const:
            where = f"{cls.__name__}.{step.name} at byte {step.field.byte}"
            raise DecodeError(f"{where}: {found:#04x}, expected {step.field.const:#04x}")

    def replace(self, **changes: Any) -> Self:
        """Return a copy in which the named fields have other values; raises as the constructor does."""
        kept = {name: self.__dict__[name] for name in self._zero}
        return type(self)(**{**kept, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(self.__dict__[name] == other.__dict__[name] for name in self._zero)

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._zero)))

    def __repr__(self) -> str:
        state = self.__dict__
        given = (f"{name}={state[name]!r}" for name, zero in self._zero.items() if state[name] != zero)
        return f"{type(self).__name__}({', '.join(given)})"
