"""Twin documents: what a device answered, kept so that a virtual unit can answer the same.

A twin has the answers to the commands that identify and describe a device. They are kept by CDB, without
the allocation length: the device's data is kept whole, and cut for each initiator as it asks. User data is
never in it.

As a file it is JSON::

    {
      "midlayer_twin": 1,
      "captured_at": "2026-11-21T10:00:00Z",
      "serials": "as captured",
      "answers": [
        {"command": "INQUIRY", "cdb": "120000000000", "data": "0000…"},
        {"command": "LOG SENSE", "cdb": "4d00…", "status": 2, "sense": "7000…"}
      ],
      "refusals": [
        {"command": "MODE SENSE(6)", "cdb": "1a", "status": 2, "sense": "7000…"}
      ]
    }

A refusal is what the device says to a page, or a service action, that it does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midlayer.errors import ConfigError
from midlayer.standards.opcodes import Opcode, command_name
from midlayer.standards.sbc import ReadCapacity10Data, ReadCapacity16Data
from midlayer.standards.spc import ReportSupportedOperationCodes, StandardInquiry, decode_supported_opcodes

VERSION = 1
AS_CAPTURED, MASKED = "as captured", "masked"

ALLOCATION_LENGTHS: dict[int, slice] = {
    Opcode.REQUEST_SENSE: slice(4, 5),
    Opcode.INQUIRY: slice(3, 5),
    Opcode.MODE_SENSE_6: slice(4, 5),
    Opcode.RECEIVE_DIAGNOSTIC_RESULTS: slice(3, 5),
    Opcode.READ_POSITION: slice(7, 9),
    Opcode.READ_TOC_PMA_ATIP: slice(7, 9),
    Opcode.REPORT_DENSITY_SUPPORT: slice(7, 9),
    Opcode.GET_CONFIGURATION: slice(7, 9),
    Opcode.LOG_SENSE: slice(7, 9),
    Opcode.READ_DISC_INFORMATION: slice(7, 9),
    Opcode.MODE_SENSE_10: slice(7, 9),
    Opcode.SERVICE_ACTION_IN_16: slice(10, 14),
    Opcode.REPORT_LUNS: slice(6, 10),
    Opcode.MAINTENANCE_IN: slice(6, 10),
    Opcode.READ_ELEMENT_STATUS: slice(7, 10),
}
"""Where the allocation length of a command is, for those that a twin answers and that have one."""


def key_of(cdb: bytes) -> bytes:
    """Return a CDB without its allocation length, so that all who ask for the same have the same key."""
    place = ALLOCATION_LENGTHS.get(cdb[0]) if cdb else None
    if place is None:
        return cdb
    return cdb[: place.start] + bytes(place.stop - place.start) + cdb[place.stop :]


def allocation_length(cdb: bytes) -> int | None:
    """Return the allocation length of a CDB; None if the command has none, or the CDB is too short."""
    place = ALLOCATION_LENGTHS.get(cdb[0]) if cdb else None
    if place is None or len(cdb) < place.stop:
        return None
    return int.from_bytes(cdb[place], "big")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device said to one command.

    Attributes:
        data: All that it has to say, not cut at an allocation length.
        status: SCSI status byte.
        sense: Raw sense data.
    """

    data: bytes = b""
    status: int = 0
    sense: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Twin:
    """What is known of one device.

    Attributes:
        answers: By `key_of` the CDB.
        refusals: By operation code.
        captured_at: When, as ISO 8601 text in UTC; empty if nobody said.
        serials: `AS_CAPTURED` or `MASKED`.
    """

    answers: Mapping[bytes, Answer]
    refusals: Mapping[int, Answer] = field(default_factory=dict)
    captured_at: str = ""
    serials: str = AS_CAPTURED

    def answer(self, cdb: bytes) -> Answer | None:
        """Return what the device said to this CDB, or says to what it does not have; None if not known."""
        return self.answers.get(key_of(cdb)) or self.refusals.get(cdb[0])

    @property
    def inquiry_data(self) -> bytes:
        """Raw standard INQUIRY data."""
        return self.answers[_INQUIRY].data

    @property
    def inquiry(self) -> StandardInquiry:
        """Standard INQUIRY data, decoded."""
        return StandardInquiry.decode(self.inquiry_data)

    @property
    def supported_opcodes(self) -> frozenset[int] | None:
        """Operation codes that the device lists as supported; None if it lists none."""
        answer = self.answers.get(ReportSupportedOperationCodes().encode())
        if answer is None or len(answer.data) < _SHORTEST_OPCODE_LIST:
            return None
        return frozenset(command.opcode for command in decode_supported_opcodes(answer.data))

    @property
    def capacity(self) -> tuple[int, int]:
        """Number of logical blocks and bytes of each; zeros for a device without blocks."""
        long = self.answers.get(_READ_CAPACITY_16)
        if long is not None and len(long.data) >= _SHORTEST_CAPACITY_16:
            read = ReadCapacity16Data.decode(long.data)
            return read.returned_logical_block_address + 1, read.block_length_in_bytes
        short = self.answers.get(_READ_CAPACITY_10)
        if short is None or len(short.data) < ReadCapacity10Data.size:
            return 0, 0
        data = ReadCapacity10Data.decode(short.data)
        return data.returned_logical_block_address + 1, data.block_length_in_bytes

    def opcodes(self) -> frozenset[int]:
        """Operation codes that it has answers or refusals for."""
        return frozenset(key[0] for key in self.answers) | frozenset(self.refusals)

    def dump(self) -> str:
        """Return the text of the document."""
        document = {
            "midlayer_twin": VERSION,
            "captured_at": self.captured_at,
            "serials": self.serials,
            "answers": [_entry(key, answer) for key, answer in self.answers.items()],
            "refusals": [_entry(bytes((opcode,)), answer) for opcode, answer in self.refusals.items()],
        }
        return json.dumps(document, indent=1) + "\n"


