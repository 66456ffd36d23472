"""Twin documents: what is read, and what every mistake is called."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.errors import ConfigError
from midlayer.twin import Answer, Twin, allocation_length, key_of, parse_twin, read_twin

INQUIRY = {"cdb": "120000002400", "data": "00" * 36}
WHOLE = {"midlayer_twin": 1, "answers": [INQUIRY]}


@pytest.mark.parametrize(
    ("cdb", "key", "length"),
    [
        ("120100012c00", "120100000000", 0x12C),
        ("1a003f00ff00", "1a003f000000", 0xFF),
        ("5a003f000000000400 00", "5a003f00000000000000", 0x400),
        ("9e10" + "00" * 8 + "00000020 0000", "9e10" + "00" * 14, 0x20),
        ("a3 0c 00 00 00 00 00 01 00 00 00 00", "a30c" + "00" * 10, 0x10000),
        ("b8 10 00 00 ff ff 00 01 02 03 00 00", "b8100000ffff000000000000", 0x10203),
        ("25" + "00" * 9, "25" + "00" * 9, None),
    ],
)
def test_the_allocation_length_is_no_part_of_the_key(cdb: str, key: str, length: int | None) -> None:
    assert key_of(bytes.fromhex(cdb)) == bytes.fromhex(key)
    assert allocation_length(bytes.fromhex(cdb)) == length


def test_a_document_comes_back_as_it_was() -> None:
    answers = {
        bytes.fromhex("120000000000"): Answer(bytes(range(36))),
        bytes(6): Answer(status=2, sense=bytes.fromhex("700002")),
    }
    twin = Twin(answers=answers, refusals={0x1A: Answer(status=2, sense=b"\x70")}, captured_at="now")
    assert parse_twin(twin.dump()) == twin


MISTAKES = {
    "not JSON": ("{\n,", "twin:2: not JSON: write one with midlayer capture"),
    "nested deeply": ("[" * 100_000, "not JSON"),
    "a list": ("[]", "midlayer_twin: not a twin document of version 1"),
    "another version": (json.dumps({"midlayer_twin": 2}), "midlayer_twin: not a twin document of version 1"),
    "no answers": (json.dumps({"midlayer_twin": 1}), "answers: there is no standard INQUIRY data"),
    "answers as text": (json.dumps({"midlayer_twin": 1, "answers": "x"}), "answers: must be a list"),
    "no object": (json.dumps({**WHOLE, "answers": [3]}), "answers[0]: must be an object"),
    "no cdb": (
        json.dumps({**WHOLE, "answers": [{}]}),
        "answers[0].cdb: a CDB has 6 to 260 bytes, this one has 0",
    ),
    "no hexadecimal": (
        json.dumps({**WHOLE, "answers": [INQUIRY, {**INQUIRY, "data": "0x"}]}),
        "answers[1].data: must be bytes in hexadecimal",
    ),
    "status": (
        json.dumps({**WHOLE, "answers": [{**INQUIRY, "status": 256}]}),
        "answers[0].status: must be a byte",
    ),
    "refusal": (json.dumps({**WHOLE, "refusals": [{"cdb": ""}]}), "refusals[0].cdb: a CDB has 1 to 260"),
    "serials": (json.dumps({**WHOLE, "serials": 3}), "serials: must be text"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    text, says = MISTAKES[case]
    with pytest.raises(ConfigError) as caught:
        parse_twin(text)
    assert says in str(caught.value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["midlayer_twin", "answers", "refusals", "cdb", "data", "status", "sense"]),
                inner,
            )
        ),
    )
)
def test_any_json_is_a_twin_or_a_mistake(document: object) -> None:
    if isinstance(document, dict):
        document["midlayer_twin"] = 1
    with suppress(ConfigError):
        parse_twin(json.dumps(document))


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.json", tmp_path / "binary.json"
    binary.write_bytes(b"{\xff")
    with pytest.raises(ConfigError, match=r"missing\.json: No such file"):
        read_twin(missing)
    with pytest.raises(ConfigError, match=r"binary\.json: byte 1 is not UTF-8"):
        read_twin(binary)
