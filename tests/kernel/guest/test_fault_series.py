"""Faults on Linux's scsi_debug and here: outcome, tries, steps of recovery and state are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from midlayer.mid.command import HostByte
from midlayer.standards.sam import Status
from midlayer.standards.sbc import Read10, Write10
from midlayer.standards.spc import TestUnitReady

from .fault_disks import BLOCK, KernelDisk, OurDisk, Seen, Sent
from .nodes import udev_stopped
from .scsi_debug import ScsiDebug

READ_10 = Read10(logical_block_address=8, transfer_length=1).encode()
READ: Sent = (READ_10, {"data_in": BLOCK})
WRITE: Sent = (
    Write10(logical_block_address=8, transfer_length=1).encode(),
    {"data_out": bytes(BLOCK)},
)
READY: Sent = (TestUnitReady().encode(), {})


class Recovered(NamedTuple):
    """Lines for the kernel's files, our rules, and the steps of the error handler that must follow."""

    theirs: tuple[str, ...]
    ours: tuple[dict[str, Any], ...]
    steps: tuple[str, ...]
    fail_reset: bool = False
    eh_deadline: int | None = None
    state: str = "running"


DISTURBED_AT_MOST = 5
"""How often a case may meet READs of somebody else, such as udev's, who takes the fault away."""

LOST = ("0 -1 0x2a", {"opcode": 0x2A, "lost": True, "times": 1})
# scsi_debug does what it is asked for, and says that it failed.
NO_ABORT = ("3 1 0x2a", {"opcode": 0x2A, "fail": "abort", "execute": True})
NO_DEVICE_RESET = ("4 1 0x2a", {"opcode": 0x2A, "fail": "device_reset", "execute": True})
NO_TARGET_RESET = {"fail": "target_reset", "execute": True}
# Two resets, and scsi_debug tells of both; a disk of ours tells of the last one alone.
TWO_RESETS = ("", {"opcode": 0x00, "unit_attention": "29/00"})
DEAF = ("0 1 0x00", {"opcode": 0x00, "lost": True})
LADDER = ("device reset", "target reset", "bus reset", "host reset")


def recovered(
    *pairs: tuple[str, dict[str, Any]], steps: tuple[str, ...], fail_reset: bool = False, **more: Any
) -> Recovered:
    ours = [rule for _, rule in pairs] + [NO_TARGET_RESET] * fail_reset
    return Recovered(tuple(line for line, _ in pairs if line), tuple(ours), steps, fail_reset, **more)


RECOVERIES = {
    "aborted": recovered(LOST, steps=("abort",)),
    "no abort": recovered(LOST, NO_ABORT, steps=("abort", "device reset")),
    "no abort, no device reset": recovered(
        LOST, NO_ABORT, NO_DEVICE_RESET, TWO_RESETS, steps=("abort", "device reset", "target reset")
    ),
    "no abort, no target reset": recovered(LOST, NO_ABORT, fail_reset=True, steps=("abort", "device reset")),
    "no abort, no reset of device or target": recovered(
        LOST, NO_ABORT, NO_DEVICE_RESET, TWO_RESETS, fail_reset=True, steps=("abort", *LADDER[:3])
    ),
    "no device reset": recovered(LOST, NO_DEVICE_RESET, steps=("abort",)),
    "no target reset": recovered(LOST, fail_reset=True, steps=("abort",)),
    "no reset of device or target": recovered(LOST, NO_DEVICE_RESET, fail_reset=True, steps=("abort",)),
    "past the deadline": recovered(LOST, steps=("host reset",), eh_deadline=0),
    "lost, and deaf ever since": recovered(
        LOST,
        NO_ABORT,
        DEAF,
        # Each TEST UNIT READY is lost as well, and is aborted.
        steps=("abort", *(step for rung in LADDER for step in (rung, "abort"))),
        state="offline",
    ),
    "a host byte that needs recovery": recovered(
        (
            "2 -1 0x2a 0x3 0 0 0 0 0",
            {"opcode": 0x2A, "host_byte": 3, "sense": "0/00/00", "status": "GOOD", "execute": False,
             "residual": 0, "times": 1},
        ),
        steps=("device reset",),
    ),
    "a TEST UNIT READY of the error handler that fails": recovered(
        LOST,
        NO_ABORT,
        ("2 -2 0x00 0 0 0x2 0x4 0x44 0x0", {"opcode": 0, "sense": "4/44/00", "residual": 0, "times": 2}),
        steps=("abort", "device reset"),
    ),
    "a TEST UNIT READY that is busy": recovered(
        LOST,
        NO_ABORT,
        ("2 -1 0x00 0 0 0x8 0 0 0", {"opcode": 0, "status": "BUSY", "execute": False, "times": 1}),
        steps=("abort", "device reset"),
    ),
    "a TEST UNIT READY with a host byte": recovered(
        LOST,
        NO_ABORT,
        ("2 -1 0x00 0x7 0 0 0 0 0", {"opcode": 0, "host_byte": 7, "execute": False, "times": 1}),
        TWO_RESETS,
        steps=("abort", "device reset", "target reset"),
    ),
}  # fmt: skip


