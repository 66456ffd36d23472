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
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, dataclass_transform

if TYPE_CHECKING:
    from inspect import Signature

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


_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled table: what `struct` unpacks is a tuple of units, and fields are parts of units."""

    packer: Struct
    blank: tuple[int | bytes, ...] = ()  # one zero per unit
    odd: tuple[tuple[int, int], ...] = ()  # (unit, length) of numbers that struct has no letter for
    numbers: tuple[tuple[str, int, int, int], ...] = ()  # (name, unit, shift, mask)
    flags: tuple[tuple[str, int, int], ...] = ()  # (name, unit, mask)
    texts: tuple[tuple[str, int, int], ...] = ()  # (name, unit, length)
    raws: tuple[tuple[str, int], ...] = ()  # (name, unit)
    strict: tuple[tuple[str, int, int, int, Field], ...] = ()  # (name, unit, shift, mask, field)
    zero: Mapping[str, Any] = field(default_factory=dict)  # of every field that is no constant
    limits: Mapping[str, int] = field(default_factory=dict)  # the least number that does not fit


def _units(rows: Mapping[str, Field]) -> list[tuple[int, int]]:
    """Merge the byte ranges of fields that share bytes into disjoint (start, end) units."""
    units: list[tuple[int, int]] = []
    for row in sorted(rows.values(), key=lambda one: (one.byte, one.end)):
        if units and row.byte < units[-1][1]:
            units[-1] = (units[-1][0], max(units[-1][1], row.end))
        else:
            units.append((row.byte, row.end))
    return units


def _check(layout: str, rows: Mapping[str, Field], size: int) -> None:
    """Raise LayoutError unless every row lies inside the structure and no two share a bit."""
    owner: dict[int, str] = {}
    for name, row in rows.items():
        if row.kind in ("uint", "flag") and not (1 <= row.length <= 8 and row.width > 0):
            raise LayoutError(f"{layout}.{name}: a number has 1 to 8 bytes, from a high bit to a low one")
        if not (0 <= row.low <= 7 and 0 <= row.high <= 7):
            raise LayoutError(f"{layout}.{name}: bits are numbered 7 to 0")
        if row.byte < 0 or row.length < 1 or row.end > size:
            raise LayoutError(f"{layout}.{name}: bytes {row.byte}..{row.end - 1} not in 0..{size - 1}")
        if row.const is not None and not 0 <= row.const < 1 << row.width:
            raise LayoutError(f"{layout}.{name}: constant {row.const:#x} is outside {row.allowed}")
        first = row.byte * 8 + 7 - row.high
        for bit in range(first, row.end * 8 - row.low):
            if bit in owner:
                where = f"byte {bit // 8} bit {7 - bit % 8}"
                raise LayoutError(f"{layout}.{name}: overlaps {owner[bit]} at {where}")
            owner[bit] = name


def _format(units: list[tuple[int, int]], opaque: set[int], size: int) -> Struct:
    """Spell the struct format: a letter or a string for every unit, pad bytes between them."""
    spelled, at = [">"], 0
    for start, end in units:
        length = end - start
        spelled.append(f"{start - at}x" if start > at else "")
        spelled.append(f"{length}s" if start in opaque else _LETTERS.get(length, f"{length}s"))
        at = end
    spelled.append(f"{size - at}x" if size > at else "")
    return Struct("".join(spelled))


def _compile(rows: Mapping[str, Field], size: int) -> _Plan:
    """Turn a checked table into a struct format and the parts that fields are of its units."""
    units = _units(rows)
    opaque = {row.byte for row in rows.values() if row.kind in {"text", "raw"}}
    blank: list[int | bytes] = [bytes(end - start) if start in opaque else 0 for start, end in units]
    numbers, flags, texts, raws, strict = [], [], [], [], []
    for name, row in rows.items():
        unit = next(index for index, (start, end) in enumerate(units) if start <= row.byte < end)
        shift, mask = 8 * (units[unit][1] - row.end) + row.low, (1 << row.width) - 1
        if row.kind == "text":
            texts.append((name, unit, row.length))
        elif row.kind == "raw":
            raws.append((name, unit))
        elif row.const is not None:
            blank[unit] = cast(int, blank[unit]) | row.const << shift
            strict += [(name, unit, shift, mask, row)] if row.strict else []
        elif row.kind == "flag":
            flags.append((name, unit, mask << shift))
        else:
            numbers.append((name, unit, shift, mask))
    lengths = [(index, end - start) for index, (start, end) in enumerate(units) if start not in opaque]
    return _Plan(
        packer=_format(units, opaque, size),
        blank=tuple(blank),
        odd=tuple((index, length) for index, length in lengths if length not in _LETTERS),
        numbers=tuple(numbers),
        flags=tuple(flags),
        texts=tuple(texts),
        raws=tuple(raws),
        strict=tuple(strict),
        zero={name: row.zero for name, row in rows.items() if row.const is None},
        limits={name: mask + 1 for name, _, _, mask in numbers},
    )


class _Rows(dict[str, Any]):
    """The class body while it is read; a row given twice is an error rather than a lost row."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Field):
            raise LayoutError(f"{name}: declared twice")
        super().__setitem__(name, value)


