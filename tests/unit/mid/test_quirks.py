"""The quirk table: rule SC-30."""

from __future__ import annotations

import pytest

from midlayer.errors import InvalidRequest
from midlayer.mid.quirks import Quirk, QuirkTable


def test_sc_30_an_entry_of_ones_own_names_vendor_and_model_exactly() -> None:
    table = QuirkTable()
    table.add("Acme:RAID:0x240")
    assert table.lookup("Acme    ", "RAID            ") == Quirk.SPARSELUN | Quirk.LARGELUN
    assert table.lookup("Acme", "RAID") == 0x240
    for vendor, model in (
        ("Acme2", "RAID"), ("Acm", "RAID"), ("Acme", "RAI"), ("Acme", "My RAID"), ("Acme", "RAID 5000"),
        (" Acme", "RAID"), ("Acme", " RAID"),
    ):  # fmt: skip
        assert table.lookup(vendor, model) == 0


def test_sc_30_a_built_in_entry_names_the_beginning_of_the_model() -> None:
    table = QuirkTable()
    assert table.lookup("XYRATEX", "RS") == table.lookup(" XYRATEX", " RS-1600-X24") == 0x240
    assert table.lookup("XYRATEX", "R") == table.lookup("XYRATEX2", "RS") == 0
    table.add("XYRATEX:RS-5:0x1")
    assert (table.lookup("XYRATEX", "RS-5"), table.lookup("XYRATEX", "RS-6")) == (1, 0x240)


def test_sc_30_built_in_entries_have_flags_with_a_meaning() -> None:
    entries = QuirkTable().entries()
    assert len(entries) == 182
    assert all(entry.built_in and entry.flags and not entry.flags & ~sum(Quirk) for entry in entries)
    assert str(entries[0]) == "'Aashima' 'IMAGERY 2400SP' 0x1"


def test_sc_30_the_first_entry_wins_and_the_default_comes_last() -> None:
    table = QuirkTable(Quirk.NOLUN)
    table.add("Acme:RAID 5:1024")
    table.add("Acme:RAID 5:0x40")
    table.add("Acme::0")
    assert table.lookup("Acme", "RAID 5") == Quirk.INQUIRY_36
    assert table.lookup("Acme", "") == 0
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
