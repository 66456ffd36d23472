"""Sense data (SPC-4 4.5): why a command did not end well, in the fixed and the descriptor format.

`Sense.decode` never raises: sense comes from devices, in part from broken ones, and is read when
something has gone wrong already. What is cut off or contradicts its own lengths reads as absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import Layout, LayoutError, bits, flag, raw, uint
from midlayer.standards.asc import asc_name

__all__ = [
    "FieldPointer",
    "FixedSense",
    "Sense",
    "SenseDescriptor",
    "SenseKey",
    "descriptor_sense",
    "fixed_sense",
]


class SenseKey(IntEnum):
    """Sense keys (SPC-4 table 48)."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    EQUAL = 0xC
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF

    @property
    def title(self) -> str:
        """The name as standards print it: ``MEDIUM ERROR``."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class FieldPointer:
    """Which byte of a request was refused (SPC-4 4.5.2.4.2).

    Attributes:
        in_cdb: the byte is in the CDB; otherwise in the parameter data.
        byte: number of the byte, from 0.
        bit: number of the bit in it, or None if the whole byte is meant.
    """

    in_cdb: bool
    byte: int
    bit: int | None = None

    def encode(self) -> bytes:
        """Return the three sense-key specific bytes, SKSV set; LayoutError if a number is too big."""
        if not 0 <= self.byte <= 0xFFFF or not 0 <= (self.bit or 0) <= 7:
            raise LayoutError(f"{self}: byte must fit 16 bits and bit be 0..7")
        first = 0x80 | self.in_cdb << 6 | (0 if self.bit is None else 8 | self.bit)
        return bytes([first]) + self.byte.to_bytes(2, "big")

    def __str__(self) -> str:
        where = f"byte {self.byte}" + ("" if self.bit is None else f" bit {self.bit}")
        return f"{where} of the {'CDB' if self.in_cdb else 'parameter data'}"


@dataclass(frozen=True, slots=True)
class SenseDescriptor:
    """One descriptor of descriptor format sense data: its type and the bytes after the two of its header."""

    type: int
    data: bytes


class FixedSense(Layout, size=18):
    """Fixed format sense data (SPC-4 4.5.3); `Sense.decode` is the friendly reader."""

    valid: bool = flag(0, 7)
    response_code: int = bits(0, 6, 0)
    filemark: bool = flag(2, 7)
    eom: bool = flag(2, 6)
    ili: bool = flag(2, 5)
    sdat_ovfl: bool = flag(2, 4)
    sense_key: int = bits(2, 3, 0)
    information: int = uint(3, 4)
    additional_sense_length: int = uint(7)
    command_specific_information: int = uint(8, 4)
    additional_sense_code: int = uint(12)
    additional_sense_code_qualifier: int = uint(13)
    field_replaceable_unit_code: int = uint(14)
    sense_key_specific: bytes = raw(15, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sense:
    """Decoded sense data; the same value for both formats.

    Attributes:
        raw: the bytes as they came.
        response_code: 70h to 73h.
        deferred: about an earlier command (71h, 73h).
        descriptor_format: 72h or 73h.
        key: the sense key.
        asc: additional sense code; 0 if cut off.
        ascq: its qualifier.
        information: INFORMATION field, often an LBA; None if not valid or absent.
        command_specific: COMMAND-SPECIFIC INFORMATION; None if absent.
        sense_key_specific: three bytes whose meaning depends on the key; None unless valid.
        fru: field replaceable unit code, 0 if none is given.
        filemark: a filemark or setmark was met (tape).
        eom: end of medium (tape, printer).
        ili: incorrect length indicator.
        sdat_ovfl: the device had more sense than it could send.
        descriptors: every descriptor of the descriptor format, in order.
    """

    raw: bytes
    response_code: int
    key: SenseKey
    asc: int = 0
    ascq: int = 0
    information: int | None = None
    command_specific: int | None = None
    sense_key_specific: bytes | None = None
    fru: int = 0
    filemark: bool = False
    eom: bool = False
    ili: bool = False
    sdat_ovfl: bool = False
    descriptors: tuple[SenseDescriptor, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> Sense | None:
        """Read sense data of either format; None if there is none. Never raises.

        Args:
            data: any number of bytes. What is cut off reads as zero, False or None.
        """
        code = data[0] & 0x7F if data else 0
        if code in (0x70, 0x71):
            return _decode_fixed(bytes(data))
        if code in (0x72, 0x73):
            return _decode_descriptors(bytes(data))
        return None

    @property
    def deferred(self) -> bool:
        """The sense belongs to an earlier command that had ended with GOOD."""
        return self.response_code in (0x71, 0x73)

    @property
    def descriptor_format(self) -> bool:
        """The bytes are in the descriptor format."""
        return self.response_code >= 0x72

    @property
    def field_pointer(self) -> FieldPointer | None:
        """What an ILLEGAL REQUEST refused, if the device says."""
        found = self.sense_key_specific
        if found is None or self.key is not SenseKey.ILLEGAL_REQUEST:
            return None
        bit = found[0] & 7 if found[0] & 8 else None
        return FieldPointer(bool(found[0] & 0x40), int.from_bytes(found[1:], "big"), bit)

    @property
    def progress_raw(self) -> int | None:
        """Progress of an operation in 65,536ths (keys NO SENSE and NOT READY)."""
        if self.key in (SenseKey.NO_SENSE, SenseKey.NOT_READY) and self.sense_key_specific:
            return int.from_bytes(self.sense_key_specific[1:], "big")
        return None

    @property
    def progress(self) -> float | None:
        """Progress of an operation from 0 to 1."""
        return None if self.progress_raw is None else self.progress_raw / 65536

    @property
    def retry_count(self) -> int | None:
        """Retries that the device made (RECOVERED, MEDIUM and HARDWARE ERROR)."""
        keys = (SenseKey.RECOVERED_ERROR, SenseKey.MEDIUM_ERROR, SenseKey.HARDWARE_ERROR)
        if self.key in keys and self.sense_key_specific:
            return int.from_bytes(self.sense_key_specific[1:], "big")
        return None

    @property
    def code(self) -> str:
        """``3/11/00``: key, ASC and ASCQ in hexadecimal."""
        return f"{self.key:x}/{self.asc:02x}/{self.ascq:02x}"

    def __str__(self) -> str:
        vendor = self.asc >= 0x80 or self.ascq >= 0x80
        unnamed = "vendor specific additional sense" if vendor else "unknown additional sense"
        what = asc_name(self.asc, self.ascq) or unnamed
        return f"{'deferred ' if self.deferred else ''}{self.key.title}, {what} ({self.code})"


def _decode_fixed(data: bytes) -> Sense:
    """Decode 70h and 71h; bytes beyond the additional sense length are not sense (SPC-4 4.5.3)."""
    there = data[: 8 + data[7]] if len(data) > 7 else data
    fixed = FixedSense.decode(there)
    specific = fixed.sense_key_specific if fixed.has("sense_key_specific") else b"\0"
    has_specific = fixed.has("command_specific_information")
    return Sense(
        raw=data,
        response_code=fixed.response_code,
        key=SenseKey(fixed.sense_key),
        asc=fixed.additional_sense_code,
        ascq=fixed.additional_sense_code_qualifier,
        information=fixed.information if fixed.valid and fixed.has("information") else None,
        command_specific=fixed.command_specific_information if has_specific else None,
        sense_key_specific=specific if specific[0] & 0x80 else None,
        fru=fixed.field_replaceable_unit_code,
        filemark=fixed.filemark,
        eom=fixed.eom,
        ili=fixed.ili,
        sdat_ovfl=fixed.sdat_ovfl,
    )


def _split(data: bytes) -> Iterator[SenseDescriptor]:
    """Yield the descriptors that follow the 8-byte header; a last one that is cut comes short."""
    end = min(len(data), 8 + data[7]) if len(data) > 7 else 0
    at = 8
    while at + 2 <= end:
        length = data[at + 1]
        yield SenseDescriptor(data[at], data[at + 2 : min(at + 2 + length, end)])
        at += 2 + length


def _decode_descriptors(data: bytes) -> Sense:
    """Decode 72h and 73h (SPC-4 4.5.2)."""
    head = data[:8].ljust(8, b"\0")
    descriptors = tuple(_split(data))
    found = _Found()
    for descriptor in descriptors:
        found.take(descriptor)
    return Sense(
        raw=data,
        response_code=head[0] & 0x7F,
        key=SenseKey(head[1] & 0x0F),
        asc=head[2],
        ascq=head[3],
        information=found.information,
        command_specific=found.command_specific,
        sense_key_specific=found.specific,
        fru=found.fru,
        filemark=found.filemark,
        eom=found.eom,
        ili=found.ili,
        sdat_ovfl=bool(head[4] & 0x80),
        descriptors=descriptors,
    )


@dataclass(slots=True)
class _Found:
    """What the descriptors say so far; the first descriptor that says a thing is believed."""

    information: int | None = None
    command_specific: int | None = None
    specific: bytes | None = None
    fru: int = 0
    filemark: bool = False
    eom: bool = False
    ili: bool = False

    def take(self, descriptor: SenseDescriptor) -> None:
        """Note what one descriptor adds (SPC-4 table 28; 0Dh from SBC-4 4.18.2)."""
        body = descriptor.data
        if descriptor.type == 0x00 and len(body) >= 10 and body[0] & 0x80:
            self._information(body[2:10])
        elif descriptor.type == 0x01 and len(body) >= 10:
            self._command_specific(body[2:10])
        elif descriptor.type == 0x02 and len(body) >= 5:
            self._specific(body[2:5])
        elif descriptor.type == 0x03 and len(body) >= 2:
            self.fru = self.fru or body[1]
        elif descriptor.type == 0x04 and len(body) >= 2:
            self.filemark, self.eom = bool(body[1] & 0x80), bool(body[1] & 0x40)
            self.ili = self.ili or bool(body[1] & 0x20)
        elif descriptor.type == 0x05 and len(body) >= 2:
            self.ili = self.ili or bool(body[1] & 0x20)
        elif descriptor.type == 0x0D and len(body) >= 22:
            self._direct_access(body)

    def _direct_access(self, body: bytes) -> None:
        """Take the descriptor that carries all of it at once for direct access block devices."""
        self.ili = self.ili or bool(body[0] & 0x20)
        self._specific(body[2:5])
        self.fru = self.fru or body[5]
        if body[0] & 0x80:
            self._information(body[6:14])
        self._command_specific(body[14:22])

    def _information(self, data: bytes) -> None:
        if self.information is None:
            self.information = int.from_bytes(data, "big")

    def _command_specific(self, data: bytes) -> None:
        if self.command_specific is None:
            self.command_specific = int.from_bytes(data, "big")

    def _specific(self, data: bytes) -> None:
        if self.specific is None and data[0] & 0x80:
            self.specific = data


def _specific_bytes(pointer: FieldPointer | None, progress: int | None, retries: int | None) -> bytes | None:
    """Return the sense-key specific bytes for the one of three that is given, or None for none."""
    given = [value for value in (progress, retries) if value is not None]
    if len(given) + (pointer is not None) > 1:
        raise LayoutError("sense data has room for one of field_pointer, progress and retry_count")
    if pointer is not None:
        return pointer.encode()
    if not given:
        return None
    if not 0 <= given[0] <= 0xFFFF:
        raise LayoutError(f"sense-key specific number {given[0]} does not fit; allowed: 0..0xffff")
    return b"\x80" + given[0].to_bytes(2, "big")


def fixed_sense(
    key: int,
    asc: int = 0,
    ascq: int = 0,
    *,
    information: int | None = None,
    command_specific: int = 0,
    field_pointer: FieldPointer | None = None,
    progress: int | None = None,
    retry_count: int | None = None,
    fru: int = 0,
    filemark: bool = False,
    eom: bool = False,
    ili: bool = False,
    sdat_ovfl: bool = False,
    deferred: bool = False,
) -> bytes:
    """Return 18 bytes of fixed format sense data (SPC-4 4.5.3).

    Args:
        key: sense key, 0 to 15.
        asc: additional sense code.
        ascq: its qualifier.
        information: at most 32 bits; sets VALID.
        command_specific: at most 32 bits.
        field_pointer: what an ILLEGAL REQUEST refuses.
        progress: 65,536ths of an operation.
        retry_count: retries that were made.
        fru: field replaceable unit code.
        filemark: a filemark was met.
        eom: end of medium.
        ili: incorrect length.
        sdat_ovfl: sense data overflow.
        deferred: about an earlier command: response code 71h.

    Raises:
        LayoutError: a number does not fit, or two sense-key specific values are given.
    """
    return FixedSense(
        valid=information is not None,
        response_code=0x71 if deferred else 0x70,
        filemark=filemark,
        eom=eom,
        ili=ili,
        sdat_ovfl=sdat_ovfl,
        sense_key=key,
        information=information or 0,
        additional_sense_length=10,
        command_specific_information=command_specific,
        additional_sense_code=asc,
        additional_sense_code_qualifier=ascq,
        field_replaceable_unit_code=fru,
        sense_key_specific=_specific_bytes(field_pointer, progress, retry_count) or b"",
    ).encode()


class _DescriptorHead(Layout, size=8):
    """Header of descriptor format sense data (SPC-4 table 27)."""

    response_code: int = bits(0, 6, 0)
    sense_key: int = bits(1, 3, 0)
    additional_sense_code: int = uint(2)
    additional_sense_code_qualifier: int = uint(3)
    sdat_ovfl: bool = flag(4, 7)
    additional_sense_length: int = uint(7)


class _Number(Layout, size=12):
    """The information and the command-specific information descriptor (SPC-4 tables 29 and 30)."""

    descriptor_type: int = uint(0)
    additional_length: int = uint(1, const=10)
    valid: bool = flag(2, 7)
    value: int = uint(4, 8)


def descriptor_sense(
    key: int,
    asc: int = 0,
    ascq: int = 0,
    *,
    information: int | None = None,
    command_specific: int | None = None,
    field_pointer: FieldPointer | None = None,
    progress: int | None = None,
    retry_count: int | None = None,
    fru: int = 0,
    filemark: bool = False,
    eom: bool = False,
    ili: bool = False,
    sdat_ovfl: bool = False,
    deferred: bool = False,
) -> bytes:
    """Return descriptor format sense data (SPC-4 4.5.2): 8 bytes and a descriptor for each thing given.

    The arguments are those of `fixed_sense`, with 64 bits for `information` and `command_specific`.
    `filemark` and `eom` make a stream commands descriptor, `ili` alone a block commands descriptor.

    Raises:
        LayoutError: a number does not fit, or two sense-key specific values are given.
    """
    body = b""
    if information is not None:
        body += _Number(descriptor_type=0, valid=True, value=information).encode()
    if command_specific is not None:
        body += _Number(descriptor_type=1, value=command_specific).encode()
    specific = _specific_bytes(field_pointer, progress, retry_count)
    if specific is not None:
        body += bytes([2, 6, 0, 0]) + specific + b"\0"
    if fru:
        if not 0 < fru <= 0xFF:
            raise LayoutError(f"field replaceable unit code {fru} does not fit; allowed: 0..0xff")
        body += bytes([3, 2, 0, fru])
    if filemark or eom or ili:
        body += bytes([4 if filemark or eom else 5, 2, 0, filemark << 7 | eom << 6 | ili << 5])
    head = _DescriptorHead(
        response_code=0x73 if deferred else 0x72,
        sense_key=key,
        additional_sense_code=asc,
        additional_sense_code_qualifier=ascq,
        sdat_ovfl=sdat_ovfl,
        additional_sense_length=len(body),
    )
    return head.encode() + body
