"""The scsi_logging_level word, with the kernel's bits."""

from __future__ import annotations

import pytest

from midlayer.errors import UsageError
from midlayer.mid.logging_level import FIELDS, MOST_WORD, LoggingLevel

SHIFTS = {
    "error": 0, "timeout": 3, "scan": 6, "mlqueue": 9, "mlcomplete": 12, "llqueue": 15, "llcomplete": 18,
    "hlqueue": 21, "hlcomplete": 24, "ioctl": 27,
}  # fmt: skip
"""SCSI_LOG_*_SHIFT of drivers/scsi/scsi_logging.h."""


def test_fields_have_the_kernels_bits() -> None:
    assert tuple(SHIFTS) == FIELDS
    for name, shift in SHIFTS.items():
        assert LoggingLevel().with_fields({name: 7}) == 7 << shift
        assert LoggingLevel(5 << shift).field(name) == 5
    assert LoggingLevel(MOST_WORD).fields() == dict.fromkeys(FIELDS, 7)


@pytest.mark.parametrize(
    ("words", "before", "level"),
    [
        (["0x1b6d"], 7, 0x1B6D),
        (["0"], MOST_WORD, 0),
        (["mlqueue=3"], 0o7, 0o3007),
        (["midqueue=2", "midcomplete=1"], 0, 0o12000),
        (["all=1"], 0, 0o1111111111),
        (["all=7", "ioctl=0"], 0, 0o0777777777),
        (["scan=0x2"], 0o700, 0o200),
    ],
)
def test_parse(words: list[str], before: int, level: int) -> None:
    assert LoggingLevel.parse(words, before=before) == level


@pytest.mark.parametrize(
    "words", [["x"], [""], ["-1"], ["0x40000000"], ["scan"], ["scan=8"], ["scan=-1"], ["scan=x"], ["scan="],
              ["nothing=1"], ["1", "2"], ["scan=1", "5"], ["=1"]]
)  # fmt: skip
def test_parse_of_what_is_no_level(words: list[str]) -> None:
    with pytest.raises(UsageError):
        LoggingLevel.parse(words)


def test_str() -> None:
    assert str(LoggingLevel()) == "0x00000000 off"
    assert str(LoggingLevel.parse(["mlqueue=3", "error=1"])) == "0x00000601 error=1 mlqueue=3"
