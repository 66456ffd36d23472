"""The table compiler: declaration errors, values that do not fit, short data, value semantics."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from midlayer.layout import DecodeError, Layout, LayoutError, bits, flag, inquiry_text, raw, text, uint


class Sample(Layout, size=24):
    opcode = uint(0, const=0x12)
    high: int = bits(1, 7, 5)
    low: int = bits(1, 3, 0)
    on: bool = flag(2, 7)
    three: int = uint(3, 3)
    wide: int = uint(6, 8)
    name: str = text(14, 4)
    tail: bytes = raw(18, 2)
    spread: int = bits(20, 4, 0, length=3)
    top: int = bits(20, 7, 5)


FULL = Sample(
    high=5, low=9, on=True, three=0x010203, wide=1 << 63, name="ab", tail=b"\x01", spread=0x1ABCDE, top=6
)


def test_encode_puts_every_field_where_the_table_says() -> None:
    assert FULL.encode().hex(" ") == (
        "12 a9 80 01 02 03 80 00 00 00 00 00 00 00 61 62 20 20 01 00 da bc de 00"
    )


def test_help_and_a_wrong_name_tell_the_fields() -> None:
    assert str(inspect.signature(Sample)).startswith("(*, high=0, low=0, on=False, three=0, wide=0, name='',")
    with pytest.raises(
        TypeError, match="has no field 'lba', but high, low, on, three, wide, name, tail, spread"
    ):
        Sample(lba=1)  # type: ignore[call-arg]


def test_decode_takes_it_back() -> None:
    assert Sample.decode(FULL.encode()) == FULL
    assert Sample.decode(memoryview(FULL.encode() + b"more")) == FULL
    assert Sample.decode(bytearray(FULL.encode())) == FULL


def test_defaults_are_zero_or_empty() -> None:
    value = Sample()
    assert (value.high, value.on, value.name, value.tail) == (0, False, "", b"\0\0")
    assert value.encode() == b"\x12" + bytes(13) + b"    " + bytes(6)


def test_constant_is_readable_on_class_and_value() -> None:
    assert Sample.opcode == FULL.opcode == 0x12


def test_size_and_struct_are_exposed() -> None:
    assert Sample.size == Sample.struct.size == 24


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("high", 8, "0..0x7"),
        ("high", -1, "0..0x7"),
        ("low", 16, "0..0xf"),
        ("three", 1 << 24, "0..0xffffff"),
        ("wide", 1 << 64, "0..0xffffffffffffffff"),
        ("spread", 1 << 21, "0..0x1fffff"),
        ("on", 2, "False or True"),
        ("name", "abcde", "up to 4 printable ASCII"),
        ("name", "é", "up to 4 printable ASCII"),
        ("name", "a\n", "up to 4 printable ASCII"),
        ("name", b"ab", "up to 4 printable ASCII"),
        ("tail", b"abc", "up to 2 bytes"),
        ("tail", "ab", "up to 2 bytes"),
        ("high", "1", "0..0x7"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_range(field: str, value: object, allowed: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Sample(**{field: value})
    assert str(caught.value).startswith(f"Sample.{field}: {value!r} does not fit")
    assert allowed in str(caught.value)


def test_unknown_and_constant_names_are_no_arguments() -> None:
    with pytest.raises(TypeError, match="no field 'nothing'"):
        Sample(nothing=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no field 'opcode'"):
        Sample(opcode=1)  # type: ignore[call-arg]


def test_overlap_is_refused_at_declaration() -> None:
    with pytest.raises(LayoutError, match=r"Bad\.second: overlaps first at byte 1 bit 4"):

        class Bad(Layout, size=4):
            first: int = bits(1, 7, 4)
            second: int = bits(1, 4, 0)


def test_a_field_outside_is_refused_at_declaration() -> None:
    with pytest.raises(LayoutError, match=r"Bad\.field: bytes 3\.\.4 not in 0\.\.3"):

        class Bad(Layout, size=4):
            field: int = uint(3, 2)


def test_a_field_twice_is_refused_at_declaration() -> None:
    with pytest.raises(LayoutError, match="twice: declared twice"):

        class Bad(Layout, size=4):
            twice: int = uint(0)
            twice: int = uint(1)  # type: ignore[no-redef]  # noqa: PIE794


@pytest.mark.parametrize("name", ["size", "encode", "decoded_length", "has", "fields"])
def test_names_of_the_class_are_taken(name: str) -> None:
    with pytest.raises(LayoutError, match="the name is taken"):
        type(Layout)("Bad", (Layout,), {name: uint(0)}, size=1)


@pytest.mark.parametrize(
    "row",
    [bits(0, 3, 4), bits(0, 8, 0), bits(0, 7, -1), uint(0, 9), uint(-1), uint(0, const=256), uint(0, 0)],
)
def test_impossible_rows_are_refused_at_declaration(row: int) -> None:
    with pytest.raises(LayoutError):
        type(Layout)("Bad", (Layout,), {"field": row}, size=16)


def test_a_subclass_inherits_the_table() -> None:
    class Longer(Sample, size=25):
        extra: int = uint(24)

    value = Longer(high=1, extra=7)
    assert Longer.decode(value.encode()) == value
    assert value.encode()[24] == 7


@pytest.mark.parametrize("length", range(25))
def test_short_data_decodes_to_what_is_there(length: int) -> None:
    value = Sample.decode(FULL.encode()[:length])
    assert value.decoded_length == length
    assert value.high == (5 if length >= 2 else 0)
    assert value.three == (0x010203 if length >= 6 else 0)
    assert value.name == "ab"[: max(0, length - 14)]
    assert value.spread == (0x1ABCDE if length >= 23 else 0)
    assert value.has("three") == (length >= 6)
    assert value.has("spread") == (length >= 23)


def test_a_made_value_has_everything() -> None:
    assert FULL.decoded_length == 24
    assert FULL.has("top")
    with pytest.raises(LayoutError, match="no field 'nothing'"):
        FULL.has("nothing")


def test_another_constant_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"Sample\.opcode at byte 0: 0x28, expected 0x12"):
        Sample.decode(b"\x28")


def test_a_constant_that_is_not_strict_is_not_looked_at() -> None:
    class Page(Layout, size=2):
        length = uint(1, const=10, strict=False)

    assert Page.decode(b"\0\5").encode() == b"\0\x0a"


def test_values_are_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        FULL.high = 1  # type: ignore[misc]
    with pytest.raises(AttributeError, match="immutable"):
        del FULL.high


def test_replace_makes_a_copy() -> None:
    other = FULL.replace(high=1, name="z")
    assert (other.high, other.name, other.low) == (1, "z", FULL.low)
    assert FULL.high == 5
    with pytest.raises(LayoutError):
        FULL.replace(high=9)


def test_equality_and_hash_go_by_value_and_class() -> None:
    class Twin(Layout, size=24):
        high: int = bits(1, 7, 5)

    assert Sample(high=1) == Sample(high=1)
    assert hash(Sample(high=1)) == hash(Sample(high=1))
    assert Sample(high=1) != Sample(high=2)
    assert Sample(high=1) != Twin(high=1)
    assert len({Sample(high=1), Sample(high=1), Sample(high=2)}) == 2


def test_pickle_and_copy_keep_the_value() -> None:
    short = Sample.decode(FULL.encode()[:8])
    for value in (FULL, short):
        for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert again == value
            assert again.decoded_length == value.decoded_length


def test_repr_shows_what_is_not_zero_in_order() -> None:
    assert repr(Sample(name="x", high=1)) == "Sample(high=1, name='x')"


@pytest.mark.parametrize(
    ("data", "stripped", "whole"),
    [
        (b"Linux   ", "Linux", "Linux   "),
        (b"AB\0CD", "AB", "AB"),
        (b"A\x01\xffB  ", "A  B", "A  B  "),
        (b"", "", ""),
        (b"\0\0", "", ""),
        (b" lead", " lead", " lead"),
    ],
)
def test_inquiry_text_follows_the_kernel(data: bytes, stripped: str, whole: str) -> None:
    assert inquiry_text(data) == stripped
    assert inquiry_text(data, strip=False) == whole


def test_trailing_spaces_are_padding() -> None:
    assert Sample(name="ab  ") == Sample(name="ab")
