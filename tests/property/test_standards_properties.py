"""Properties of every decoder and encoder: round trips, arbitrary bytes, every prefix."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.layout import Layout, LayoutError, inquiry_text
from midlayer.standards import (
    diagnostic,
    extended_copy,
    log_pages,
    maintenance,
    mmc,
    mode,
    opcodes,
    port_groups,
    reservations,
    sam,
    sbc,
    sbc_medium,
    sense,
    ses,
    ses_elements,
    smc,
    spc,
    ssc,
    vpd,
)
from midlayer.standards.designators import Designator, decode_designators, persistent_name, wwid

LAYOUTS = sorted(
    {
        kind
        for module in (
            *(spc, sbc, sbc_medium, vpd, mode, sense),
            *(diagnostic, extended_copy, maintenance, port_groups, reservations),
            *(mmc, ses, ses_elements, smc, ssc),
        )
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Layout) and kind.size
    },
    key=lambda kind: kind.__name__,
)

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def field_values(kind: type[Layout]) -> st.SearchStrategy[dict[str, Any]]:
    """Values that fit, for every field that the constructor takes."""
    made = {}
    for name, field in kind.fields.items():
        if field.const is None:
            made[name] = {
                "uint": st.integers(0, (1 << field.width) - 1),
                "flag": st.booleans(),
                "text": st.text(PRINTABLE, max_size=field.length),
                "raw": st.binary(max_size=field.length),
            }[field.kind]
    return st.fixed_dictionaries({}, optional=made)


@pytest.mark.parametrize("kind", LAYOUTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_layout_round_trip_and_every_prefix(kind: type[Layout], data: st.DataObject) -> None:
    value = kind(**data.draw(field_values(kind)))
    wire = value.encode()
    assert len(wire) == kind.size
    assert kind.decode(wire) == value
    assert pickle.loads(pickle.dumps(value)) == value
    needed = 2 if kind.__module__ == vpd.__name__ else 0  # a VPD page without its code is none
    for length in range(needed, kind.size):
        short = kind.decode(wire[:length])
        assert short.decoded_length == length
        for name, field in kind.fields.items():
            if field.const is None and short.has(name):
                assert getattr(short, name) == getattr(value, name)


@pytest.mark.parametrize("kind", LAYOUTS, ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=100))
def test_layout_takes_any_bytes(kind: type[Layout], data: bytes) -> None:
    try:
        value = kind.decode(data)
    except LayoutError:
        return
    assert kind.decode(value.encode()) == value
    assert repr(value).startswith(kind.__name__)


READERS: list[Callable[[bytes], object]] = [
    vpd.decode_page,
    vpd.SupportedVpdPages.decode,
    vpd.UnitSerialNumber.decode,
    vpd.DeviceIdentification.decode,
    vpd.GenericPage.decode,
    spc.decode_lun_list,
    sbc.decode_unmap_list,
    lambda data: mode.decode_mode_sense(data, ten=False),
    lambda data: mode.decode_mode_sense(data, ten=True),
    log_pages.LogPage.decode,
    lambda data: log_pages.describe(log_pages.LogPage.decode(data)),
    lambda data: log_pages.LogPage.decode(data).listed,
    reservations.decode_keys,
    reservations.decode_full_status,
    reservations.split_transport_ids,
    port_groups.decode_port_group_settings,
    ses.decode_configuration,
    ses.decode_descriptors,
    ses.decode_additional,
    ssc.decode_density_support,
    smc.decode_element_status,
    mmc.decode_toc,
    mmc.decode_configuration,
    sam.lun_from_bytes,
    sam.LunAddress.decode,
]


@pytest.mark.parametrize("read", READERS)
@given(data=st.binary(max_size=300))
def test_readers_give_a_value_or_a_layout_error(read: Callable[[bytes], object], data: bytes) -> None:
    try:
        str(read(data))
    except LayoutError:
        return


NEVER: list[Callable[[bytes], object]] = [
    sense.Sense.decode,
    opcodes.command_name,
    opcodes.describe_cdb,
    opcodes.cdb_length_of,
    mode.split_pages,
    decode_designators,
    inquiry_text,
    reservations.transport_id_name,
    wwid,
    lambda data: persistent_name(data, data, "VENDOR", "MODEL"),
]


@pytest.mark.parametrize("read", NEVER)
@given(data=st.binary(max_size=300))
def test_these_never_raise(read: Callable[[bytes], object], data: bytes) -> None:
    str(read(data))


@given(head=st.sampled_from([0x70, 0x71, 0x72, 0x73, 0xF0, 0xF1]), rest=st.binary(max_size=260))
def test_sense_with_a_known_response_code_is_always_sense(head: int, rest: bytes) -> None:
    found = sense.Sense.decode(bytes([head]) + rest)
    assert found is not None
    assert str(found).endswith(")")
    assert sum(one is not None for one in (found.progress, found.retry_count, found.field_pointer)) <= 1


@given(
    code=st.tuples(st.integers(0, 15), st.integers(0, 255), st.integers(0, 255)),
    information=st.none() | st.integers(0, (1 << 32) - 1),
    command_specific=st.integers(0, (1 << 32) - 1),
    fru=st.integers(0, 255),
    flags=st.fixed_dictionaries(
        {name: st.booleans() for name in ("filemark", "eom", "ili", "sdat_ovfl", "deferred")}
    ),
)
def test_both_sense_formats_say_the_same(
    code: tuple[int, int, int],
    information: int | None,
    command_specific: int,
    fru: int,
    flags: dict[str, bool],
) -> None:
    given_all: dict[str, Any] = {
        "information": information, "command_specific": command_specific, "fru": fru, **flags
    }  # fmt: skip
    fixed = sense.Sense.decode(sense.fixed_sense(*code, **given_all))
    long = sense.Sense.decode(sense.descriptor_sense(*code, **given_all))
    assert fixed is not None
    assert long is not None
    for name in ("key", "asc", "ascq", "deferred", *given_all):
        assert getattr(fixed, name) == getattr(long, name)
    assert fixed.information == information


@given(st.integers(0, (1 << 64) - 1))
def test_lun_round_trip(lun: int) -> None:
    assert sam.lun_from_bytes(sam.lun_to_bytes(lun)) == lun
    assert sum(level.length for level in sam.LunAddress.from_int(lun).levels) in range(2, 9)


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=40), st.integers(0, 330))
def test_lun_list_and_every_prefix(luns: list[int], length: int) -> None:
    data = spc.encode_lun_list(luns)
    assert spc.decode_lun_list(data) == luns
    if length >= 4:
        cut = spc.decode_lun_list(data[:length])
        assert cut == luns[: len(cut)]
        assert cut.claimed == len(luns)


designators = st.builds(
    Designator,
    code_set=st.integers(0, 15),
    designator_type=st.integers(0, 15),
    association=st.integers(0, 3),
    piv=st.booleans(),
    protocol_identifier=st.integers(0, 15),
    identifier=st.binary(max_size=40),
)


@given(st.lists(designators, max_size=6).map(tuple))
def test_device_identification_round_trip(listed: tuple[Designator, ...]) -> None:
    page = vpd.DeviceIdentification(designators=listed)
    assert vpd.decode_page(page.encode()) == page
    name = persistent_name(page.encode(), None, "VENDOR", "MODEL")
    assert name is None or not set(name) & set("/ \0")


@given(st.lists(st.binary(max_size=20), max_size=5), st.booleans())
def test_mode_pages_round_trip(bodies: list[bytes], ten: bool) -> None:
    pages = [bytes([number, len(body)]) + body for number, body in enumerate(bodies, start=1)]
    found = mode.decode_mode_sense(mode.encode_mode_parameters(pages, ten=ten), ten=ten)
    assert [one.data for one in found.pages] == pages
