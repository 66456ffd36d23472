"""Sense data and CDB names, judged by sg_decode_sense of Debian's sg3-utils (1.46)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from midlayer.standards.asc import ASC_NAMES, ASC_RANGES, asc_name
from midlayer.standards.opcodes import SERVICE_ACTIONS, Opcode, cdb_length, command_name
from midlayer.standards.sense import FieldPointer, descriptor_sense, fixed_sense

pytestmark = pytest.mark.tools

Judge = Callable[..., str]

# ASC << 8 | ASCQ -> why the judge's text is another one, or none.
DIFFERENT = {
    0x0023: "newer than the judge's list",
    0x2005: "the judge shortens (obsolete) to (obs)",
    0x2402: "the judge shortens",
    0x2403: "the judge shortens",
}


def additional_sense(printed: str) -> str | None:
    found = re.search(r"^Additional sense: (.*?)\s*$", printed, re.MULTILINE)
    return found[1].lower() if found else None


def asked(judge: Judge, data: bytes) -> str:
    return judge("sg_decode_sense", *data.hex(" ").split())


def test_every_named_code_has_the_judges_name(judge: Judge) -> None:
    wrong = {}
    for code, name in ASC_NAMES.items():
        theirs = additional_sense(asked(judge, descriptor_sense(0, code >> 8, code & 0xFF)))
        if theirs != name.lower() and code not in DIFFERENT:
            wrong[f"{code:04x}"] = (name, theirs)
    assert wrong == {}


def test_differences_are_still_differences(judge: Judge) -> None:
    for code in DIFFERENT:
        theirs = additional_sense(asked(judge, descriptor_sense(0, code >> 8, code & 0xFF)))
        assert theirs != ASC_NAMES[code].lower()


def unnamed_neighbours() -> Iterator[int]:
    """Every code up to 16 behind the last one of its ASC that has no name here."""
    for asc in {code >> 8 for code in ASC_NAMES} - set(ASC_RANGES):
        last = max(code & 0x7F for code in ASC_NAMES if code >> 8 == asc and code & 0xFF != 0xFF)
        yield from (asc << 8 | ascq for ascq in range(last + 16) if asc << 8 | ascq not in ASC_NAMES)


def test_no_code_is_missing(judge: Judge) -> None:
    # The judge keeps 30/0b, which T10 gave up for 30/13, and reads any qualifier into 41 and 42.
    spared = {0x300B}
    named = [
        f"{code:04x}"
        for code in unnamed_neighbours()
        if code not in spared
        and code >> 8 not in (0x41, 0x42)
        and additional_sense(asked(judge, descriptor_sense(0, code >> 8, code & 0xFF)))
    ]
    assert named == []


@pytest.mark.parametrize(
    ("asc", "ascq"), [(0x40, 0x80), (0x40, 0xFF), (0x4D, 0x00), (0x4D, 0x7F), (0x70, 0x05)]
)
def test_ranges_carry_the_qualifier(judge: Judge, asc: int, ascq: int) -> None:
    theirs = additional_sense(asked(judge, descriptor_sense(0, asc, ascq)))
    ours = asc_name(asc, ascq)
    assert theirs is not None
    assert ours is not None
    words = re.split(r" \(| ?\[|0x|\b[0-9a-f]{2}h", ours)[0].strip()
    assert theirs.startswith(words)
    assert f"{ascq:02x}h" in ours
    assert f"{ascq:#x}" in theirs


def test_fixed_sense_with_everything_of_an_illegal_request(judge: Judge) -> None:
    data = fixed_sense(
        5,
        0x24,
        0x00,
        field_pointer=FieldPointer(in_cdb=True, byte=2, bit=3),
        fru=7,
        ili=True,
        information=0x1234,
        command_specific=9,
    )
    printed = asked(judge, data)
    assert "Fixed format, current; Sense key: Illegal Request" in printed
    assert "Info fld=0x1234 [4660]  ILI" in printed
    assert "Field replaceable unit code: 7" in printed
    assert "Sense Key Specific: Error in Command: byte 2 bit 3" in printed


def test_fixed_sense_with_everything_of_a_medium_error(judge: Judge) -> None:
    printed = asked(
        judge,
        fixed_sense(3, 0x11, 0x00, retry_count=99, filemark=True, eom=True, sdat_ovfl=True, deferred=True),
    )
    assert "Fixed format, <<<deferred>>>; Sense key: Medium Error" in printed
    assert "SDAT_OVFL" in printed
    assert "FMK EOM" in printed
    assert "Actual retry count: 0x0063" in printed


def test_descriptor_sense_with_everything(judge: Judge) -> None:
    data = descriptor_sense(
        5,
        0x26,
        0x00,
        field_pointer=FieldPointer(in_cdb=False, byte=2),
        fru=7,
        information=0x123456789,
        command_specific=9,
        eom=True,
        ili=True,
        sdat_ovfl=True,
    )
    printed = asked(judge, data)
    assert "Descriptor format, current; Sense key: Illegal Request" in printed
    assert "SDAT_OVFL" in printed
    assert "Information: 0x0000000123456789" in printed
    assert "Command specific: 0x0000000000000009" in printed
    assert "Error in Data parameters: byte 2" in printed
    assert "Field replaceable unit code: 0x7" in printed
    assert "Stream commands: End Of Medium (EOM)" in printed
    assert "Incorrect Length Indicator (ILI)" in printed


def test_descriptor_sense_of_a_deferred_error_with_progress(judge: Judge) -> None:
    printed = asked(judge, descriptor_sense(2, 0x04, 0x04, progress=0x8000, deferred=True))
    assert "Descriptor format, <<<deferred>>>; Sense key: Not Ready" in printed
    assert "Progress indication: 50.00%" in printed


def test_descriptor_sense_of_a_short_read(judge: Judge) -> None:
    assert "Block commands: Incorrect Length Indicator (ILI) set" in asked(
        judge, descriptor_sense(3, 0x11, ili=True)
    )


def spelled(name: str) -> str:
    """Leave only what a name consists of: letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


