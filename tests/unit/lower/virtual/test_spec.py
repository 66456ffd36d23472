"""What a configuration may say, and the key that is named when it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.errors import SpecError
from midlayer.lower.virtual.spec import HostSpec, UnitSpec


def test_defaults_and_conversions() -> None:
    spec = UnitSpec.from_mapping(
        {"type": "cd", "qualifier": "001b", "size": "1M", "thin": "yes", "lun": "0x10", "removable": True}
    )
    assert (spec.type, spec.qualifier, spec.size, spec.block_size) == (5, 1, 1 << 20, 2048)
    assert (spec.thin, spec.lun, spec.removable, spec.blocks) == (True, 16, True, 512)
    assert UnitSpec.from_mapping({"type": "0x1f"}).type == UnitSpec.from_mapping({"type": 31}).type == 31
    assert UnitSpec.from_mapping({"type": "DISK", "block_size": 4096}).block_size == 4096
    assert UnitSpec() == UnitSpec.from_mapping({})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "floppy"), ("type", 32), ("type", True), ("qualifier", "8"), ("qualifier", "00b"),
        ("vendor", "NINECHARS"), ("vendor", 5), ("vendor", "ü"), ("product", "x" * 17), ("product", "a\nb"),
        ("revision", "12345"), ("serial", "x" * 37), ("naa", "5000"), ("naa", "g" * 16), ("size", "1X"),
        ("size", "-1"), ("size", 0), ("size", 1000), ("size", "1P"), ("size", None), ("block_size", 520),
        ("physical_block_size", 1536), ("physical_block_size", 512 << 16), ("sanitize_s", -1),
        ("format_s", "soon"),
        ("block_size", 256), ("file", 7), ("thin", "maybe"), ("write_protected", 2), ("rotation_rate", 65535),
        ("scsi_level", 8), ("channel", 256), ("target", -1), ("lun", 1 << 64), ("lun", "one"), ("count", 0),
        ("colour", "red"), ("slots", 4097), ("bays", 7), ("bays", "0:1"), ("bays", ["0:x:0"]),
        ("bays", ["0:1:0", 5]), ("fans", 65), ("slots", 4),
        ("barcode", "a"), ("barcode", "A" * 33), ("loaded", "maybe"), ("early_warning", "x"),
        ("loaded", False), ("drives", ["x"]), ("drives", ["0:1:0"] * 257),
        ("mail_slots", 257), ("cartridges", ["a"]), ("directory", 5),
    ],
)  # fmt: skip
def test_unit_keys(key: str, value: object) -> None:
    with pytest.raises(SpecError) as caught:
        UnitSpec.from_mapping({key: value})
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")


def test_keys_that_do_not_go_together() -> None:
    for other in ({"serial": "x"}, {"naa": "3" * 16}, {"file": "disk"}):
        with pytest.raises(SpecError, match="count"):
            UnitSpec.from_mapping({"count": 2, "size": 512, **other})
    with pytest.raises(SpecError, match="count: units of one table"):
        UnitSpec.from_mapping({"type": "changer", "count": 2, "directory": "tapes"})
    with pytest.raises(SpecError, match="block_size"):
        UnitSpec.from_mapping({"type": "cd", "block_size": 512})
    with pytest.raises(SpecError, match="bays: names 3 units for 2 slots"):
        UnitSpec.from_mapping({"type": "enclosure", "slots": 2, "bays": "0:1:0 - 0:2:0"})
    changer = {"type": "changer", "slots": 1}
    with pytest.raises(SpecError, match="cartridges: names 2 for 1 slots"):
        UnitSpec.from_mapping({**changer, "cartridges": "A B"})
    for key, value in (("drives", "0:1:0 0:1:0"), ("cartridges", "- A A")):
        with pytest.raises(SpecError, match=f"{key}: names one of them twice"):
            UnitSpec.from_mapping({**changer, "slots": 3, key: value})
    with pytest.raises(SpecError, match="slots: an enclosure has up to 128"):
        UnitSpec.from_mapping({"type": "enclosure", "slots": 129})
    with pytest.raises(SpecError, match="bays: is a key of an enclosure; set type as well"):
        UnitSpec.from_mapping({"bays": "0:1:0"})
    with pytest.raises(SpecError, match="size"):
        UnitSpec(size=1)  # a value made in Python is checked as well


def test_the_size_of_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    assert UnitSpec.from_mapping({"file": str(path)}).size == 1 << 30
    path.write_bytes(bytes(5120))
    assert UnitSpec.from_mapping({"file": str(path)}).size == 0
    assert UnitSpec.from_mapping({"file": str(path), "size": 512}).size == 512


def test_identity_follows_from_the_place() -> None:
    unit = UnitSpec(lun=3)
    assert unit.identified(1) == unit.identified(1)
    assert unit.identified(1).serial != unit.identified(2).serial
    assert unit.identified(1).naa[0] == "3"
    assert len(unit.identified(1).naa) == 16
    assert unit.identified(1).product == "Virtual disk"
    assert UnitSpec(serial="S", naa="A" * 16, product="P").identified(0).naa == "a" * 16


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 5), ("host_no", -1), ("can_queue", 0), ("cmd_per_lun", 0), ("max_cmd_len", 5),
        ("max_cmd_len", 261), ("max_channel", 256), ("max_id", 0), ("max_lun", 0), ("this_id", -2),
        ("report_luns", "perhaps"), ("speed", "fast"),
    ],
)  # fmt: skip
def test_host_keys(key: str, value: object) -> None:
    with pytest.raises(SpecError) as caught:
        HostSpec.from_mapping({key: value})
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("units", "limits"),
    [
        ((UnitSpec(), UnitSpec()), {}),
        ((UnitSpec(count=3), UnitSpec(lun=2)), {}),
        ((UnitSpec(channel=1),), {}),
        ((UnitSpec(target=8),), {"max_id": 8}),
        ((UnitSpec(lun=6, count=3),), {"max_lun": 8}),
        ((UnitSpec(target=7),), {"this_id": 7}),
    ],
)
def test_units_that_have_no_place(units: tuple[UnitSpec, ...], limits: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="unit: "):
        HostSpec.from_mapping({"units": units, **limits})
