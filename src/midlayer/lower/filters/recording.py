"""A session of commands as JSON lines: how a line looks, and how it is read.

::

    {"midlayer_recording": 1, "begun": "2026-11-21T06:24:54.870000Z"}
    {"device": "0:0:0:0", "inquiry": "00000612…", "vpd": {"00": "…", "80": "…"}}
    {"n": 1, "device": "0:0:0:0", "at_s": 0.0021, "initiator": "local", "cdb": "1200000024…", "out": null,
     "in_length": 36, "in": {"base64": "AAAG…"}, "status": 0, "host_byte": 0, "sense": "", "residual": 0,
     "duration_s": 0.000012}

``n`` counts commands in the order in which they went down; lines are in the order in which they came up.
A command that never came up has no ``status``. Data is there as it is, or as ``{"sha256": …, "bytes": N}``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from midlayer.address import Address
from midlayer.errors import AddressError, UsageError
from midlayer.mid.command import Buffer

VERSION = 1


class RecordingError(UsageError):
    """A recording that can not be read; the text says which line."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes that went one way, or what is known of them.

    Attributes:
        length: How many.
        content: The bytes; None if only their hash was kept.
        sha256: Their hash, in hexadecimal.
    """

    length: int
    content: bytes | None
    sha256: str

    @classmethod
    def of(cls, data: Buffer) -> Data:
        """Take over bytes."""
        content = bytes(data)
        return cls(len(content), content, hashlib.sha256(content).hexdigest())

    def to_json(self, *, hashed: bool) -> dict[str, Any]:
        """Return what stands in a line."""
        if hashed or self.content is None:
            return {"sha256": self.sha256, "bytes": self.length}
        return {"base64": base64.b64encode(self.content).decode("ascii")}

    @classmethod
    def from_json(cls, value: Any) -> Data | None:
        """Read what stands in a line."""
        if value is None:
            return None
        if "base64" in value:
            return cls.of(base64.b64decode(value["base64"], validate=True))
        return cls(_number(value["bytes"]), None, str(value["sha256"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedDevice:
    """What was known of a device when its first command went down."""

    address: Address
    inquiry: bytes
    vpd: dict[int, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedCommand:
    """One command and its answer.

    Attributes:
        number: Place in the order in which commands went down, from 1.
        address: Of the device.
        initiator: Name of the initiator port.
        cdb: As it was sent.
        data_out: Data for the device.
        in_length: Room for data from the device; None without any.
        data_in: What came.
        finished: False if the command never came up; what follows means nothing then.
        status, host_byte, sense, residual, duration_s: The answer.
    """

    number: int
    address: Address
    initiator: str
    cdb: bytes
    data_out: Data | None = None
    in_length: int | None = None
    data_in: Data | None = None
    finished: bool = True
    status: int = 0
    host_byte: int = 0
    sense: bytes = b""
    residual: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole session: devices by address, and commands in the order in which they went down."""

    devices: dict[Address, RecordedDevice]
    commands: tuple[RecordedCommand, ...]

    @classmethod
    def parse(cls, lines: Iterable[str], *, file: str = "recording") -> Recording:
        """Read a recording.

        Raises:
            RecordingError: For the first line that is none.
        """
        devices: dict[Address, RecordedDevice] = {}
        commands: list[RecordedCommand] = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if number == 1:
                    _check_head(entry)
                elif "n" in entry:
                    commands.append(_command(entry))
                else:
                    device = _device(entry)
                    devices[device.address] = device
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
                why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
                raise RecordingError(f"{file}:{number}: not a line of a recording: {why}") from None
        if not devices and not commands:
            raise RecordingError(f"{file}: nothing was recorded")
        return cls(devices, tuple(sorted(commands, key=lambda command: command.number)))


def _check_head(entry: Any) -> None:
    if not isinstance(entry, dict) or entry.get("midlayer_recording") != VERSION:
        raise ValueError(f"the first line must have midlayer_recording {VERSION}")


def _device(entry: Any) -> RecordedDevice:
    return RecordedDevice(
        address=_address(entry["device"]),
        inquiry=bytes.fromhex(entry["inquiry"]),
        vpd={int(page, 16): bytes.fromhex(data) for page, data in entry["vpd"].items()},
    )


def _command(entry: Any) -> RecordedCommand:
    cdb = bytes.fromhex(entry["cdb"])
    if not cdb:
        raise ValueError("cdb is empty")
    common: dict[str, Any] = {
        "number": _number(entry["n"]),
        "address": _address(entry["device"]),
        "initiator": str(entry["initiator"]),
        "cdb": cdb,
        "data_out": Data.from_json(entry["out"]),
        "in_length": None if entry["in_length"] is None else _number(entry["in_length"]),
    }
    if "status" not in entry:
        return RecordedCommand(**common, finished=False)
    data_in = Data.from_json(entry["in"])
    if data_in is not None and data_in.length > (common["in_length"] or 0):
        raise ValueError(f"in has {data_in.length} bytes, more than in_length")
    return RecordedCommand(
        **common,
        data_in=data_in,
        status=_number(entry["status"]),
        host_byte=_number(entry["host_byte"]),
        sense=bytes.fromhex(entry["sense"]),
        residual=_number(entry["residual"], lowest=-(1 << 63)),
        duration_s=float(entry["duration_s"]),
    )


def _address(text: Any) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise ValueError(str(error)) from None


def _number(value: Any, lowest: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 1 << 63:
        raise ValueError(f"{value!r} must be a number")
    return value
