"""Filters in the path between the mid level and the drivers of one subsystem.

Filters cover the way to the driver (`midlayer.mid.way`) of those devices that they are for; there, operation
codes that none of them wants go straight on. Commands on their way are not touched by a change: each of them
comes up by the way that it went down.

A driver's ``eh_`` callbacks are covered on its instance, from the first filter to the end of its hosts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from midlayer.lower.filters.filter import EH_HANDLERS, SUCCESS, EhHandler, Filter, QueueCommand
from midlayer.lower.filters.holding import Holding
from midlayer.mid.events import UpperDriver
from midlayer.mid.host_template import HostTemplate

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.subsystem import Subsystem

_F = TypeVar("_F", bound=Filter)


class Filters(UpperDriver):
    """The filters of one subsystem; see `filters_of`. The last one added is the first to see a command.

    Attributes:
        clock: The subsystem's time.
        holding: Commands that filters keep.
        lock: Guards the list of filters.
    """

    def __init__(self, subsystem: Subsystem) -> None:
        self.holding = Holding(subsystem.clock)
        self.clock = subsystem.clock
        self.lock = threading.RLock()
        self._filters: tuple[Filter, ...] = ()
        self._hosts: list[Host] = []
        self._used: set[Host] = set()  # those that a filter is or was for
        self._eh: dict[HostTemplate, list[_EhCover]] = {}
        self._only: dict[Callable[[Filters], Filter], Filter] = {}

    def all(self) -> tuple[Filter, ...]:
        """Return the filters, in the order in which they were added."""
        return self._filters

    def only(self, kind: Callable[[Filters], _F]) -> _F:
        """Return the one object of a class of filters that a subsystem has; it is not added by this."""
        with self.lock:
            found = self._only.get(kind)
            if found is None:
                found = self._only[kind] = kind(self)
            return cast(_F, found)

    def add(self, filter: Filter) -> None:
        """Put a filter into the path of every host that it is for, also of those that come later."""
        filter.clock, filter.holding = self.clock, self.holding
        with self.lock:
            self._filters += (filter,)
            self._renew()

    def remove(self, filter: Filter) -> None:
        """Take a filter out of the path. A second time does nothing."""
        with self.lock:
            present = filter in self._filters
            self._filters = tuple(other for other in self._filters if other is not filter)
            self._renew()
        if present:
            filter.removed()

    # What the mid level calls; see `UpperDriver`.

    def match(self, device: LogicalUnit) -> bool:
        return False

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        with self.lock:
            if host not in self._hosts:
                self._hosts.append(host)
                host.way.cover(self._cover, innermost=True)
            self._cover_drivers()

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        with self.lock:
            self._hosts.remove(host)
            self._used.discard(host)
            host.way.uncover(self._cover)
            self._cover_drivers()

    def changed_rules(self, filter: Filter, concerns: Callable[[LogicalUnit], bool]) -> None:
        """A filter has changed its mind about what it meets, or stands in for."""
        with self.lock:
            if filter in self._filters:
                self._renew(concerns)

    def _renew(self, concerns: Callable[[LogicalUnit], bool] | None = None) -> None:
        for host in self._hosts:
            host.way.renew(concerns)
        self._cover_drivers()

    def _cover(self, device: LogicalUnit, behind: QueueCommand) -> QueueCommand:
        meeting = tuple(one for one in self._filters if one.meets(device))
        return _by_opcode(_StandIns(device, meeting, behind)) if meeting else behind

    def _cover_drivers(self) -> None:
        # Also without filters now: a command that one of them lost may still be aborted.
        self._used |= {
            host for host in self._hosts if any(one.scope.covers_host(host) for one in self._filters)
        }
        wanted = {host.template for host in self._used}
        for template in [one for one in self._eh if one not in wanted]:
            for cover in self._eh.pop(template):
                cover.remove()
        for template in wanted - self._eh.keys():
            # A handler that the driver does not have stays absent: that there is one means something.
            own = {name: _own_handler(template, name) for name in EH_HANDLERS}
            self._eh[template] = [_EhCover(self, template, name, call) for name, call in own.items() if call]

    def eh_call(self, name: str, command: Command, own: EhHandler) -> int:
        """Make one ``eh_`` callback through the filters of the command's host."""
        handler: EhHandler = partial(self._eh_of_driver, name, own)
        for one in self._filters if command.device.host in self._used else ():
            if one.scope.covers(command.device):
                handler = partial(one.eh_handler, name, behind=handler)
        return handler(command)

    def _eh_of_driver(self, name: str, own: EhHandler, command: Command) -> int:
        """Below all filters: what a filter keeps is ours to end, the rest is the driver's."""
        if name == "eh_abort_handler":
            return SUCCESS if self.holding.abort(command) else own(command)
        self.holding.reset(partial(_REACH[name], command.device))
        return own(command)


