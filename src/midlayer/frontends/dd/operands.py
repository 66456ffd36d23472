"""The operands of ``midlayer dd``, those of sg_dd and sgp_dd, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midlayer.errors import UsageError
from midlayer.spelling import no_such_key

INPUT_FLAGS = ("00", "coe", "dio", "direct", "dpo", "ff", "flock", "fua", "mmap", "null")
OUTPUT_FLAGS = (
    "append",
    "coe",
    "dio",
    "direct",
    "dpo",
    "dsync",
    "flock",
    "fua",
    "mmap",
    "null",
    "sparse",
)
CDB_SIZES = (6, 10, 12, 16)
MAX_DEPTH = 1024
MAX_TRANSFER_BYTES = 16 << 20

_FACTORS = {
    "c": 1, "w": 2, "b": 512, "k": 1 << 10, "K": 1 << 10, "KiB": 1 << 10, "kB": 10**3, "KB": 10**3,
    "m": 1 << 20, "M": 1 << 20, "MiB": 1 << 20, "MB": 10**6, "g": 1 << 30, "G": 1 << 30, "GiB": 1 << 30,
    "GB": 10**9, "t": 1 << 40, "T": 1 << 40, "TiB": 1 << 40, "TB": 10**12, "P": 1 << 50, "": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Operands:
    """What to copy, and how. Numbers of blocks are of `block_size` bytes.

    Attributes:
        source, target: As they were written; ``-`` is standard input and output.
        block_size: Bytes; 0 for the device's own, or 512.
        count: Blocks to copy; None for all that there are.
        skip, seek: Blocks to leave out at the beginning of the source, of the target.
        blocks_per_transfer: Blocks in one command; 0 for about 64 KiB.
        cdb_size: Bytes of a CDB; 0 for 10, or 16 where the address needs it.
        coe: True to go on after an error, with zeros in the place of what can not be read.
        retries: Times that a command which failed is sent again.
        depth: Commands on their way at once, at each end.
        input_flags, output_flags: Of `INPUT_FLAGS` and `OUTPUT_FLAGS`.
        sync: True to have the target make everything durable at the end.
        time: True to say how long it took.
        timeout_s: Seconds that a command has.
        verify: True to compare what was written with what was read.
        resume: The log of an interrupted copy, made if it is not there.
    """

    source: str
    target: str
    block_size: int = 0
    count: int | None = None
    skip: int = 0
    seek: int = 0
    blocks_per_transfer: int = 0
    cdb_size: int = 0
    coe: bool = False
    retries: int = 0
    depth: int = 4
    input_flags: frozenset[str] = field(default_factory=frozenset)
    output_flags: frozenset[str] = field(default_factory=frozenset)
    sync: bool = False
    time: bool = False
    timeout_s: float = 60.0
    verify: bool = False
    resume: Path | None = None

    @property
    def sparse(self) -> bool:
        """True to leave out what is zero."""
        return "sparse" in self.output_flags


def parse(words: Sequence[str]) -> Operands:
    """Read operands, ``if=sg1`` and the like.

    Raises:
        UsageError: For the first one that is wrong; the text says what to write instead.
    """
    given: dict[str, Any] = {"source": "-", "target": "-"}
    seen: set[str] = set()
    for word in words:
        name, equals, value = word.partition("=")
        if name in _SWITCHES and not equals:
            value = "1"
        elif not equals:
            raise UsageError(f"dd: {word!r} is no operand; write if=DEVICE of=FILE bs=512 and the like")
        reader = _OPERANDS.get(name)
        if reader is None:
            raise UsageError(f"dd: {no_such_key(name, _OPERANDS)}")
        if name in seen:
            raise UsageError(f"dd: {name} is given twice")
        seen.add(name)
        for key, converted in reader(name, value).items():
            both = isinstance(converted, frozenset) and key in given
            given[key] = given[key] | converted if both else converted
    if {"if", "of"} & seen == set():
        raise UsageError("dd: name a source or a target: if=DEVICE of=FILE")
    for either, other in (("thr", "depth"),):
        if {either, other} <= seen:
            raise UsageError(f"dd: {either} and {other} are the same; give one of them")
    return _checked(Operands(**given), seen)


def _checked(operands: Operands, seen: set[str]) -> Operands:
    if operands.source == operands.target != "-":
        first, second = operands.skip, operands.seek
        if first == second:
            raise UsageError("dd: if and of are the same, and so are skip and seek: nothing would change")
    length = operands.block_size * operands.blocks_per_transfer
    if length > MAX_TRANSFER_BYTES:
        most = MAX_TRANSFER_BYTES // operands.block_size
        raise UsageError(
            f"dd: bpt={operands.blocks_per_transfer}: at most {most} blocks of {operands.block_size}"
        )
    if operands.resume is not None and "-" in (operands.source, operands.target):
        raise UsageError(
            "dd: resume needs a source and a target that can be read and written anywhere, not -"
        )
    if operands.resume is not None and "append" in operands.output_flags:
        raise UsageError("dd: resume and oflag=append exclude each other")
    if operands.verify and operands.target == "-":
        raise UsageError("dd: verify needs a target that can be read again, not standard output")
    if "append" in operands.output_flags and "seek" in seen:
        raise UsageError("dd: seek and oflag=append exclude each other")
    return operands


def number(name: str, text: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
    """Read a number as dd has them: ``64``, ``0x40``, ``40h``, ``4k``, ``2x512``.

    Raises:
        UsageError: If it is none, or too small or too large.
    """
    value = 1
    for part in text.split("x") if not text.lower().startswith("0x") else [text]:
        value *= _factor(name, text, part)
    if not least <= value <= most:
        raise UsageError(f"dd: {name}={text}: must be {least} to {most}")
    return value


def _factor(name: str, text: str, part: str) -> int:
    try:
        if part.lower().startswith("0x"):
            return int(part, 16)
        if part[-1:] in ("h", "H"):
            return int(part[:-1], 16)
        digits = part.rstrip("".join(set("".join(_FACTORS))))
        if digits.isascii() and digits.isdigit():
            return int(digits) * _FACTORS[part[len(digits) :]]
    except (ValueError, KeyError):
        pass
    raise UsageError(f"dd: {name}={text}: not a number; write 64, 0x40, 40h, 4k or 2x512")


Reader = Callable[[str, str], dict[str, Any]]


def _text(key: str) -> Reader:
    def read(name: str, text: str) -> dict[str, Any]:
        if not text:
            raise UsageError(f"dd: {name}= names nothing")
        return {key: text}

    return read


def _number(key: str, *, least: int = 0, most: int = (1 << 63) - 1) -> Reader:
    return lambda name, text: {key: number(name, text, least=least, most=most)}


def _switch(key: str) -> Reader:
    def read(name: str, text: str) -> dict[str, Any]:
        if text not in ("0", "1"):
            raise UsageError(f"dd: {name}={text}: must be 0 or 1")
        return {key: text == "1"}

    return read


def _flags(key: str, known: Sequence[str]) -> Reader:
    def read(name: str, text: str) -> dict[str, Any]:
        flags = [flag for flag in text.split(",") if flag]
        for flag in flags:
            if flag not in known:
                raise UsageError(f"dd: {name}={flag}: no such flag; known: {', '.join(known)}")
        found: dict[str, Any] = {key: frozenset(flags)}
        return found | ({"coe": True} if "coe" in flags else {})

    return read


def _count(name: str, text: str) -> dict[str, Any]:
    return {"count": None if text == "-1" else number(name, text)}


def _cdb_size(name: str, text: str) -> dict[str, Any]:
    size = number(name, text)
    if size not in CDB_SIZES:
        raise UsageError(f"dd: {name}={text}: must be 6, 10, 12 or 16")
    return {"cdb_size": size}


def _fua(name: str, text: str) -> dict[str, Any]:
    bits = number(name, text, most=3)
    fua = frozenset({"fua"})
    return {
        "input_flags": fua if bits & 2 else frozenset(),
        "output_flags": fua if bits & 1 else frozenset(),
    }


def _dio(name: str, text: str) -> dict[str, Any]:
    flags = frozenset({"dio"}) if number(name, text, most=1) else frozenset()
    return {"input_flags": flags, "output_flags": flags}


def _sparse(name: str, text: str) -> dict[str, Any]:
    return {"output_flags": frozenset({"sparse"}) if _switch("on")(name, text)["on"] else frozenset()}


def _time(name: str, text: str) -> dict[str, Any]:
    shown, comma, seconds = text.partition(",")
    found = _switch("time")(name, shown)
    return found | ({"timeout_s": float(number(name, seconds, least=1, most=86400))} if comma else {})


def _resume(name: str, text: str) -> dict[str, Any]:
    return {"resume": Path(_text("log")(name, text)["log"])}


_SWITCHES = ("verify", "sparse", "sync", "time", "coe")
_OPERANDS: dict[str, Reader] = {
    "if": _text("source"),
    "of": _text("target"),
    "bs": _number("block_size", least=1, most=MAX_TRANSFER_BYTES),
    "count": _count,
    "skip": _number("skip"),
    "seek": _number("seek"),
    "bpt": _number("blocks_per_transfer", least=1, most=MAX_TRANSFER_BYTES),
    "cdbsz": _cdb_size,
    "fua": _fua,
    "dio": _dio,
    "coe": _switch("coe"),
    "retries": _number("retries", most=1000),
    "thr": _number("depth", least=1, most=MAX_DEPTH),
    "depth": _number("depth", least=1, most=MAX_DEPTH),
    "iflag": _flags("input_flags", INPUT_FLAGS),
    "oflag": _flags("output_flags", OUTPUT_FLAGS),
    "sync": _switch("sync"),
    "time": _time,
    "verify": _switch("verify"),
    "sparse": _sparse,
    "resume": _resume,
}
