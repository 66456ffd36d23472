"""Rule files of random bytes and mutated real ones, and devices with strings of any bytes.

A rule file never raises; what is wrong is a mistake. No string of a device breaks a line of output, gets
into a link unescaped, or becomes more than one word of a command that the rule has not split.
"""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.rules import Outcome, PlainEnvironment, PlainView, RuleSet, parse
from midlayer.rules.describe import attribute_walk, database_lines
from midlayer.rules.text import ALLOWED, decode

EXAMPLES = Path(__file__).parents[2] / "examples" / "rules"
SEEDS = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.rules"))]
PIECES = st.sampled_from(
    [
        b'"',
        b"\\",
        b"\n",
        b"\\\n",
        b"{",
        b"}",
        b"==",
        b"=",
        b",",
        b"#",
        b"$",
        b"%",
        b"$attr{",
        b"%c{",
        b'e"',
        b'i"',
        b"|",
        b"[",
        b"*",
        b"\x00",
        b"\xff",
        b"GOTO=",
        b"LABEL=",
        b"IMPORT{program}=",
        b"RUN{builtin}+=",
        b"OPTIONS=",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real rule file with some pieces put in, taken out and doubled."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 6))
        data[at : at + length] = draw(st.one_of(PIECES, st.binary(max_size=4)))
    return bytes(data)


DEVICE_BYTES = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"$(reboot)", b"a;b|c&d", b"`x`", b"\x1b[2J\n"])
)


def disk(vendor: bytes, model: bytes) -> PlainView:
    unit = PlainView(
        devpath="/devices/h/0:0:0:0", subsystem="scsi", attributes={"vendor": vendor, "model": model}
    )
    return PlainView(
        devpath="/devices/h/0:0:0:0/block/sda", subsystem="block", devnode="/dev/sda", devnum=(8, 0),
        own_properties={"DEVTYPE": "disk", "ID_FROM_KERNEL": decode(model)}, parent=unit,
    )  # fmt: skip


def check_printable(outcome: Outcome) -> None:
    text = json.dumps(outcome.to_json(), ensure_ascii=False)
    assert text.isprintable()


@given(st.one_of(st.binary(max_size=400), mutated()))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read(data: bytes) -> None:
    file = parse(data, "x.rules")
    for mistake in file.mistakes:
        assert str(mistake).isprintable()
        assert mistake.line >= 1
        assert mistake.column >= 1
    outcome = RuleSet([file]).apply(disk(b"ACME", b"Disk"), "add", PlainEnvironment())
    check_printable(outcome)


@given(DEVICE_BYTES, DEVICE_BYTES)
@settings(max_examples=300, deadline=None)
def test_strings_of_a_device_stay_what_they_are(vendor: bytes, model: bytes) -> None:
    text = """\
ATTRS{vendor}=="*", SYMLINK+="d/$attr{vendor}-x", ENV{V}="$attr{vendor}", ENV{M}="$env{ID_FROM_KERNEL}"
SYMLINK+="e/$env{M}-x"
OPTIONS="string_escape=replace", ENV{R}="$env{M}"
RUN+="/bin/x '$env{R}' end"
"""
    outcome = RuleSet.of_texts({"a.rules": text}).apply(disk(vendor, model))
    check_printable(outcome)
    for link in outcome.links:
        assert not link.startswith("/")
        assert ".." not in link.split("/")
        assert all(letter in ALLOWED or letter in "/\\" or letter > "\x7f" for letter in link)
    (run,) = outcome.run
    assert (len(run.words), run.words[0], run.words[-1]) == (3, "/bin/x", "end")
    for line in (
        *attribute_walk(disk(vendor, model)),
        *database_lines(disk(vendor, model), outcome.properties),
    ):
        assert line.isprintable()


@given(st.text(alphabet="a*?[]!-|\\^:b", max_size=12), st.text(alphabet="ab[]!-|*", max_size=8))
@settings(max_examples=500, deadline=None)
def test_any_pattern_has_an_answer_and_not_is_its_opposite(pattern: str, value: str) -> None:
    written = pattern.replace('"', "")
    rules = RuleSet.of_texts(
        {"a.rules": f'ENV{{X}}=="{written}z", ENV{{A}}="1"\nENV{{X}}!="{written}z", ENV{{B}}="1"\n'}
    )
    view = PlainView(devpath="/devices/x", own_properties={"X": value})
    found = rules.apply(view).properties
    assert ("A" in found) != ("B" in found)