class _StandIns(dict[int, QueueCommand]):
    """By operation code, what stands in for a driver's `queuecommand`; made when it is asked for."""

    def __init__(self, device: LogicalUnit, filters: tuple[Filter, ...], behind: QueueCommand) -> None:
        super().__init__()
        self._device = device
        self._filters = filters
        self._behind = behind

    def __missing__(self, opcode: int) -> QueueCommand:
        take = self._behind
        for one in self._filters:
            take = one.stand_in(self._device, opcode, take)
        self[opcode] = take
        return take


def _by_opcode(stand_ins: _StandIns) -> QueueCommand:
    def queuecommand(command: Command, done: Callable[[Command], None]) -> int:
        return stand_ins[command.cdb[0]](command, done)

    return queuecommand


class _EhCover:
    """Stands in for one ``eh_`` callback of a driver's instance, for all of its hosts."""

    __slots__ = ("before", "entry", "filters", "name", "own", "template")

    def __init__(self, filters: Filters, template: HostTemplate, name: str, own: EhHandler) -> None:
        self.name = name
        self.template = template
        self.before = vars(template).get(name)
        self.own = own
        self.filters: Filters | None = filters
        self.entry = self._call
        setattr(template, name, self.entry)

    def remove(self) -> None:
        """Take it away; if somebody else covers it, fall silent instead."""
        self.filters = None
        if vars(self.template).get(self.name) is not self.entry:
            return
        if self.before is None:
            delattr(self.template, self.name)
        else:
            setattr(self.template, self.name, self.before)

    def _call(self, command: Command) -> int:
        if self.filters is None:
            return self.own(command)
        return self.filters.eh_call(self.name, command, self.own)


def _own_handler(template: HostTemplate, name: str) -> EhHandler | None:
    """Return a driver's handler; None if it has none but what it inherits from `HostTemplate`."""
    inherited = getattr(type(template), name, None) is getattr(HostTemplate, name, None)
    if inherited and name not in vars(template):
        return None
    handler: EhHandler = getattr(template, name)
    return handler


def _same_device(device: LogicalUnit, command: Command) -> bool:
    return command.device is device


def _same_target(device: LogicalUnit, command: Command) -> bool:
    return command.device.address[:3] == device.address[:3]


def _same_channel(device: LogicalUnit, command: Command) -> bool:
    return command.device.address[:2] == device.address[:2]


def _same_host(device: LogicalUnit, command: Command) -> bool:
    return command.device.host is device.host


_REACH = {
    "eh_device_reset_handler": _same_device,
    "eh_target_reset_handler": _same_target,
    "eh_bus_reset_handler": _same_channel,
    "eh_host_reset_handler": _same_host,
}
"""Which commands a reset ends, beside the one that it is called with."""

_OF: WeakKeyDictionary[Subsystem, ref[Filters]] = WeakKeyDictionary()
_OF_LOCK = threading.Lock()


def filters_of(subsystem: Subsystem) -> Filters:
    """Return the filters of a subsystem, always the same object; it lives as long as the subsystem."""
    with _OF_LOCK:
        known = _OF.get(subsystem)
        filters = known() if known is not None else None
        if filters is not None:
            return filters
        filters = Filters(subsystem)
        _OF[subsystem] = ref(filters)
    # Outside of the lock: it waits for scans, and a scan may ask for the filters. The subsystem keeps it.
    subsystem.register_upper(filters)
    return filters
