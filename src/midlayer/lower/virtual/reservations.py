"""Persistent reservations of one logical unit (SPC-4 5.13), and the RESERVE and RELEASE of SPC-2.

This is the state and what may be done to it. The commands that carry it are in `persistent_commands`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from midlayer.lower.virtual.answers import ReservationConflict, illegal_request, invalid_parameter
from midlayer.lower.virtual.attentions import (
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
    Attention,
)
from midlayer.lower.virtual.command_rows import Access
from midlayer.mid.nexus import Nexus
from midlayer.standards.reservations import ReservationType

MOST_REGISTRATIONS = 1024

RESERVATION_KEY_AT, SERVICE_ACTION_KEY_AT = 0, 8


class Port(NamedTuple):
    """What a registration belongs to: an initiator port as one target port sees it."""

    transport_id: bytes
    relative_target_port: int


def port_of(nexus: Nexus) -> Port:
    """Return what the registration of a nexus is kept under."""
    return Port(nexus.transport_id, nexus.relative_target_port)


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered nexus; `all_ports` says that it asked for all target ports at once."""

    key: int
    all_ports: bool = False


Tell = Callable[[Port, Attention], None]


class Reservations:
    """Registrations and the reservation. Every method but `conflicts` is called with `lock` held.

    Attributes:
        lock: Held by whoever changes something, and while what depends on it is decided.
        generation: PRgeneration.
        registered: Registrations by port, in the order in which they were made.
        holder: Who made the reservation; None if there is none. Every registered nexus holds a reservation
            of an all registrants type.
        type: Type of the reservation.
        aptpl: It is to survive a loss of power.
        reserved_by: Who has the unit by RESERVE(6) or RESERVE(10).
    """

    __slots__ = (
        "_news",
        "_tell_at_once",
        "aptpl",
        "generation",
        "holder",
        "lock",
        "registered",
        "reserved_by",
        "type",
    )

    def __init__(self, tell: Tell) -> None:
        self.lock = threading.Lock()
        self.generation = 0
        self.registered: dict[Port, Registration] = {}
        self.holder: Port | None = None
        self.type = ReservationType.WRITE_EXCLUSIVE
        self.aptpl = False
        self.reserved_by: Nexus | None = None
        self._tell_at_once = tell
        self._news: list[tuple[Port, Attention]] | None = None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change all of it or nothing: an exception brings back what was, and nobody is told anything."""
        before = (self.generation, dict(self.registered), self.holder, self.type, self.aptpl)
        news = self._news = []
        try:
            yield
        except BaseException:
            self.generation, self.registered, self.holder, self.type, self.aptpl = before
            raise
        finally:
            self._news = None
        for port, attention in news:
            self._tell_at_once(port, attention)

    @property
    def held(self) -> bool:
        """Some command may conflict."""
        return self.holder is not None or self.reserved_by is not None

    def conflicts(self, nexus: Nexus, access: Access) -> bool:
        """Say whether a command of this kind conflicts with the persistent reservation."""
        holder = self.holder
        if holder is None or access is Access.ALWAYS:
            return False
        if access is Access.READS and not self.type.exclusive_access:
            return False
        port = port_of(nexus)
        return port != holder and not (self.type.for_registrants and port in self.registered)

    def holds(self, port: Port) -> bool:
        """Say whether a nexus holds the reservation."""
        if self.holder is None:
            return False
        return port == self.holder or (self.type.held_by_all and port in self.registered)

    def registration(self, port: Port, key: int) -> Registration:
        """Return the registration of a nexus.

        Raises:
            ReservationConflict: If it is not registered, or with another key.
        """
        found = self.registered.get(port)
        if found is None or found.key != key:
            raise ReservationConflict
        return found

    def register(self, ports: list[Port], key: int, *, all_ports: bool) -> None:
        """Register nexuses with a key, or give them another one.

        Raises:
            CheckCondition: INSUFFICIENT REGISTRATION RESOURCES.
        """
        if len(self.registered.keys() | ports) > MOST_REGISTRATIONS:
            raise illegal_request(0x55, 0x04)
        for port in ports:
            self.registered[port] = Registration(key, all_ports)
        self.generation += 1

    def unregister(self, port: Port) -> None:
        """Take back a registration, and the reservation if it was the (last) holder's (SPC-4 5.13.11.3)."""
        was_holder = self.holds(port)
        del self.registered[port]
        self.generation += 1
        if not was_holder:
            return
        if self.type.held_by_all and self.registered:
            if self.holder == port:
                self.holder = next(iter(self.registered))
            return
        self.holder = None
        if self.type.for_registrants:
            self._tell_registered(RESERVATIONS_RELEASED, spare=port)

    def reserve(self, port: Port, type_: ReservationType) -> None:
        """Reserve the unit (SPC-4 5.13.9).

        Raises:
            ReservationConflict: If there is another reservation.
        """
        if self.holder is None:
            self.holder, self.type = port, type_
        elif not self.holds(port) or self.type is not type_:
            raise ReservationConflict

    def release(self, port: Port, type_: int) -> None:
        """Release the reservation; one that the nexus does not hold stays (SPC-4 5.13.11.2).

        Raises:
            CheckCondition: INVALID RELEASE OF PERSISTENT RESERVATION.
        """
        if not self.holds(port):
            return
        if self.type != type_:
            raise illegal_request(0x26, 0x04)
        self.holder = None
        if self.type.for_registrants:
            self._tell_registered(RESERVATIONS_RELEASED, spare=port)

    def clear(self, port: Port) -> None:
        """Take back everything (SPC-4 5.13.11.5)."""
        others = [one for one in self.registered if one != port]
        self.registered.clear()
        self.holder = None
        self.generation += 1
        for one in others:
            self._tell(one, RESERVATIONS_PREEMPTED)

    def preempt(self, port: Port, key: int, type_: ReservationType) -> list[Port]:
        """Take registrations, and perhaps the reservation, from others (SPC-4 5.13.11.4).

        Returns:
            The nexuses that lost their registration.

        Raises:
            CheckCondition: INVALID FIELD IN PARAMETER LIST for a key of zero where it means nothing.
            ReservationConflict: If nobody is registered with the key.
        """
        held_by_all = self.holder is not None and self.type.held_by_all
        if held_by_all and key == 0:
            removed = [one for one in self.registered if one != port]
            self._take_over(port, type_, removed)
            return removed
        if key == 0:
            raise invalid_parameter(SERVICE_ACTION_KEY_AT)
        matching = [one for one, registration in self.registered.items() if registration.key == key]
        if not matching:
            raise ReservationConflict
        removed = [one for one in matching if one != port]
        if not held_by_all and self.holder is not None and self.holder in matching:
            self._take_over(port, type_, removed)
        else:
            # A nexus may name its own key, to be rid of its own registration as well.
            removed = matching
            self._remove(removed, spare=port)
        return removed

    def move(self, port: Port, to: Port, key: int, *, unregister: bool) -> None:
        """Hand the reservation to another nexus (SPC-4 5.13.8)."""
        self.registered[to] = Registration(key)
        self.holder = to
        if unregister:
            del self.registered[port]
        self.generation += 1

    def _take_over(self, port: Port, type_: ReservationType, removed: list[Port]) -> None:
        changed = self.type is not type_
        was_for_registrants = self.type.for_registrants
        self.holder, self.type = port, type_
        self._remove(removed, spare=port)
        if changed and was_for_registrants:
            self._tell_registered(RESERVATIONS_RELEASED, spare=port)

    def _remove(self, removed: list[Port], *, spare: Port) -> None:
        for one in removed:
            del self.registered[one]
            if one != spare:
                self._tell(one, REGISTRATIONS_PREEMPTED)
        if self.holder is not None and self.holder not in self.registered:
            self.holder = next(iter(self.registered), None) if self.type.held_by_all else None
        self.generation += 1

    def _tell(self, port: Port, attention: Attention) -> None:
        if self._news is None:
            self._tell_at_once(port, attention)
        else:
            self._news.append((port, attention))

    def _tell_registered(self, attention: Attention, *, spare: Port) -> None:
        for one in self.registered:
            if one != spare:
                self._tell(one, attention)
