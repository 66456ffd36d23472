from __future__ import annotations

import pickle

import pytest

from midlayer.layout import LayoutError
from midlayer.standards.sense import (
    FieldPointer,
    Sense,
    SenseDescriptor,
    SenseKey,
    descriptor_sense,
    fixed_sense,
)

# SPC-4 table 46 filled in by hand: 70h, VALID, MEDIUM ERROR, LBA 1234h, 11h/00h.
MEDIUM_ERROR = bytes.fromhex("f0 00 03 00 00 12 34 0a 00 00 00 00 11 00 00 00 00 00")


def decoded(data: bytes) -> Sense:
    sense = Sense.decode(data)
    assert sense is not None
    return sense


def test_fixed_medium_error() -> None:
    sense = decoded(MEDIUM_ERROR)
    assert sense.key is SenseKey.MEDIUM_ERROR
    assert (sense.asc, sense.ascq, sense.information) == (0x11, 0x00, 0x1234)
    assert str(sense) == "MEDIUM ERROR, unrecovered read error (3/11/00)"
    assert sense.raw == MEDIUM_ERROR
    assert not sense.deferred
    assert not sense.descriptor_format
    assert fixed_sense(3, 0x11, 0x00, information=0x1234) == MEDIUM_ERROR


def test_information_counts_only_if_valid() -> None:
    assert decoded(b"\x70" + MEDIUM_ERROR[1:]).information is None


@pytest.mark.parametrize("data", [b"", b"\0" * 18, b"\x7f" + bytes(17), b"\x6f\0\5", b"\x74\0\5"])
def test_no_sense_is_none(data: bytes) -> None:
    assert Sense.decode(data) is None


@pytest.mark.parametrize("length", range(1, 19))
def test_truncated_fixed_sense(length: int) -> None:
    sense = decoded(MEDIUM_ERROR[:length])
    assert sense.key == (3 if length > 2 else 0)
    assert sense.information == (0x1234 if length > 6 else None)
    assert sense.asc == (0x11 if length > 12 else 0)


def test_bytes_beyond_the_additional_length_are_no_sense() -> None:
    data = bytearray(MEDIUM_ERROR)
    data[7] = 4
    assert decoded(bytes(data)).asc == 0


def test_deferred_is_in_the_text() -> None:
    sense = decoded(fixed_sense(4, 0x44, 0x00, deferred=True))
    assert sense.deferred
    assert str(sense) == "deferred HARDWARE ERROR, internal target failure (4/44/00)"


@pytest.mark.parametrize(
    ("asc", "ascq", "text"),
    [
        (0x00, 0x00, "no additional sense information"),
        (0x80, 0x00, "vendor specific additional sense"),
        (0x04, 0x80, "vendor specific additional sense"),
        (0x7F, 0x00, "unknown additional sense"),
        (0x40, 0x85, "diagnostic failure on component 85h"),
    ],
)
def test_text_of_any_code(asc: int, ascq: int, text: str) -> None:
    assert str(decoded(fixed_sense(2, asc, ascq))) == f"NOT READY, {text} (2/{asc:02x}/{ascq:02x})"


@pytest.mark.parametrize("encode", [fixed_sense, descriptor_sense])
def test_field_pointer(encode: object) -> None:
    for pointer in (FieldPointer(True, 2, 3), FieldPointer(False, 0xFFFF), FieldPointer(True, 0, 0)):
        sense = decoded(encode(5, 0x24, 0x00, field_pointer=pointer))  # type: ignore[operator]
        assert sense.field_pointer == pointer
        assert sense.progress is None
        assert sense.retry_count is None
    assert str(FieldPointer(True, 2, 3)) == "byte 2 bit 3 of the CDB"
    assert str(FieldPointer(False, 9)) == "byte 9 of the parameter data"


@pytest.mark.parametrize("encode", [fixed_sense, descriptor_sense])
def test_progress_and_retries(encode: object) -> None:
    moving = decoded(encode(2, 0x04, 0x04, progress=0x4000))  # type: ignore[operator]
    assert (moving.progress_raw, moving.progress) == (0x4000, 0.25)
    assert moving.field_pointer is None
    retried = decoded(encode(3, 0x11, 0x00, retry_count=7))  # type: ignore[operator]
    assert retried.retry_count == 7
    assert retried.progress is None


def test_fixed_flags_and_fru() -> None:
    sense = decoded(
        fixed_sense(0, filemark=True, eom=True, ili=True, sdat_ovfl=True, fru=9, command_specific=5)
    )
    assert (sense.filemark, sense.eom, sense.ili, sense.sdat_ovfl) == (True, True, True, True)
    assert (sense.fru, sense.command_specific) == (9, 5)


def test_descriptor_with_everything() -> None:
    sense = decoded(
        descriptor_sense(
            3, 0x11, 0x01, information=1 << 40, command_specific=2, fru=3, filemark=True, eom=True, ili=True,
            sdat_ovfl=True, retry_count=4, deferred=True,
        )
    )  # fmt: skip
    assert sense.descriptor_format
    assert sense.deferred
    assert (sense.information, sense.command_specific, sense.fru) == (1 << 40, 2, 3)
    assert (sense.filemark, sense.eom, sense.ili, sense.sdat_ovfl) == (True, True, True, True)
    assert sense.retry_count == 4
    assert [one.type for one in sense.descriptors] == [0, 1, 2, 3, 4]


def test_descriptor_format_says_nothing_it_was_not_given() -> None:
    data = descriptor_sense(6, 0x29, 0x00)
    assert data.hex() == "7206290000000000"
    sense = decoded(data)
    assert (sense.information, sense.command_specific, sense.sense_key_specific) == (None, None, None)


def test_direct_access_descriptor() -> None:
    # SBC-4 4.18.2: VALID and ILI, SKS 80 00 05, FRU 6, INFORMATION, COMMAND-SPECIFIC INFORMATION.
    body = bytes.fromhex("a0 00 80 00 05 06 0000000000001234 0000000000000007")
    sense = decoded(bytes.fromhex("72 03 11 00 00 00 00 18 0d 16") + body)
    assert (sense.information, sense.command_specific) == (0x1234, 7)
    assert (sense.ili, sense.fru, sense.retry_count) == (True, 6, 5)


def test_unknown_and_cut_descriptors_are_kept() -> None:
    sense = decoded(bytes.fromhex("72 05 24 00 00 00 00 0e 80 02 aa bb 00 0a 80 00 00"))
    assert sense.descriptors == (SenseDescriptor(0x80, b"\xaa\xbb"), SenseDescriptor(0, b"\x80\0\0"))
    assert sense.information is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": 16},
        {"key": 1, "asc": 256},
        {"key": 1, "information": 1 << 32},
        {"key": 1, "progress": 1 << 16},
        {"key": 1, "progress": 1, "retry_count": 1},
        {"key": 5, "field_pointer": FieldPointer(True, 1, 8)},
        {"key": 5, "field_pointer": FieldPointer(True, 1 << 16)},
        {"key": 5, "fru": 256},
    ],
)
def test_what_does_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(LayoutError):
        fixed_sense(**wrong)  # type: ignore[arg-type]
    if "information" not in wrong:
        with pytest.raises(LayoutError):
            descriptor_sense(**wrong)  # type: ignore[arg-type]


def test_sense_is_a_value() -> None:
    sense = decoded(MEDIUM_ERROR)
    assert pickle.loads(pickle.dumps(sense)) == sense
    assert hash(sense) == hash(decoded(MEDIUM_ERROR))
    with pytest.raises(AttributeError):
        sense.asc = 1  # type: ignore[misc]
