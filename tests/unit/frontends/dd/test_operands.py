"""What dd's operands mean, and what is said of those that mean nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.errors import UsageError
from midlayer.frontends.dd.operands import Operands, number, parse


def test_every_operand() -> None:
    words = """if=sg1 of=out bs=4k count=0x10 skip=2x3 seek=10h bpt=8 cdbsz=16 fua=1 dio=1 coe=1 retries=3
        thr=9 iflag=dpo,direct oflag=sparse sync=1 time=1,20 verify resume=log"""
    operands = parse(words.split())
    assert operands == Operands(
        source="sg1",
        target="out",
        block_size=4096,
        count=16,
        skip=6,
        seek=16,
        blocks_per_transfer=8,
        cdb_size=16,
        coe=True,
        retries=3,
        depth=9,
        input_flags=frozenset({"dpo", "direct", "dio"}),
        output_flags=frozenset({"sparse", "fua", "dio"}),
        sync=True,
        time=True,
        timeout_s=20.0,
        verify=True,
        resume=Path("log"),
    )
    assert operands.sparse


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("if=a", "target", "-"),
        ("of=a", "source", "-"),
        ("if=a count=-1", "count", None),
        ("if=a depth=1024", "depth", 1024),
        ("if=a oflag=coe", "coe", True),
        ("if=a fua=2", "input_flags", frozenset({"fua"})),
        ("if=a fua=3 oflag=dpo", "output_flags", frozenset({"fua", "dpo"})),
        ("if=a sparse=0", "output_flags", frozenset()),
        ("if=a time=0", "time", False),
        ("if=a=b of=c", "source", "a=b"),
        ("if=a iflag=", "input_flags", frozenset()),
    ],
)
def test_one_operand(words: str, field: str, value: object) -> None:
    assert getattr(parse(words.split()), field) == value


WRONG = {
    "": "dd: name a source or a target: if=DEVICE of=FILE",
    "if=a hello": "dd: 'hello' is no operand; write if=DEVICE of=FILE bs=512 and the like",
    "if=a cuont=1": "dd: there is no such key; did you mean count?",
    "if=a if=b": "dd: if is given twice",
    "if=": "dd: if= names nothing",
    "if=a thr=1 depth=1": "dd: thr and depth are the same; give one of them",
    "if=a bs=0": "dd: bs=0: must be 1 to 16777216",
    "if=a bs=5q": "dd: bs=5q: not a number; write 64, 0x40, 40h, 4k or 2x512",
    "if=a count=-2": "dd: count=-2: not a number",
    "if=a count=x": "dd: count=x: not a number",
    "if=a thr=0": "dd: thr=0: must be 1 to 1024",
    "if=a cdbsz=32": "dd: cdbsz=32: must be 6, 10, 12 or 16",
    "if=a coe=2": "dd: coe=2: must be 0 or 1",
    "if=a fua=4": "dd: fua=4: must be 0 to 3",
    "if=a time=2": "dd: time=2: must be 0 or 1",
    "if=a time=1,0": "dd: time=0: must be 1 to 86400",
    "if=a iflag=sparse": "dd: iflag=sparse: no such flag; known: 00, coe, dio",
    "if=a oflag=sprase": "dd: oflag=sprase: no such flag; known: append, coe",
    "if=a of=a": "dd: if and of are the same, and so are skip and seek: nothing would change",
    "if=a bs=1M bpt=17": "dd: bpt=17: at most 16 blocks of 1048576",
    "if=a resume=l": "dd: resume needs a source and a target that can be read and written anywhere, not -",
    "if=a of=b resume=l oflag=append": "dd: resume and oflag=append exclude each other",
    "if=a verify": "dd: verify needs a target that can be read again, not standard output",
    "if=a of=b oflag=append seek=1": "dd: seek and oflag=append exclude each other",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert str(caught.value).startswith(WRONG[words])


NUMBERS = {
    "7": 7, "0x1f": 31, "1Fh": 31, "2k": 2048, "3KB": 3000, "2b": 1024, "1M": 1 << 20, "2x0": 0, "2x4x8": 64,
    "1GiB": 1 << 30,
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    assert number("count", text) == NUMBERS[text]


_NAMES = st.sampled_from(["bs", "count", "iflag", "oflag", "time", "if", "of", "fua", "resume", "verify"])
_WORDS = st.text(max_size=12) | st.builds("{}={}".format, _NAMES, st.text(max_size=8))


@given(st.lists(_WORDS, max_size=5))
def test_any_words_are_operands_or_a_usage_error(words: list[str]) -> None:
    with suppress(UsageError):
        assert parse(words).depth >= 1
