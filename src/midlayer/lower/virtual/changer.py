"""A medium changer: its elements, and the cartridges that are in them."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midlayer.errors import NodeError
from midlayer.lower.virtual.answers import CheckCondition, illegal_request
from midlayer.lower.virtual.attentions import MEDIUM_MAY_HAVE_CHANGED
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.lower.virtual.tape import NO_MEDIUM
from midlayer.lower.virtual.tape_medium import FileTape, MemoryTape, TapeMedium
from midlayer.lower.virtual.type_keys import Place
from midlayer.standards.sense import SenseKey
from midlayer.standards.smc import ElementType

if TYPE_CHECKING:
    from midlayer.lower.virtual.unit import VirtualUnit

_log = logging.getLogger("midlayer.virtual")

TRANSPORT, DRIVES, MAIL_SLOTS, SLOTS = 0x0000, 0x0100, 0x0200, 0x0400
"""Address of the first element of each type."""

INVENTORY = "inventory.json"
"""File in the directory of cartridges that says which slot each of them belongs to."""


@dataclass(slots=True)
class Held:
    """A cartridge in an element.

    Attributes:
        medium: The cartridge.
        source: The slot that it came from; None if nobody knows.
    """

    medium: TapeMedium
    source: int | None = None


class Changer:
    """Elements by address. Handlers hold `lock` while they look, or move something.

    Attributes:
        ranges: First address and number of elements of each type.
        held: What is in slots, mail slots and the transport.
        lock: Held by one command at a time.
    """

    def __init__(self, spec: UnitSpec, find: Callable[[Place], VirtualUnit | None]) -> None:
        """Put the cartridges into their slots.

        Args:
            spec: How many elements, which drives, which cartridges.
            find: Returns the unit at a place of the host.
        """
        self.ranges = {
            ElementType.MEDIUM_TRANSPORT: range(TRANSPORT, TRANSPORT + 1),
            ElementType.STORAGE: range(SLOTS, SLOTS + spec.slots),
            ElementType.IMPORT_EXPORT: range(MAIL_SLOTS, MAIL_SLOTS + spec.mail_slots),
            ElementType.DATA_TRANSFER: range(DRIVES, DRIVES + len(spec.drives)),
        }
        self.held: dict[int, Held] = {}
        self.lock = threading.Lock()
        self._drives, self._find = spec.drives, find
        self._sources: dict[int, Held] = {}  # what this changer has put into each drive
        self._directory = spec.directory
        for slot, barcode in self._places(spec).items():
            self.held[slot] = Held(self._cartridge(barcode))

    def kind(self, address: int) -> ElementType:
        """Return the type of the element at an address.

        Raises:
            CheckCondition: INVALID ELEMENT ADDRESS.
        """
        for kind, addresses in self.ranges.items():
            if address in addresses:
                return kind
        raise illegal_request(0x21, 0x01)

    def addresses(self) -> Iterator[int]:
        """Yield the addresses of all elements, in order."""
        return iter(sorted(address for addresses in self.ranges.values() for address in addresses))

    def drive(self, address: int) -> VirtualUnit | None:
        """Return the tape in a data transfer element; None if it is not there."""
        unit = self._find(self._drives[address - DRIVES])
        return unit if unit is not None and unit.is_tape and unit.plugged else None

    def look(self, address: int) -> Held | None:
        """Return what is in an element."""
        if self.kind(address) != ElementType.DATA_TRANSFER:
            return self.held.get(address)
        unit = self.drive(address)
        medium = unit.tape.medium if unit is not None else None
        if medium is None:
            return None
        ours = self._sources.get(address)
        return ours if ours is not None and ours.medium is medium else Held(medium)

    def move(self, source: int, destination: int) -> None:
        """Move a cartridge.

        Raises:
            CheckCondition: There is none, something is in its way, or it is held fast.
        """
        for address in (source, destination):
            self.kind(address)
        if self.look(source) is None:
            raise illegal_request(0x3B, 0x0E)
        if destination != source and self.look(destination) is not None:
            raise illegal_request(0x3B, 0x0D)
        self._check_removal(source)
        self._check_drive(destination)
        if destination != source:
            self._put(destination, self._take(source))
        self.save()

    def exchange(self, source: int, first: int, second: int) -> None:
        """Move a cartridge to where another one is, and that one to a second place.

        Raises:
            CheckCondition: One of them is not there, something is in its way, or it is held fast.
        """
        for address in (source, first, second):
            self.kind(address)
        if self.look(source) is None or self.look(first) is None:
            raise illegal_request(0x3B, 0x0E)
        if source == first or (second != source and self.look(second) is not None):
            raise illegal_request(0x3B, 0x0D)
        for address in (source, first):
            self._check_removal(address)
        for address in (first, second):
            self._check_drive(address)
        one, other = self._take(source), self._take(first)
        try:
            self._put(first, one)
        finally:
            self._put(second, other)
        self.save()

    def save(self) -> None:
        """Write down which slot each cartridge is in, or goes back to."""
        if self._directory is None:
            return
        homes = {}
        for address in self.addresses():
            held = self.look(address)
            if held is not None and held.medium.label:
                home = held.source if self.kind(address) == ElementType.DATA_TRANSFER else address
                homes[held.medium.label] = home
        path = self._directory / INVENTORY
        fresh = path.with_name(path.name + ".new")
        with fresh.open("w", encoding="ascii") as file:
            json.dump(homes, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _take(self, address: int) -> Held:
        """Take a cartridge out of an element, and return it with the slot that it comes from."""
        kind, held = self.kind(address), self.look(address)
        assert held is not None
        if kind != ElementType.DATA_TRANSFER:
            del self.held[address]
            return Held(held.medium, address if kind == ElementType.STORAGE else held.source)
        unit = self.drive(address)
        assert unit is not None
        unit.tape.take_out()
        unit.not_ready = NO_MEDIUM
        unit.regard()
        return held

    def _put(self, address: int, held: Held) -> None:
        if self.kind(address) != ElementType.DATA_TRANSFER:
            self.held[address] = held
            return
        unit = self.drive(address)
        assert unit is not None
        try:
            unit.tape.insert(held.medium)
        except NodeError as error:
            _log.error("%s: %s", held.medium.label, error)
            stuck = (TRANSPORT, *self.ranges[ElementType.STORAGE])
            self.held[next(one for one in stuck if one not in self.held)] = held
            raise CheckCondition(SenseKey.HARDWARE_ERROR, 0x53, 0x00) from None  # load failed
        self._sources[address] = held
        unit.not_ready = None
        unit.attend(MEDIUM_MAY_HAVE_CHANGED)

    def _check_removal(self, address: int) -> None:
        if self.kind(address) == ElementType.DATA_TRANSFER:
            unit = self.drive(address)
            if unit is not None and unit.prevented:
                raise illegal_request(0x53, 0x02)

    def _check_drive(self, address: int) -> None:
        if self.kind(address) == ElementType.DATA_TRANSFER and self.drive(address) is None:
            raise illegal_request(0x3B, 0x1A)

    def _places(self, spec: UnitSpec) -> dict[int, str]:
        """Return slot → barcode: as it was written down, else in the order of the configuration."""
        kept = self._kept()
        listed = {SLOTS + index: barcode for index, barcode in enumerate(spec.cartridges) if barcode}
        places = (*self.ranges[ElementType.STORAGE], *self.ranges[ElementType.IMPORT_EXPORT])
        found: dict[int, str] = {}
        for barcode in listed.values():
            home = kept.get(barcode)
            if home is not None and home not in found and home in places:
                found[home] = barcode
        missing = [barcode for barcode in listed.values() if barcode not in found.values()]
        order = [*listed, *self.ranges[ElementType.STORAGE]]
        for barcode in missing:
            free = next(slot for slot in order if slot not in found)
            found[free] = barcode
        return found

    def _kept(self) -> dict[str, int]:
        if self._directory is None:
            return {}
        try:
            kept = json.loads((self._directory / INVENTORY).read_text(encoding="ascii"))
            return {str(label): home for label, home in kept.items() if isinstance(home, int)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            _log.error("%s: the inventory that was kept can not be read: %s", self._directory, error)
            return {}

    def _cartridge(self, barcode: str) -> TapeMedium:
        if self._directory is None:
            return MemoryTape(barcode)
        self._directory.mkdir(parents=True, exist_ok=True)
        return FileTape(self._directory / f"{barcode}.tap", barcode)
