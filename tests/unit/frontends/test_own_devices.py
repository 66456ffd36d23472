"""Devices of ours as rules see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from midlayer.device import open_device
from midlayer.frontends.daemon.rules import outcomes
from midlayer.frontends.own_devices import OwnEnvironment, first_of_its_kind, node_views, unit_view, view_of
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.rules import RuleSet
from midlayer.rules.path_id import path_id

EXAMPLES = Path(__file__).parents[3] / "examples" / "rules"
PERSISTENT_NAMES = """\
KERNEL=="sd*[!0-9]|sr*", ENV{ID_SERIAL}!="?*", IMPORT{program}="scsi_id --export --whitelisted -d $devnode", ENV{ID_BUS}="scsi"
KERNEL=="sd*|sr*", ENV{DEVTYPE}=="disk", ENV{ID_SERIAL}=="?*", SYMLINK+="disk/by-id/$env{ID_BUS}-$env{ID_SERIAL}"
ENV{DEVTYPE}=="disk", DEVPATH!="*/virtual/*", IMPORT{builtin}="path_id"
ENV{DEVTYPE}=="disk", ENV{ID_PATH}=="?*", SYMLINK+="disk/by-path/$env{ID_PATH}"
ENV{DEVTYPE}=="disk", ENV{ID_WWN_WITH_EXTENSION}=="?*", SYMLINK+="disk/by-id/wwn-$env{ID_WWN_WITH_EXTENSION}"
"""  # noqa: E501


@pytest.fixture
def unit() -> Iterator[LogicalUnit]:
    """A virtual disk."""
    text = "virtual:disk?size=1M&vendor=ACME&product=Test disk&serial=S1"
    with closing(open_device(text)) as device:
        yield device.logical_unit


def test_a_unit_stands_where_programs_see_it(unit: LogicalUnit) -> None:
    view = unit_view(unit, {"attach_count": 7})
    assert (
        view.devpath
        == f"/devices/midlayer/host{unit.host.host_no}/target{unit.host.host_no}:0:0/{unit.address}"
    )
    assert view.attribute("vendor") == "ACME    "
    assert view.attribute("peripheral_qualifier") == "0"
    assert view.attribute("vpd/serial") == "S1"
    assert view.attribute("attach_count") == "7"
    assert view.attribute("delete") is None  # it can only be written
    assert view.properties["MIDLAYER_ATTACH_COUNT"] == "7"
    assert view.binary("inquiry") == bytes(unit.inquiry_data)


def test_nodes_have_the_kernels_numbers(unit: LogicalUnit) -> None:
    names = {"sg": "sg12", "sd": "sdab", "bsg": "bsg/0:0:0:0"}
    found = {view.subsystem: (view.devnode, view.devnum) for view in node_views(unit, names=names)}
    assert found == {
        "scsi_device": ("", None),
        "scsi_generic": ("/dev/sg12", (21, 12)),
        "block": ("/dev/sdab", (8, 27 * 16)),
    }
    unit.names["sg"] = "sg3"
    assert view_of(unit, "sg3").devnode == "/dev/sg3"
    assert view_of(unit, "/dev/sg3").subsystem == "scsi_generic"
    assert view_of(unit).subsystem == "scsi"


def test_persistent_names_are_those_of_udevs_own_rules(unit: LogicalUnit) -> None:
    view = first_of_its_kind(unit)
    rules = RuleSet.of_texts({"60-persistent-storage.rules": PERSISTENT_NAMES})
    outcome = rules.apply(view, "add", OwnEnvironment(view))
    serial = outcome.properties["ID_SERIAL"]
    assert outcome.links == (
        f"disk/by-id/scsi-{serial}",
        f"disk/by-path/midlayer-scsi-{unit.address}",
        f"disk/by-id/wwn-{outcome.properties['ID_WWN_WITH_EXTENSION']}",
    )
    assert outcome.properties["ID_SCSI_SERIAL"] == "S1"
    assert outcome.notes == ()


def test_rules_meet_a_unit_and_each_of_its_nodes(unit: LogicalUnit) -> None:
    unit.names["sg"] = "sg3"
    text = """\
SUBSYSTEM=="scsi", RUN{builtin}+="log $attr{attach_count}"
SUBSYSTEM=="scsi_generic", RUN+="/x $kernel"
"""
    found = outcomes(RuleSet.of_texts({"a.rules": text}), unit, "change", counts={"attach_count": 9})
    assert [outcome.properties["SUBSYSTEM"] for outcome in found] == ["scsi", "scsi_device", "scsi_generic"]
    assert [run.command for outcome in found for run in outcome.run] == ["log 9", "/x sg3"]


def test_a_program_that_would_open_the_node_is_not_run(unit: LogicalUnit) -> None:
    view = first_of_its_kind(unit)
    rules = RuleSet.of_texts(
        {"a.rules": 'PROGRAM="/bin/echo $devnode"\nPROGRAM="/bin/echo ok", ENV{A}="%c"\n'}
    )
    outcome = rules.apply(view, "add", OwnEnvironment(view))
    assert "has none in /dev" in outcome.notes[0]
    assert outcome.properties["A"] == "ok"
    quiet = rules.apply(view, "add", OwnEnvironment(view, programs=False))
    assert "A" not in quiet.properties


def test_files_of_a_device_of_ours_can_be_tested(unit: LogicalUnit) -> None:
    view = first_of_its_kind(unit)
    environment = OwnEnvironment(view)
    text = 'TEST=="../../vendor", ENV{A}="1"\nTEST=="/sys$devpath", ENV{B}="1"\n'
    properties = RuleSet.of_texts({"a.rules": text}).apply(view, "add", environment).properties
    assert "A" not in properties  # there are no paths with dots here
    assert properties["B"] == "1"
    assert environment.read_file(f"/sys{view.parent and view.parent.devpath}/vendor") == b"ACME    \n"
    assert environment.device("scsi", str(unit.address)) is not None
    assert (path_id(view, environment) or {})["ID_PATH"] == f"midlayer-scsi-{unit.address}"


def test_the_example_removes_a_unit_with_the_wrong_qualifier() -> None:
    rules = RuleSet.load([EXAMPLES])
    assert rules.mistakes == []
    with closing(open_device("virtual:disk?size=1M&vendor=ACME&qualifier=001b")) as device:
        found = outcomes(rules, device.logical_unit, "add")[0]
    assert [run.command for run in found.run] == [
        f"log {found.name} has qualifier 001b, removed",
        "scsi_remove_device",
    ]
    with closing(open_device("virtual:disk?size=1M&vendor=ACME")) as device:
        assert outcomes(rules, device.logical_unit, "add")[0].run == ()
