"""A command through the fault filter that no fault means, against the same command without the filter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from bench.commands import make_disk
from bench.measure import compare_in_pairs, line
from midlayer.lower.filters import add_fault
from midlayer.standards.sbc import Read10
from midlayer.standards.spc import TestUnitReady
from midlayer.upper.sg import execute

COST_GOAL = 1.15

_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a fault for another command", {"opcode": "WRITE(10)", "sense": "3/0c/00"}),
    ("a fault for other blocks", {"opcode": "READ", "lba": "100000-100007", "sense": "3/11/00"}),
)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    plain, faulty = make_disk(), make_disk()
    read_4k = Read10(logical_block_address=8, transfer_length=8).encode()
    for what, keys in _FAULTS:
        add_fault(faulty, **keys)
        for name, cdb, buffer in (
            ("TEST UNIT READY", TestUnitReady().encode(), None),
            ("READ(10) 4 KiB", read_4k, bytearray(4096)),
        ):
            ours = partial(execute, faulty, cdb, data_in=buffer)
            base = partial(execute, plain, cdb, data_in=buffer)
            ratio = compare_in_pairs(f"{name}, {what} / none", ours, base)
            yield line(ratio, f"goal at most {COST_GOAL:g}", met=ratio.cost <= COST_GOAL)