class Answer(NamedTuple):
    """What a device, or its driver, answers: host byte, status and sense of scsi_debug's errors of type 2."""

    host_byte: int = 0
    status: int = 0
    key: int = 0
    asc: int = 0
    ascq: int = 0

    def theirs(self, count: int, opcode: int) -> str:
        codes = (self.host_byte, 0, self.status, self.key, self.asc, self.ascq)
        return f"2 {count} {opcode:#x} {' '.join(f'{code:#x}' for code in codes)}"

    def ours(self, times: int, opcode: int) -> dict[str, Any]:
        rule: dict[str, Any] = {"opcode": opcode, "execute": False, "residual": 0}
        if self.host_byte:
            rule["host_byte"] = self.host_byte
        # scsi_debug sends sense data with each of them, also where there is nothing to say.
        rule["sense"] = f"{self.key:x}/{self.asc:02x}/{self.ascq:02x}"
        rule["status"] = self.status
        return rule | ({"times": times} if times else {})


HOST_BYTES = [Answer(host_byte=code) for code in HostByte if code]
SENSES = (
    "0/00/00", "1/18/00", "2/04/01", "2/04/02", "2/3A/00", "3/11/00", "3/0C/00", "4/44/00", "5/20/00",
    "5/21/00", "5/24/00", "5/25/00", "6/28/00", "6/29/00", "6/2A/09", "6/3F/0E", "7/27/00", "7/27/07",
    "8/00/00", "A/0D/00", "B/00/00", "B/10/01", "B/47/03", "D/00/00", "E/1D/00",
)  # fmt: skip
ANSWERS = [
    *(Answer(0, Status.CHECK_CONDITION, *(int(code, 16) for code in sense.split("/"))) for sense in SENSES),
    *(Answer(status=status) for status in Status if status not in (Status.GOOD, Status.CHECK_CONDITION)),
]
"""Each sense key, as a device would use it, and each other status."""


@pytest.fixture(scope="module")
def kernel_disk() -> Iterator[KernelDisk]:
    with ScsiDebug(dev_size_mb=8, delay=0) as debug:
        disk = KernelDisk(debug)
        with udev_stopped():  # so that nobody looks at the disk because it says that it changed
            yield disk
        disk.recover()
        disk.close()


@pytest.fixture
def our_disk() -> OurDisk:
    return OurDisk()


@pytest.mark.parametrize("case", RECOVERIES.values(), ids=RECOVERIES)
def test_recovery(kernel_disk: KernelDisk, our_disk: OurDisk, case: Recovered) -> None:
    """A WRITE is lost, and what is done about it fails in one way or another; then the device is read."""
    sent = [WRITE, READ] if case.state == "running" else [WRITE]
    kernel_disk.put(case.theirs, fail_reset=case.fail_reset, eh_deadline=case.eh_deadline)
    theirs = kernel_disk.play(sent)
    kernel_disk.recover()
    our_disk.put(case.ours, eh_deadline=case.eh_deadline)
    ours = our_disk.play(sent)
    same(ours, theirs)
    assert (ours.steps, ours.state) == (case.steps, case.state)


def same(ours: Seen, theirs: Seen) -> None:
    assert ours == theirs, f"\nours:   {ours}\ntheirs: {theirs}"


def _id(answer: Answer) -> str:
    return "/".join(f"{code:x}" for code in answer)


def undisturbed(disk: KernelDisk, rule: str, play: Callable[[], Seen]) -> Seen:
    """Put an error in force and play, again if somebody else may have met the error."""
    for _ in range(DISTURBED_AT_MOST):
        disk.put([rule])
        seen = play()
        disk.recover()
        if not disk.met_others:
            break
    return seen


@pytest.mark.parametrize("count", [1, 0], ids=["once", "always"])
@pytest.mark.parametrize("answer", HOST_BYTES, ids=_id)
def test_host_bytes_of_a_read_of_the_block_layer(
    kernel_disk: KernelDisk, our_disk: OurDisk, answer: Answer, count: int
) -> None:
    """The kernel's sd may retry it once, and so may we."""
    rule = answer.theirs(-count or 1, READ_10[0])
    theirs = undisturbed(kernel_disk, rule, lambda: kernel_disk.read_blocks(count + 1))
    our_disk.put([answer.ours(count, READ_10[0])])
    same(our_disk.read_blocks(READ_10, count + 1), theirs)


@pytest.mark.parametrize("answer", ANSWERS, ids=_id)
def test_answers_to_a_read_of_a_program(kernel_disk: KernelDisk, our_disk: OurDisk, answer: Answer) -> None:
    """By sg: one READ is answered, and then there is one that is carried out."""
    rule = answer.theirs(-1, READ_10[0])
    theirs = undisturbed(kernel_disk, rule, lambda: kernel_disk.play([READ, READ]))
    our_disk.put([answer.ours(1, READ_10[0])])
    same(our_disk.play([READ, READ]), theirs)