class _LayoutType(type):
    """Reads the class body, and tells `help` what the constructor takes."""

    _plan: _Plan

    @property
    def __signature__(cls) -> Signature:
        from inspect import Parameter, Signature  # noqa: PLC0415 (takes time, and only `help` asks)

        return Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=default)
                for name, default in cls._plan.zero.items()
            ]
        )

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
    _plan: ClassVar[_Plan] = _Plan(Struct(""))

    def __init_subclass__(cls, *, size: int | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: row for name, row in vars(cls).items() if isinstance(row, Field)}
        parent = next(one for one in cls.__mro__[1:] if issubclass(one, Layout))
        inherited = parent.fields
        for name, row in own.items():
            if name in inherited or hasattr(Layout, name) or name == "decoded_length":
                raise LayoutError(f"{cls.__name__}.{name}: the name is taken")
            if row.const is None:
                delattr(cls, name)
            else:
                setattr(cls, name, row.const)
        cls.size = cls.size if size is None else size
        cls.fields = {**inherited, **own}
        _check(cls.__name__, cls.fields, cls.size)
        cls._plan = _compile(cls.fields, cls.size)
        cls.struct = cls._plan.packer

    def __init__(self, **values: Any) -> None:
        state, plan = self.__dict__, self._plan
        state.update(plan.zero)
        for name, value in values.items():
            limit = plan.limits.get(name)
            if limit is not None and type(value) is int and 0 <= value < limit:
                state[name] = value
            else:
                state[name] = self._normal(name, value)
        state["_decoded_length"] = self.size

    @classmethod
    def _normal(cls, name: str, value: Any) -> Any:
        """Return a value in the form that is stored, or raise."""
        if name not in cls._plan.zero:
            raise TypeError(f"{cls.__name__}() has no field {name!r}, but {', '.join(cls._plan.zero)}")
        row = cls.fields[name]
        try:
            return row.normal(value)
        except ValueError:
            where = f"{cls.__name__}.{name}"
            raise LayoutError(f"{where}: {value!r} does not fit; allowed: {row.allowed}") from None

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
        for name, unit, shift, _ in plan.numbers:
            values[unit] |= state[name] << shift
        for name, unit, mask in plan.flags:
            if state[name]:
                values[unit] |= mask
        for name, unit, length in plan.texts:
            values[unit] = state[name].encode("ascii").ljust(length)
        for name, unit in plan.raws:
            values[unit] = state[name]
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
        plan, there = cls._plan, min(len(data), cls.size)
        whole = data if there == cls.size else bytes(data).ljust(cls.size, b"\0")
        values: list[Any] = list(plan.packer.unpack_from(whole))
        for unit, _ in plan.odd:
            values[unit] = int.from_bytes(values[unit], "big")
        for name, unit, shift, mask, row in plan.strict:
            found = values[unit] >> shift & mask
            if found != row.const and row.end <= there:
                where = f"{cls.__name__}.{name} at byte {row.byte}"
                raise DecodeError(f"{where}: {found:#04x}, expected {row.const:#04x}")
        self = cls.__new__(cls)
        self._take(values, there)
        return self

    def _take(self, values: list[Any], there: int) -> None:
        """Fill a new value from unpacked units of which the first `there` bytes are real."""
        plan, state = self._plan, self.__dict__
        for name, unit, shift, mask in plan.numbers:
            state[name] = values[unit] >> shift & mask
        for name, unit, mask in plan.flags:
            state[name] = values[unit] & mask != 0
        for name, unit, _ in plan.texts:
            state[name] = inquiry_text(values[unit])
        for name, unit in plan.raws:
            state[name] = values[unit]
        if there < self.size:
            names = [row[0] for row in plan.numbers] + [row[0] for row in plan.flags]
            state.update({name: plan.zero[name] for name in names if self.fields[name].end > there})
        state["_decoded_length"] = there

    def replace(self, **changes: Any) -> Self:
        """Return a copy in which the named fields have other values; raises as the constructor does."""
        kept = {name: self.__dict__[name] for name in self._plan.zero}
        return type(self)(**{**kept, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(self.__dict__[name] == other.__dict__[name] for name in self._plan.zero)

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._plan.zero)))

    def __repr__(self) -> str:
        state = self.__dict__
        given = (f"{name}={state[name]!r}" for name, zero in self._plan.zero.items() if state[name] != zero)
        return f"{type(self).__name__}({', '.join(given)})"
