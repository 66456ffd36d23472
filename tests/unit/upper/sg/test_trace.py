"""SCSI logging of the sg driver: hlqueue, hlcomplete and ioctl."""

from __future__ import annotations

import pytest

from midlayer.mid.logging_level import LoggingLevel
from midlayer.testing import Answer
from midlayer.upper.sg.trace import SgTrace

from .test_descriptor import QUICK, READ, SG_IO, Bench

INQUIRY, READ_10 = "0:0:0:0 sg0 INQUIRY length=0", "0:0:0:0 sg0 READ(10) lba=0 blocks=0"
GET_TIMEOUT = "0:0:0:0 sg0 ioctl 0x2202 argument 0x0"
GOOD = "status 0x00 host 0x00 resid 476 0 ms"


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({}, []),
        ({"mlqueue": 7}, []),
        (
            {"hlqueue": 1},
            [
                "0:0:0:0 sg0 INQUIRY length=0 queued by SG_IO",
                "0:0:0:0 sg0 READ(10) lba=0 blocks=0 queued by write",
            ],
        ),
        ({"hlcomplete": 1}, []),
        ({"hlcomplete": 2}, [f"{INQUIRY} completed {GOOD}"]),
        ({"ioctl": 1}, [GET_TIMEOUT]),
        (
            {"ioctl": 2},
            ["0:0:0:0 sg0 ioctl 0x2285 argument 0x10100", "0:0:0:0 sg0 ioctl 0x2202 argument 0x0"],
        ),
    ],
    ids=str,
)
def test_fields(levels: dict[str, int], expected: list[str]) -> None:
    bench, said = Bench(), list[str]()
    word = LoggingLevel().with_fields(levels)
    bench.sg.parameters.trace = SgTrace(lambda: word, said.append)
    file = bench.open()
    file.ioctl(SG_IO, bench.sg_io_address(opcode=QUICK), bench.memory)
    file.write(bench.header(opcode=READ), bench.memory)
    file.ioctl(0x2202, 0, bench.memory)
    assert said == expected


def test_what_did_not_end_well_is_said_at_the_first_level() -> None:
    bench, said = Bench(), list[str]()
    word = LoggingLevel().with_fields({"hlcomplete": 1})
    bench.sg.parameters.trace = SgTrace(lambda: word, said.append)
    bench.open().write(bench.header(opcode=READ), bench.memory)
    bench.subsystem.remove_device(bench.device.device)
    bench.driver.pending[0].complete(Answer(status=0x08))
    assert [line.split(" completed ")[1].split(" resid")[0] for line in said] == ["status 0x08 host 0x00"]
