"""PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE, with several nexuses (SPC-4 5.13)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.saved_reservations import path_for
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards import reservations as pr
from midlayer.standards.port_groups import AccessState
from midlayer.standards.reservations import InAction, OutAction, ReservationType

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR = "000000000000"
READ, WRITE = "28000000000000000100", "2a000000000000000100"
WE, EA = ReservationType.WRITE_EXCLUSIVE, ReservationType.EXCLUSIVE_ACCESS
WERO, EARO = ReservationType(5), ReservationType(6)
WEAR, EAAR = ReservationType(7), ReservationType(8)


def out(action: OutAction, key: int = 0, new: int = 0, type_: int = 0, **flags: bool) -> tuple[bytes, bytes]:
    """Return CDB and parameter list of PERSISTENT RESERVE OUT."""
    cdb = pr.PersistentReserveOut(service_action=action, type=type_, parameter_list_length=24).encode()
    data = pr.OutParameters(reservation_key=key, service_action_reservation_key=new, **flags).encode()
    return cdb, data


def read(asker: Any, action: InAction) -> bytes:
    cdb = pr.PersistentReserveIn(service_action=action, allocation_length=4096).encode()
    return bytes(asker(cdb, data_in=4096).raise_for_status().data)


def keys(asker: Any) -> tuple[int, list[int]]:
    return pr.decode_keys(read(asker, InAction.READ_KEYS))


def held(asker: Any) -> tuple[int, int] | None:
    """Return key and type of the reservation."""
    data = read(asker, InAction.READ_RESERVATION)
    if len(data) == 8:
        return None
    decoded = pr.ReadReservation.decode(data)
    return decoded.reservation_key, decoded.type


def registered(asker: Any, key: int) -> Any:
    assert asker.code(*out(OutAction.REGISTER, new=key)) == "ok"
    return asker


def test_register_and_read_keys(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    assert keys(alice) == (0, [])
    assert alice.code(*out(OutAction.REGISTER, key=9, new=1)) == "conflict"  # it has no key yet
    registered(alice, 0xA)
    registered(bob, 0xB)
    assert keys(bob) == (2, [0xA, 0xB])
    assert alice.code(*out(OutAction.REGISTER, key=0xB, new=1)) == "conflict"
    assert alice.code(*out(OutAction.REGISTER, key=0xA, new=0xAA)) == "ok"
    assert alice.code(*out(OutAction.REGISTER_AND_IGNORE_EXISTING_KEY, key=7, new=0xAB)) == "ok"
    assert keys(alice) == (4, [0xAB, 0xB])
    assert bob.code(*out(OutAction.REGISTER, key=0xB)) == "ok"
    assert keys(alice) == (5, [0xAB])


@pytest.mark.parametrize("type_", list(ReservationType))
def test_who_may_do_what(unit: MakeUnit, initiators: Initiators, type_: ReservationType) -> None:
    alice, bob, other_path = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=type_)) == "ok"
    assert held(bob) == (0 if type_.held_by_all else 0xA, type_)
    assert (alice.code(READ, data_in=512), alice.code(WRITE, bytes(512))) == ("ok", "ok")
    registrant = "ok" if type_.for_registrants else "conflict"
    may_read = "conflict" if type_.exclusive_access else "ok"
    assert bob.code(WRITE, bytes(512)) == registrant
    assert bob.code(READ, data_in=512) == (registrant if type_.exclusive_access else "ok")
    # The same initiator through another port is another nexus, and not registered.
    assert other_path.code(WRITE, bytes(512)) == "conflict"
    assert other_path.code(READ, data_in=512) == may_read
    assert other_path.code(TUR) == "ok"
    assert other_path.code("120000002400", data_in=36) == "ok"
    assert other_path.code("25000000000000000000", data_in=8) == "ok"
    assert other_path.code("1a000a00fc00", data_in=252) == may_read
    assert other_path.code("35000000000000000000") == "conflict"
    assert other_path.code("1b0000000100") == "ok"  # START is harmless, STOP is not
    assert other_path.code("1b0000000000") == "conflict"
    assert other_path.code("1e0000000000") == "ok"
    assert other_path.code("1e0000000100") == "conflict"


def test_reserve_refused(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=WE)) == "conflict"  # not registered
    registered(alice, 0xA)
    registered(bob, 0xB)
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=2)) == "5/24/00"
    cdb = pr.PersistentReserveOut(
        service_action=OutAction.RESERVE, scope=1, type=1, parameter_list_length=24
    ).encode()
    assert alice.code(cdb, pr.OutParameters(reservation_key=0xA).encode()) == "5/24/00"
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=WE)) == "ok"
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=WE)) == "ok"  # the same again
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=EA)) == "conflict"
    assert bob.code(*out(OutAction.RESERVE, key=0xB, type_=WE)) == "conflict"
    assert bob.code("5f1f0000000000001800", bytes(24)) == "5/24/00"
    assert bob.code("5f000000000000001700", bytes(24)) == "5/1a/00"
    assert bob.code("5f000000000000001c00", bytes(28)) == "5/1a/00"


@pytest.mark.parametrize("type_", list(ReservationType))
def test_release(unit: MakeUnit, initiators: Initiators, type_: ReservationType) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    alice(*out(OutAction.RESERVE, key=0xA, type_=type_))
    wrong = ReservationType.EXCLUSIVE_ACCESS if type_ == 1 else ReservationType.WRITE_EXCLUSIVE
    assert alice.code(*out(OutAction.RELEASE, key=0xA, type_=wrong)) == "5/26/04"
    if not type_.held_by_all:
        assert bob.code(*out(OutAction.RELEASE, key=0xB, type_=type_)) == "ok"  # and changes nothing
        assert held(bob) is not None
    assert alice.code(*out(OutAction.RELEASE, key=0xA, type_=type_)) == "ok"
    assert held(alice) is None
    assert bob.code(TUR) == ("6/2a/04" if type_.for_registrants else "ok")
    assert alice.code(TUR) == "ok"


def test_a_holder_that_unregisters(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    alice(*out(OutAction.RESERVE, key=0xA, type_=WERO))
    alice(*out(OutAction.REGISTER, key=0xA))
    assert bob.code(TUR) == "6/2a/04"
    assert held(bob) is None
    bob(*out(OutAction.RESERVE, key=0xB, type_=WEAR))
    registered(alice, 0xA)
    bob(*out(OutAction.REGISTER, key=0xB))
    assert held(alice) == (0, WEAR)  # as long as one is left
    alice(*out(OutAction.REGISTER, key=0xA))
    assert held(alice) is None


def test_clear(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    alice(*out(OutAction.RESERVE, key=0xA, type_=EA))
    assert bob.code(*out(OutAction.CLEAR, key=0xA)) == "conflict"
    assert bob.code(*out(OutAction.CLEAR, key=0xB)) == "ok"
    assert (keys(bob), held(bob)) == ((3, []), None)
    assert (alice.code(TUR), bob.code(TUR)) == ("6/2a/03", "ok")


@pytest.mark.parametrize("action", [OutAction.PREEMPT, OutAction.PREEMPT_AND_ABORT])
def test_preempt_the_holder(unit: MakeUnit, initiators: Initiators, action: OutAction) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    alice(*out(OutAction.RESERVE, key=0xA, type_=WE))
    assert bob.code(*out(action, key=0xB, new=0xA, type_=EARO)) == "ok"
    assert (keys(bob), held(bob)) == ((3, [0xB]), (0xB, EARO))
    assert alice.code(WRITE, bytes(512)) == "6/2a/05"
    assert alice.code(WRITE, bytes(512)) == "conflict"


def test_preempt_a_registration_alone(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, third = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    registered(third, 0xC)
    alice(*out(OutAction.RESERVE, key=0xA, type_=WE))
    assert bob.code(*out(OutAction.PREEMPT, key=0xB, new=0xD, type_=EA)) == "conflict"
    assert bob.code(*out(OutAction.PREEMPT, key=0xB, new=0, type_=EA)) == "5/26/00"
    assert bob.code(*out(OutAction.PREEMPT, key=0xB, new=0xC, type_=EA)) == "ok"
    assert (keys(bob)[1], held(bob)) == ([0xA, 0xB], (0xA, WE))
    assert third.code(TUR) == "6/2a/05"


def test_preempt_all_registrants(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, third = initiators(unit())
    for number, asker in enumerate((alice, bob, third), 1):
        registered(asker, number)
    alice(*out(OutAction.RESERVE, key=1, type_=EAAR))
    assert bob.code(*out(OutAction.PREEMPT, key=2, new=0, type_=WE)) == "ok"
    assert (keys(bob)[1], held(bob)) == ([2], (2, WE))
    assert (alice.code(TUR), third.code(TUR), bob.code(TUR)) == ("6/2a/05", "6/2a/05", "ok")


def test_a_holder_preempts_itself_to_change_the_type(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)
    registered(bob, 0xB)
    alice(*out(OutAction.RESERVE, key=0xA, type_=WERO))
    assert alice.code(*out(OutAction.PREEMPT, key=0xA, new=0xA, type_=EA)) == "ok"
    assert (keys(alice)[1], held(alice)) == ([0xA, 0xB], (0xA, EA))
    assert bob.code(TUR) == "6/2a/04"


def test_register_and_move(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    registered(alice, 0xA)

    def move(asker: Any, key: int, to: Any, **flags: bool) -> str:
        data = pr.RegisterAndMoveParameters(
            reservation_key=key,
            service_action_reservation_key=0xF,
            relative_target_port_identifier=1,
            transportid_length=len(to.nexus.transport_id),
            **flags,
        ).encode()
        data += to.nexus.transport_id
        cdb = pr.PersistentReserveOut(service_action=7, parameter_list_length=len(data)).encode()
        return str(asker.code(cdb, data))

    assert move(alice, 0xA, bob) == "conflict"  # it holds nothing
    alice(*out(OutAction.RESERVE, key=0xA, type_=WE))
    assert move(alice, 0xA, alice) == "5/26/00"
    assert move(alice, 0xA, bob, unreg=True) == "ok"
    assert (keys(bob)[1], held(bob)) == ([0xF], (0xF, WE))
    assert alice.code(WRITE, bytes(512)) == "conflict"
    assert bob.code(WRITE, bytes(512)) == "ok"


def test_spec_i_pt_and_all_tg_pt(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, other_path = initiators(unit(alua=(AccessState.ACTIVE_OPTIMIZED,) * 2))
    data = pr.OutParameters(service_action_reservation_key=0xA, spec_i_pt=True, all_tg_pt=True).encode()
    data += len(bob.nexus.transport_id).to_bytes(4, "big") + bob.nexus.transport_id
    cdb = pr.PersistentReserveOut(parameter_list_length=len(data)).encode()
    assert alice.code(cdb, data) == "ok"
    generation, entries = pr.decode_full_status(read(alice, InAction.READ_FULL_STATUS))
    assert generation == 1
    assert {(one.transport_id, one.relative_target_port, one.all_tg_pt) for one in entries} == {
        (nexus.transport_id, port, True) for nexus in (alice.nexus, bob.nexus) for port in (1, 2)
    }
    assert other_path.code(*out(OutAction.RESERVE, key=0xA, type_=WE)) == "ok"
    _, entries = pr.decode_full_status(read(bob, InAction.READ_FULL_STATUS))
    assert [one.holder for one in entries if one.relative_target_port == 2] == [True, False]
    again = pr.PersistentReserveOut(parameter_list_length=len(data)).encode()
    assert alice.code(again, data) == "5/26/00"  # SPEC_I_PT is for a nexus that is not registered


@pytest.mark.parametrize("listed", [b"\x05\0\0\x14" + b"iqn.c\0".ljust(20, b"\0"), b"\x45\0\0\x10", bytes(8)])
def test_transport_ids_that_will_not_do(unit: MakeUnit, initiators: Initiators, listed: bytes) -> None:
    alice, _, _ = initiators(unit())
    data = pr.OutParameters(service_action_reservation_key=0xA, spec_i_pt=True).encode()
    data += len(listed).to_bytes(4, "big") + listed
    assert alice.code(pr.PersistentReserveOut(parameter_list_length=len(data)).encode(), data) == "5/26/00"
    assert keys(alice) == (0, [])


def test_capabilities(unit: MakeUnit, initiators: Initiators, tmp_path: Path) -> None:
    for keys_of_unit, kept in (({}, False), ({"file": tmp_path / "disk"}, True)):
        alice, _, _ = initiators(unit(**keys_of_unit))
        said = pr.Capabilities.decode(read(alice, InAction.REPORT_CAPABILITIES))
        assert (said.ptpl_c, said.ptpl_a, said.atp_c, said.sip_c) == (kept, False, True, True)
        assert said.types == tuple(ReservationType)


def test_aptpl_needs_a_file(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert alice.code(*out(OutAction.REGISTER, new=1, aptpl=True)) == "5/26/00"


def test_reservations_survive_a_restart(
    subsystem: Subsystem, virtual: VirtualDriver, initiators: Initiators, tmp_path: Path
) -> None:
    spec = HostSpec(units=(UnitSpec(size=65536, file=tmp_path / "disk"),))
    host = virtual.add_host(spec)
    alice, bob, _ = initiators(host.devices()[0])
    assert alice.code(*out(OutAction.REGISTER, new=0xA, aptpl=True)) == "ok"
    assert bob.code(*out(OutAction.REGISTER, new=0xB, aptpl=True)) == "ok"
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=WE)) == "ok"
    virtual.remove_host(host)
    host = virtual.add_host(spec)
    alice, bob, _ = initiators(host.devices()[0])
    assert (keys(bob), held(bob)) == ((2, [0xA, 0xB]), (0xA, WE))
    assert bob.code(WRITE, bytes(512)) == "conflict"
    assert alice.code(WRITE, bytes(512)) == "ok"
    assert alice.code(*out(OutAction.CLEAR, key=0xA)) == "ok"
    assert not path_for(tmp_path / "disk").exists()
    path_for(tmp_path / "disk").write_text("{ not json")
    virtual.remove_host(host)
    host = virtual.add_host(spec)
    assert keys(initiators(host.devices()[0])[0]) == (0, [])
    virtual.remove_host(host)


@pytest.mark.parametrize(
    ("reserve", "release"), [("16" + "00" * 5, "17" + "00" * 5), ("56" + "00" * 9, "57" + "00" * 9)]
)
def test_reserve_and_release(unit: MakeUnit, initiators: Initiators, reserve: str, release: str) -> None:
    device = unit()
    alice, bob, _ = initiators(device)
    assert alice.code(reserve) == "ok"
    assert (alice.code(reserve), bob.code(reserve), bob.code(TUR)) == ("ok", "conflict", "conflict")
    assert bob.code("120000002400", data_in=36) == "ok"
    assert bob.code("03000000fc00", data_in=252) == "ok"
    assert (bob.code(release), bob.code(TUR)) == ("ok", "conflict")  # not its own to release
    assert (alice.code(release), bob.code(TUR)) == ("ok", "ok")
    assert alice.code(reserve) == "ok"
    device.hostdata.nexus_lost(alice.nexus)
    assert bob.code(TUR) == "ok"
    assert bob.code(*out(OutAction.REGISTER, new=0xB)) == "ok"
    assert bob.code(reserve) == "conflict"  # there are registrations
    assert (bob.code(release), alice.code(release)) == ("conflict", "conflict")


def test_a_reserve_stops_persistent_reservations_of_everybody(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit())
    assert alice.code("160000000000") == "ok"
    for asker in (alice, bob):
        assert asker.code("5e000000000000010000", data_in=256) == "conflict"
        assert asker.code(*out(OutAction.REGISTER, new=1)) == "conflict"
    assert alice.code("170000000000") == "ok"
    assert keys(alice) == (0, [])


def test_what_can_not_be_saved_has_not_happened(
    virtual: VirtualDriver, initiators: Initiators, tmp_path: Path
) -> None:
    directory = tmp_path / "medium"
    directory.mkdir()
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=65536, file=directory / "disk"),)))
    alice, bob, _ = initiators(host.devices()[0])
    assert alice.code(*out(OutAction.REGISTER, new=0xA, aptpl=True)) == "ok"
    assert bob.code(*out(OutAction.REGISTER, new=0xB, aptpl=True)) == "ok"
    directory.rename(tmp_path / "elsewhere")
    assert alice.code(*out(OutAction.REGISTER, key=0xA, new=0xC, aptpl=True)) == "3/0c/00"
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=EA)) == "3/0c/00"
    assert alice.code(*out(OutAction.PREEMPT, key=0xA, new=0xB, type_=EA)) == "3/0c/00"
    assert (keys(bob), held(bob), bob.code(TUR)) == ((2, [0xA, 0xB]), None, "ok")
    (tmp_path / "elsewhere").rename(directory)
    assert alice.code(*out(OutAction.RESERVE, key=0xA, type_=EA)) == "ok"
    assert (keys(bob), held(alice), bob.code(READ)) == ((2, [0xA, 0xB]), (0xA, EA), "conflict")
    virtual.remove_host(host)


def test_a_third_party_or_an_extent_is_refused(unit: MakeUnit, initiators: Initiators) -> None:
    alice, _, _ = initiators(unit())
    assert [alice.code(f"16{flags:02x}00000000") for flags in (0x01, 0x10)] == ["5/24/00", "5/24/00"]