# Where the judge, which takes every CDB for a disk's, has other words: what it prints, and why.
OTHER_WORDS = {
    Opcode.WRITE_BUFFER: "write buffer, combined header and data [or multiple modes]",  # the mode's name
    Opcode.READ_BUFFER_10: "read buffer(10), combined header and data [or multiple modes]",  # likewise
    Opcode.READ_BUFFER_16: "read buffer(16), combined header and data [or multiple modes]",  # likewise
    Opcode.FORMAT_WITH_PRESET: "format with preset scan",  # SBC-4 has no "scan"
    Opcode.WRITE_FILEMARKS_16: "xdwrite extended(16)",  # obsolete in SBC-4; the code is a tape's now
    Opcode.READ_REVERSE_16: "rebuild(16)",  # likewise
    Opcode.READ_DISC_STRUCTURE: "read dvd/bd structure",  # MMC-4's name
}
OTHER_ACTIONS: dict[tuple[int, int], str] = {
    (Opcode.VARIABLE_LENGTH_CDB, 0x0F): "atomic write(32)",  # SBC-4 has WRITE ATOMIC(32)
    (Opcode.THIRD_PARTY_COPY_OUT, 0x01): "extended copy",  # SPC-5 drops (LID4)
    (Opcode.THIRD_PARTY_COPY_IN, 0x05): "receive copy status",  # likewise
    (Opcode.THIRD_PARTY_COPY_IN, 0x06): "receive copy data",  # likewise
}
BY_ACTION = set(SERVICE_ACTIONS) | {Opcode.EXTENDED_CDB, Opcode.VARIABLE_LENGTH_CDB}


@pytest.mark.parametrize("opcode", sorted({int(code) for code in Opcode} - BY_ACTION))
def test_command_names(judge: Judge, opcode: int) -> None:
    cdb = bytes([opcode]) + bytes((cdb_length(opcode) or 0) - 1)
    printed = judge("sg_decode_sense", "--cdb", *cdb.hex(" ").split())
    expected = OTHER_WORDS.get(Opcode(opcode)) or command_name(cdb)
    assert spelled(printed) == spelled(expected)


def cdb_with_action(opcode: int, action: int) -> bytes:
    if opcode == Opcode.VARIABLE_LENGTH_CDB:
        return bytes([opcode, 0, 0, 0, 0, 0, 0, 24]) + action.to_bytes(2, "big") + bytes(22)
    return bytes([opcode, action]) + bytes((cdb_length(opcode) or 0) - 2)


ACTIONS = [(int(opcode), action) for opcode, actions in SERVICE_ACTIONS.items() for action in actions]


@pytest.mark.parametrize(("opcode", "action"), ACTIONS)
def test_service_action_names(judge: Judge, opcode: int, action: int) -> None:
    cdb = cdb_with_action(opcode, action)
    printed = judge("sg_decode_sense", "--cdb", *cdb.hex(" ").split())
    expected = OTHER_ACTIONS.get((opcode, action)) or command_name(cdb)
    assert spelled(printed) == spelled(expected)
