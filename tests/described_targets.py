"""Targets of every kind, from a seed, served by our own target: odd units, gaps, no LUN 0, no REPORT LUNS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

from midlayer.address import Address
from midlayer.frontends.target.lun_commands import Refusal
from midlayer.frontends.target.server import TargetServer
from midlayer.frontends.target.session import Session
from midlayer.frontends.target.spec import TargetSpec
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sense import SenseKey, fixed_sense
from midlayer.testing import Answer, ScriptedDriver

IQN = "iqn.2026-11.io.midlayer:described"
INQUIRY = 0x12
_REFUSED = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x20)
_NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 254, 255, 256, 257, 300, 16383)
_NAMES = (b"SCRIPTED", b"a b", b" lead", b"tab\tbell", b"nul\0rest", b"\xe9\xff", b"")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is at one LUN.

    Attributes:
        inquiry: Standard INQUIRY data; without any the unit refuses INQUIRY.
    """

    inquiry: bytes

    @classmethod
    def choose(cls, choose: Random) -> Self:
        """Make one up."""
        if choose.random() < 0.04:
            return cls(b"")
        qualifier = choose.choice((0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 7))
        device_type = choose.choice((0, 0, 0, 1, 3, 5, 7, 8, 0x0D, 0x0E, 0x11, 0x1F))
        version = choose.choice((0, 1, 2, 3, 4, 5, 6, 6, 6, 7))
        length = choose.choice((36, 36, 36, 58, 96, 252))
        head = bytes((
            qualifier << 5 | device_type, choose.choice((0, 0, 0x80)), version, choose.choice((1, 2, 2)),
            length - 5, 0, 0, choose.choice((0, 2)),
        ))  # fmt: skip
        names = [choose.choice(_NAMES)[:8].ljust(8), choose.choice(_NAMES).ljust(16), b"1.%d" % version]
        data = (head + b"".join(names)).ljust(36).ljust(length, b"\0")
        return cls(data[: choose.choice((length,) * 9 + (20,))])


@dataclass(frozen=True, slots=True)
class Description:
    """One target.

    Attributes:
        number: Which one.
        units: By LUN.
        refuses: True if it does not know REPORT LUNS.
    """

    number: int
    units: dict[int, Unit]
    refuses: bool

    @property
    def iqn(self) -> str:
        """Its iSCSI name."""
        return f"{IQN}-{self.number}"


def generate(count: int, seed: int) -> list[Description]:
    """Make up `count` targets; the same for the same seed."""
    choose = Random(seed)
    made = []
    for number in range(count):
        dense = choose.random() < 0.4
        luns = range(choose.randrange(1, 6)) if dense else choose.sample(_NUMBERS, choose.randrange(1, 6))
        units = {
            lun: Unit.choose(choose) for lun in sorted({*luns, *((0,) if choose.random() < 0.6 else ())})
        }
        made.append(Description(number, units, choose.random() < 0.25))
    return made


class Seen(NamedTuple):
    """A device as somebody lists it."""

    lun: int
    type: int
    vendor: str
    model: str
    revision: str
    scsi_level: int

    @classmethod
    def by_us(cls, device: LogicalUnit) -> Self:
        """Return one of our own devices."""
        names = (device.vendor, device.model, device.revision)
        return cls(device.address.lun, int(device.type), *names, device.scsi_level)


@contextmanager
def served(descriptions: list[Description], portal_of: Callable[[int], str]) -> Iterator[TargetServer]:
    """Serve targets as long as the caller wants; `portal_of` says where each listens."""
    subsystem = Subsystem()
    driver = ScriptedDriver()
    driver.can_queue, driver.max_id = 256, max(each.number for each in descriptions) + 1
    places: dict[int, dict[int, int]] = {}  # of its units on the scripted host, by target and LUN
    for each in descriptions:
        places[each.number] = {lun: place for place, lun in enumerate(each.units)}
        for place in places[each.number].values():
            driver.unit(0, each.number, place)
    host = driver.start(subsystem)
    for each in descriptions:  # now that our own scan of them, which is not what is looked at, is over
        for lun, unit in each.units.items():
            scripted = driver.units[0, each.number, places[each.number][lun]]
            scripted.inquiry = unit.inquiry
            if not unit.inquiry:
                scripted.on(INQUIRY, Answer.check(SenseKey.ILLEGAL_REQUEST, 0x25))
    server = TargetServer(lambda text: subsystem.device(Address.parse(text)), subsystem.clock)
    for each in descriptions:
        luns = [
            {"lun": lun, "device": f"0:0:{each.number}:{place}"} for lun, place in places[each.number].items()
        ]
        table = {"iqn": each.iqn, "portals": [portal_of(each.number)], "lun": luns}
        server.add(TargetSpec.from_mapping(table))
    try:
        with _refusing({each.iqn for each in descriptions if each.refuses}):
            yield server
    finally:
        server.stop()
        subsystem.remove_host(host)
        host.put()
        subsystem.clock.close()  # type: ignore[attr-defined]


@contextmanager
def _refusing(names: set[str]) -> Iterator[None]:
    """Have targets that do not know REPORT LUNS, which ours does of itself."""
    before = Session._reported

    def reported(self: Session) -> list[bytes]:
        if self.iscsi.identity.target_name in names:
            raise Refusal(_REFUSED)
        return before(self)

    Session._reported = reported  # type: ignore[method-assign]
    try:
        yield
    finally:
        Session._reported = before  # type: ignore[method-assign]
