"""Persistent reservations with several nexuses against a model that says what SPC-4 5.13 says, slowly."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Command, Result
from midlayer.mid.dispatch import run
from midlayer.mid.nexus import Nexus
from midlayer.mid.subsystem import Subsystem
from midlayer.standards import reservations as pr
from midlayer.standards.reservations import InAction, OutAction, ReservationType
from midlayer.standards.sam import Status
from midlayer.testing import FakeClock

NEXUSES = [Nexus(f"n{number}", b"\x06" + bytes(10) + bytes((number,)) + bytes(12)) for number in range(3)]
WHO = st.integers(0, len(NEXUSES) - 1)
KEY = st.integers(0, 3)
TYPE = st.sampled_from(list(ReservationType))
TUR, READ, WRITE = bytes(6), bytes.fromhex("28000000000000000100"), bytes.fromhex("2a000000000000000100")
ALL = (7, 8)


class Reservations(RuleBasedStateMachine):
    """A disk and a model of it: keys by nexus, who holds the reservation, of which type."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = VirtualDriver(Subsystem(clock=FakeClock()))
        self.host = self.driver.add_host(HostSpec(units=(UnitSpec(size=4096),), max_id=1))
        self.device = self.host.devices()[0]
        self.keys: dict[int, int] = {}
        self.holder: int | None = None
        self.type = 0
        self.generation = 0
        self.told: dict[int, list[int]] = {who: [] for who in range(len(NEXUSES))}
        for who in range(len(NEXUSES)):
            self.send(who, TUR)

    def teardown(self) -> None:
        self.driver.remove_host(self.host)

    def send(self, who: int, cdb: bytes, out: bytes | None = None, room: int = 0) -> Result:
        command = Command(self.device, cdb, out, memoryview(bytearray(room)) if room else None)
        command.nexus = NEXUSES[who]
        return run(command)

    def out(self, who: int, action: OutAction, key: int, new: int = 0, type_: int = 0) -> str:
        for ascq in self.told[who]:  # what it was told of comes first, once and in order
            sense = self.send(who, TUR).sense
            assert sense is not None
            assert (sense.asc, sense.ascq) == (0x2A, ascq)
        self.told[who] = []
        cdb = pr.PersistentReserveOut(service_action=action, type=type_, parameter_list_length=24)
        data = pr.OutParameters(reservation_key=key, service_action_reservation_key=new)
        result = self.send(who, cdb.encode(), data.encode())
        if result.status == Status.RESERVATION_CONFLICT:
            return "conflict"
        return result.sense.code if result.sense is not None else "ok"

    def tell(self, who: int, ascq: int) -> None:
        if ascq not in self.told[who]:
            self.told[who].append(ascq)

    def holds(self, who: int) -> bool:
        return self.holder is not None and (self.holder == who or (self.type in ALL and who in self.keys))

    def release(self, by: int) -> None:
        if self.type >= 5:
            for who in self.keys:
                if who != by:
                    self.tell(who, 4)
        self.holder = None

    @rule(who=WHO, key=KEY, new=KEY, ignore=st.booleans())
    def register(self, who: int, key: int, new: int, ignore: bool) -> None:
        action = OutAction.REGISTER_AND_IGNORE_EXISTING_KEY if ignore else OutAction.REGISTER
        said = self.out(who, action, key, new)
        if not ignore and key != self.keys.get(who, 0):
            assert said == "conflict"
            return
        assert said == "ok"
        if new:
            self.keys[who] = new
            self.generation += 1
        elif who in self.keys:
            held = self.holds(who)
            del self.keys[who]
            self.generation += 1
            if held and self.type in ALL and self.keys:
                self.holder = next(iter(self.keys)) if self.holder == who else self.holder
            elif held:
                self.release(who)

    @rule(who=WHO, key=KEY, type_=TYPE)
    def reserve(self, who: int, key: int, type_: ReservationType) -> None:
        said = self.out(who, OutAction.RESERVE, key, type_=type_)
        free = self.holder is None or (self.holds(who) and self.type == type_)
        allowed = self.keys.get(who) == key and free
        assert said == ("ok" if allowed else "conflict")
        if allowed and self.holder is None:
            self.holder, self.type = who, type_

    @precondition(lambda self: self.holder is not None)
    @rule(who=WHO, right=st.booleans())
    def release_it(self, who: int, right: bool) -> None:
        type_ = self.type if right else 1 if self.type != 1 else 3
        said = self.out(who, OutAction.RELEASE, self.keys.get(who, 0), type_=type_)
        if who not in self.keys:
            assert said == "conflict"
        elif not self.holds(who):
            assert said == "ok"
        elif not right:
            assert said == "5/26/04"
        else:
            assert said == "ok"
            self.release(who)

    @rule(who=WHO)
    def clear(self, who: int) -> None:
        said = self.out(who, OutAction.CLEAR, self.keys.get(who, 0))
        assert said == ("ok" if who in self.keys else "conflict")
        if who in self.keys:
            for other in self.keys:
                if other != who:
                    self.tell(other, 3)
            self.keys, self.holder = {}, None
            self.generation += 1

    @rule(who=WHO, victim=KEY, type_=TYPE)
    def preempt(self, who: int, victim: int, type_: ReservationType) -> None:
        said = self.out(who, OutAction.PREEMPT, self.keys.get(who, 0), victim, type_)
        if who not in self.keys:
            assert said == "conflict"
            return
        everyone = self.holder is not None and self.type in ALL and victim == 0
        matching = [other for other in self.keys if everyone or self.keys[other] == victim]
        if victim == 0 and not everyone:
            assert said == "5/26/00"
            return
        if not matching:
            assert said == "conflict"
            return
        assert said == "ok"
        takes = everyone or (self.type not in ALL and self.holder in matching)
        old = self.type
        for other in matching:
            if other != who or not takes:
                del self.keys[other]
            if other != who:
                self.tell(other, 5)
        if takes:
            self.holder, self.type = who, type_
            if old != type_ and old >= 5:
                for other in self.keys:
                    if other != who:
                        self.tell(other, 4)
        elif self.holder is not None and self.holder not in self.keys:
            self.holder = next(iter(self.keys), None)
        self.generation += 1

    @rule(who=WHO)
    def read_and_write(self, who: int) -> None:
        for ascq in self.told[who]:
            sense = self.send(who, TUR).sense
            assert sense is not None
            assert sense.ascq == ascq
        self.told[who] = []
        stranger = self.holder is not None and not (self.holds(who) or (self.type >= 5 and who in self.keys))
        wrote = self.send(who, WRITE, bytes(512)).status == Status.GOOD
        read = self.send(who, READ, room=512).status == Status.GOOD
        assert wrote is not stranger
        assert read is not (stranger and self.type in (3, 6, 8))

    @invariant()
    def what_is_reported(self) -> None:
        who = next((who for who, told in self.told.items() if not told), None)
        if who is None:
            return

        def ask(action: InAction) -> bytes:
            cdb = pr.PersistentReserveIn(service_action=action, allocation_length=512).encode()
            return bytes(self.send(who, cdb, room=512).data)

        generation, keys = pr.decode_keys(ask(InAction.READ_KEYS))
        assert (generation, sorted(keys)) == (self.generation, sorted(self.keys.values()))
        _, entries = pr.decode_full_status(ask(InAction.READ_FULL_STATUS))
        holders = {entry.transport_id for entry in entries if entry.holder}
        assert holders == {NEXUSES[other].transport_id for other in self.keys if self.holds(other)}
        reservation = ask(InAction.READ_RESERVATION)
        assert len(reservation) == (8 if self.holder is None else 24)
        if self.holder is not None:
            assert pr.ReadReservation.decode(reservation).type == self.type


def test_nexuses_do_what_they_like() -> None:
    run_state_machine_as_test(
        Reservations, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