_SHORTEST_INQUIRY, _SHORTEST_OPCODE_LIST, _SHORTEST_CAPACITY_16 = 5, 12, 12
_READ_CAPACITY_10 = bytes((Opcode.READ_CAPACITY_10,)) + bytes(9)
_READ_CAPACITY_16 = bytes((Opcode.SERVICE_ACTION_IN_16, 0x10)) + bytes(14)
_INQUIRY = bytes((Opcode.INQUIRY, 0, 0, 0, 0, 0))


def read_twin(path: Path) -> Twin:
    """Read a twin document.

    Raises:
        ConfigError: If there is no such file, or it is not a whole twin.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(error.strerror or str(error), file=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8: not a twin document", file=str(path)) from error
    return parse_twin(text, file=str(path))


def parse_twin(text: str, *, file: str = "twin") -> Twin:
    """Check the text of a twin document.

    Args:
        text: JSON.
        file: Its name, for messages.

    Raises:
        ConfigError: With the first mistake.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        raise ConfigError("not JSON: write one with midlayer capture", file=file, line=line) from None
    if not isinstance(document, dict) or document.get("midlayer_twin") != VERSION:
        raise ConfigError(
            f"not a twin document of version {VERSION}: write one with midlayer capture",
            file=file,
            key="midlayer_twin",
        )
    reader = _Reader(file)
    answers = {key_of(cdb): answer for cdb, answer in reader.entries(document, "answers", shortest=6)}
    refusals = {cdb[0]: answer for cdb, answer in reader.entries(document, "refusals", shortest=1)}
    if len(answers.get(_INQUIRY, Answer()).data) < _SHORTEST_INQUIRY:
        raise ConfigError("there is no standard INQUIRY data in it", file=file, key="answers")
    return Twin(
        answers=answers,
        refusals=refusals,
        captured_at=reader.text(document, "captured_at", ""),
        serials=reader.text(document, "serials", AS_CAPTURED),
    )


class _Reader:
    """Takes a document apart, and says where it is wrong."""

    def __init__(self, file: str) -> None:
        self._file = file

    def entries(self, document: Mapping[str, Any], name: str, *, shortest: int) -> list[tuple[bytes, Answer]]:
        entries = document.get(name, [])
        if not isinstance(entries, list):
            raise ConfigError("must be a list", file=self._file, key=name)
        return [self._entry(entry, f"{name}[{number}]", shortest) for number, entry in enumerate(entries)]

    def text(self, document: Mapping[str, Any], name: str, default: str) -> str:
        value = document.get(name, default)
        if not isinstance(value, str):
            raise ConfigError("must be text", file=self._file, key=name)
        return value

    def _entry(self, entry: object, place: str, shortest: int) -> tuple[bytes, Answer]:
        if not isinstance(entry, dict):
            raise ConfigError("must be an object with cdb and data", file=self._file, key=place)
        cdb = self._bytes(entry, "cdb", place)
        if not shortest <= len(cdb) <= 260:
            said = f"a CDB has {shortest} to 260 bytes, this one has {len(cdb)}"
            raise ConfigError(said, file=self._file, key=f"{place}.cdb")
        status = entry.get("status", 0)
        if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= 0xFF:
            raise ConfigError("must be a byte", file=self._file, key=f"{place}.status")
        data, sense = self._bytes(entry, "data", place), self._bytes(entry, "sense", place)
        return cdb, Answer(data, status, sense)

    def _bytes(self, entry: Mapping[str, Any], name: str, place: str) -> bytes:
        value = entry.get(name, "")
        try:
            return bytes.fromhex(value)
        except (TypeError, ValueError):
            key = f"{place}.{name}"
            raise ConfigError("must be bytes in hexadecimal", file=self._file, key=key) from None


def _entry(key: bytes, answer: Answer) -> dict[str, Any]:
    entry: dict[str, Any] = {"command": command_name(key.ljust(16, b"\0")), "cdb": key.hex()}
    if answer.data:
        entry["data"] = answer.data.hex()
    if answer.status:
        entry["status"] = answer.status
    if answer.sense:
        entry["sense"] = answer.sense.hex()
    return entry
