"""Target port groups, identifying information, task management functions (SPC-4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from midlayer.lower.virtual.spec import UnitSpec
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import vpd
from midlayer.standards.port_groups import AccessState, ReportTargetPortGroups, SetTargetPortGroups

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, READ = "000000000000", "28000000000000000100"
TWO_PATHS = (AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY)


def states(asker: Any, **fields: int) -> bytes:
    cdb = ReportTargetPortGroups(allocation_length=252, **fields).encode()
    return bytes(asker(cdb, data_in=252).raise_for_status().data)


def setting(*groups: tuple[int, int]) -> tuple[bytes, bytes]:
    data = bytes(4) + b"".join(bytes((state, 0)) + group.to_bytes(2, "big") for group, state in groups)
    return SetTargetPortGroups(parameter_list_length=len(data)).encode(), data


def test_report(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit(alua=TWO_PATHS))
    groups = "004f000100000001" + "00000001" + "024f000200000001" + "00000002"
    assert states(alice).hex() == "00000018" + groups
    assert states(alice, parameter_data_format=1).hex() == "0000001c" + "10000000" + groups
    assert alice.code("a34a" + "00" * 10) == "5/24/00"
    inquiry = alice("120000002400", data_in=36).data
    assert inquiry[5] >> 4 & 3 == 3


def test_a_path_in_standby(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, standby = initiators(unit(alua=TWO_PATHS))
    assert (alice.code(READ, data_in=512), standby.code(READ, data_in=512)) == ("ok", "2/04/0b")
    assert standby.code(TUR) == "2/04/0b"
    assert standby.code("120000002400", data_in=36) == "ok"
    assert states(standby) == states(alice)
    for cdb, said in (
        ("25000000000000000000", "ok"),  # READ CAPACITY(10)
        ("9e100000000000000000000000200000", "ok"),  # READ CAPACITY(16)
        ("9e120000000000000000000000200000", "2/04/0b"),  # GET LBA STATUS
        ("1d0400000000", "ok"),  # SEND DIAGNOSTIC
    ):
        assert standby.code(cdb, data_in=32 if cdb[0] != "1" else 0) == said
    assert standby.code(*setting((2, 0), (1, 3))) == "ok"
    assert standby.code(READ, data_in=512) == "ok"
    assert [alice.code(TUR), bob.code(TUR)] == ["6/2a/06", "6/2a/06"]
    assert alice.code(READ, data_in=512) == "2/04/0c"
    assert alice.code("25000000000000000000", data_in=8) == "2/04/0c", "unavailable is less than standby"
    assert (states(bob)[9], states(bob)[21]) == (1, 1)  # set by a command
    bob.device.hostdata.set_access_state(1, AccessState.ACTIVE_NON_OPTIMIZED)
    assert [asker.code(TUR) for asker in (alice, bob, standby)] == ["6/2a/06"] * 3
    assert states(bob)[9] == 2


def test_set_refused(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(alua=TWO_PATHS))
    for group, state in ((3, 0), (1, 0x0E), (1, 0x05)):
        assert alice.code(*setting((2, 0), (group, state))) == "5/26/00"
    assert alice.code(SetTargetPortGroups(parameter_list_length=6).encode(), bytes(6)) == "5/1a/00"
    assert alice.code(SetTargetPortGroups().encode()) == "ok"
    assert bob.code(TUR) == "ok"
    plain, _, _ = initiators(unit())
    assert plain.code(ReportTargetPortGroups(allocation_length=252).encode(), data_in=252) == "5/24/00"


def test_designators_name_the_port(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, other = initiators(unit(alua=TWO_PATHS))
    for asker, port in ((alice, 1), (other, 2)):
        page = vpd.DeviceIdentification.decode(bytes(asker("12018300fc00", data_in=252).data))
        of_port = [one for one in page.designators if one.association == 1]
        assert [(one.designator_type, one.identifier) for one in of_port] == [
            (4, bytes((0, 0, 0, port))),
            (5, bytes((0, 0, 0, port))),
        ]
    ports = bytes(alice("12018800fc00", data_in=252).data)
    assert (ports[3], ports[6:8], ports[18:20]) == (24, b"\0\1", b"\0\2")


def test_states_of_a_configuration() -> None:
    assert UnitSpec.from_mapping({"alua": "optimized, standby"}).alua == TWO_PATHS
    assert UnitSpec.from_mapping({"alua": ["optimized", "standby"]}).alua == TWO_PATHS


def test_identifying_information(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code("a4060000000000000005" + "0400", b"name\0") == "ok"
    said = bytes(alice("a30500000000000000fc" + "0400", data_in=252).data)
    assert said == b"\0\0\0\x05name\0"
    assert bytes(alice("a30500000000000000fc" + "0000", data_in=252).data) == bytes(4)
    types = bytes(alice("a30500000000000000fc" + "fe00", data_in=252).data)
    assert types.hex() == "00000008" + "00000040" + "04000100"
    assert alice.code("a4060000000000000004" + "0400", b"name") == "5/26/00"  # not ended by a NUL
    assert alice.code("a4060000000000000101" + "0400", bytes(257)) == "5/1a/00"
    assert alice.code("a4060000000000000004" + "0800", b"name") == "5/24/00"


def test_task_management_functions(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert bytes(alice("a30d00000000000000fc0000", data_in=252).data).hex() == "d8010000"
    assert len(alice("a30d80000000000000fc0000", data_in=252).data) == 16
