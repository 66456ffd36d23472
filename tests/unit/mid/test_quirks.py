"""The quirk table: rule SC-30."""

from __future__ import annotations

import pytest

from midlayer.errors import InvalidRequest
from midlayer.mid.quirks import Quirk, QuirkTable


def test_sc_30_vendor_exactly_and_model_by_its_beginning() -> None:
    table = QuirkTable()
    table.add("Acme:RAID:0x240")
    assert table.lookup("Acme    ", "RAID 5000       ") == Quirk.SPARSELUN | Quirk.LARGELUN
    assert table.lookup("Acme", "RAID") == 0x240
    assert table.lookup("Acme2", "RAID") == 0
    assert table.lookup("Acm", "RAID") == 0
    assert table.lookup("Acme", "RAI") == 0
    assert table.lookup("Acme", "My RAID") == 0


def test_sc_30_the_first_entry_wins_and_the_default_comes_last() -> None:
    table = QuirkTable(Quirk.NOLUN)
    table.add("Acme:RAID 5:1024")
    table.add("Acme::0")
    table.add("Acme:RAID:0x40")
    assert table.lookup("Acme", "RAID 5") == Quirk.INQUIRY_36
    assert table.lookup("Acme", "RAID 6") == 0
    assert table.lookup("Other", "") == Quirk.NOLUN


@pytest.mark.parametrize("bit", [14, 15, 16, 24, 27, 35, 63])
def test_sc_30_bits_without_a_meaning(bit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"{1 << bit:#x} have no meaning"):
        QuirkTable().add(f"Acme:RAID:{1 << bit:#x}")


@pytest.mark.parametrize(
    "text", ["", "Acme", "Acme:RAID", ":RAID:1", "a:b:1:2", "Acme:RAID:", "Acme:RAID:x", "Acme:RAID:-1",
             "TooLongAVendor:RAID:1", "Acme:" + "x" * 17 + ":1"]
)  # fmt: skip
def test_sc_30_entries_that_are_none(text: str) -> None:
    table = QuirkTable()
    with pytest.raises(InvalidRequest):
        table.add(text)
    assert table.lookup("Acme", "RAID") == 0
