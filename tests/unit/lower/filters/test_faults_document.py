"""docs/faults.md, row by row: each rule parses, and a command meets what its row says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from midlayer.lower.filters import FaultRule, faults_of, values
from midlayer.lower.filters.fault.rule import EFFECTS
from midlayer.lower.filters.filter import FAILED, SUCCESS
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Command, HostByte, Phase, Result
from midlayer.mid.dispatch import submit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock

PAGE = Path(__file__).parents[4] / "docs" / "faults.md"
TEXT = PAGE.read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (.+?) \| `fault ([^`]+)` \| (.+?): (.+) \|$", re.MULTILINE)
# modinfo -F parm scsi_debug, Linux 6.12
PARAMETERS = re.findall(
    r"\w+",
    """
    add_host allow_restart ato atomic_wr atomic_wr_align atomic_wr_gran atomic_wr_max_bndry
    atomic_wr_max_length atomic_wr_max_length_bndry cdb_len clustering delay dev_size_mb dif dix dsense
    every_nth fake_rw guard host_lock host_max_queue inq_product inq_rev inq_vendor lbprz lbpu lbpws
    lbpws10 lowest_aligned lun_format max_luns max_queue medium_error_count medium_error_start ndelay
    no_lun_0 no_rwlock no_uld num_parts num_tgts opt_blks opt_xferlen_exp opts per_host_store
    physblk_exp poll_queues ptype random removable scsi_level sector_size statistics strict
    submit_queues tur_ms_to_ready unmap_alignment unmap_granularity unmap_max_blocks unmap_max_desc
    uuid_ctl virtual_gb vpd_use_hostno wp write_same_length zbc zone_cap_mb zone_max_open zone_nr_conv
    zone_size_mb
    """,
)
_OTHER_PARAMETERS = TEXT[TEXT.index("The noise bits") :].partition("\n\n")[0]
CDBS = {
    "TEST UNIT READY": "000000000000",
    "INQUIRY": "120000002400",
    "READ(10)": "28000000000000000100",
    "READ(10) at 0x1234": "28000000123400000100",
    "WRITE(10)": "2a000000000000000100",
    "READ CAPACITY(16)": "9e100000000000000000000000200000",
}
_LENGTHS = {"INQUIRY": 36, "READ CAPACITY(16)": 32, "READ(10)": 512, "READ(10) at 0x1234": 512}


class Row(NamedTuple):
    """One row: the rule, a command, and its outcome."""

    theirs: str
    rule: FaultRule
    command: str
    outcome: str


def rule_of(words: str) -> FaultRule:
    return FaultRule.from_mapping(dict(word.partition("=")[::2] for word in shlex.split(words)))


ROWS = [
    Row(theirs, rule_of(words), command, outcome) for theirs, words, command, outcome in _ROW.findall(TEXT)
]


class Able(VirtualDriver):
    """A virtual driver whose error handling always works."""

    def eh_abort_handler(self, command: Command) -> int:
        return SUCCESS

    eh_device_reset_handler = eh_target_reset_handler = eh_bus_reset_handler = eh_abort_handler
    eh_host_reset_handler = eh_abort_handler


class Judge:
    """A virtual disk with the rule of one row, and its command."""

    def __init__(self, row: Row) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.driver = Able(self.subsystem)
        self.host = self.driver.add_host(HostSpec(units=(UnitSpec(size=4 << 20),)))
        self.rule = faults_of(self.subsystem).add(row.rule)
        length = _LENGTHS.get(row.command)
        self.command = Command(
            self.host.devices()[0],
            bytes.fromhex(CDBS[row.command]),
            bytes(512) if row.command.startswith("WRITE") else None,
            memoryview(bytearray(length)) if length else None,
            60.0,
            0,
            True,
            lambda command: None,
        )

    def result(self) -> Result:
        command = self.command
        assert command.phase is Phase.FINISHED
        return Result(
            command.status, command.host_byte, 0, command.sense_data, command.residual, 0.0, None,
            command.device.address, command.cdb,
        )  # fmt: skip

    def injections(self) -> int:
        return faults_of(self.subsystem).state(self.rule.name).injections


def is_lost(judge: Judge, said: str) -> None:
    submit(judge.command)
    judge.clock.advance(59.9)
    assert judge.command.phase is Phase.ISSUED
    for _ in range(10):
        judge.clock.advance(60.0)
    assert judge.result().host_byte == HostByte.DID_TIME_OUT


def is_tried_again(judge: Judge, said: str) -> None:
    submit(judge.command)
    assert judge.command.phase is Phase.QUEUED
    judge.clock.advance(5.0)
    assert judge.result().outcome == said
    assert judge.injections() == judge.rule.times


def handler_fails(judge: Judge, said: str) -> None:
    handler = getattr(judge.driver, said.removesuffix(" fails"))
    assert handler(judge.command) == FAILED
    assert judge.injections() == 1
    faults_of(judge.subsystem).clear()
    assert handler(judge.command) == SUCCESS


def ends(judge: Judge, said: str) -> None:
    outcome, _, more = said.partition(", residual ")
    outcome, _, late = outcome.partition(", late by ")
    submit(judge.command)
    if late:
        delay_s = values.duration("late", late.removeprefix("up to "))
        assert judge.command.phase is Phase.ISSUED
        judge.clock.advance(delay_s)
        assert late.startswith("up to") or judge.command.duration_s == pytest.approx(delay_s)
    result = judge.result()
    assert result.outcome == outcome
    assert result.residual == (int(more) if more else 0 if result.ok else judge.command.requested_bytes)
    assert judge.injections() == (outcome != "GOOD" or bool(more) or bool(late))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.theirs}: {row.outcome}")
def test_row(row: Row) -> None:
    judge = Judge(row)
    if row.outcome == "lost":
        is_lost(judge, row.outcome)
    elif row.outcome.startswith("tried again, "):
        is_tried_again(judge, row.outcome.removeprefix("tried again, "))
    elif row.outcome.endswith(" fails"):
        handler_fails(judge, row.outcome)
    else:
        ends(judge, row.outcome)


def test_every_parameter_of_scsi_debug_is_there() -> None:
    assert len(PARAMETERS) >= 66
    rows = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    code = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", rows + _OTHER_PARAMETERS))))
    assert [name for name in PARAMETERS if name not in code] == []
    assert len(ROWS) >= 38


def test_every_key_of_a_rule_is_there() -> None:
    listed = set(
        re.findall(
            r"`(\w+)`", "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `"))
        )
    )
    assert set(FaultRule.__slots__) - {"name"} <= listed
    assert set(EFFECTS) <= listed
