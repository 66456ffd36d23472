"""Filters in the path between the mid level and the drivers of one subsystem.

A host's `queuecommand` is an attribute that each command reads. Filters take its place, and give it back
when the last of them goes: without filters a command does not meet this module. Commands on their way
are not touched by a change: each of them comes up by the way that it went down.

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
        self._paths: dict[Host, _Path] = {}
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
            self._rebuild()

    def remove(self, filter: Filter) -> None:
        """Take a filter out of the path. A second time does nothing."""
        with self.lock:
            present = filter in self._filters
            self._filters = tuple(other for other in self._filters if other is not filter)
            self._rebuild()
        if present:
            filter.removed()

    # What the mid level calls; see `UpperDriver`.

    def match(self, device: LogicalUnit) -> bool:
        return False

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        with self.lock:
            if host not in self._paths:
                self._paths[host] = _Path(host)
            self._rebuild_host(host)

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        with self.lock:
            path = self._paths.pop(host, None)
            if path is not None:
                path.put(())
            self._cover_drivers()

    def _rebuild(self) -> None:
        for host in list(self._paths):
            self._rebuild_host(host)

    def _rebuild_host(self, host: Host) -> None:
        self._paths[host].put(tuple(one for one in self._filters if one.scope.covers_host(host)))
        self._cover_drivers()

    def _cover_drivers(self) -> None:
        # Also without filters now: a command that one of them lost may still be aborted.
        wanted = {host.template for host, path in self._paths.items() if path.used}
        for template in [one for one in self._eh if one not in wanted]:
            for cover in self._eh.pop(template):
                cover.remove()
        for template in wanted - self._eh.keys():
            # A handler that the driver does not have stays absent: that there is one means something.
            own = {name: _own_handler(template, name) for name in EH_HANDLERS}
            self._eh[template] = [_EhCover(self, template, name, call) for name, call in own.items() if call]

    def eh_call(self, name: str, command: Command, own: EhHandler) -> int:
        """Make one ``eh_`` callback through the filters of the command's host."""
        path = self._paths.get(command.device.host)
        handler: EhHandler = partial(self._eh_of_driver, name, own)
        for one in path.filters if path is not None else ():
            if one.scope.covers(command.device):
                handler = partial(one.eh_handler, name, behind=handler)
        return handler(command)

    def _eh_of_driver(self, name: str, own: EhHandler, command: Command) -> int:
        """Below all filters: what a filter keeps is ours to end, the rest is the driver's."""
        if name == "eh_abort_handler":
            return SUCCESS if self.holding.abort(command) else own(command)
        self.holding.reset(partial(_REACH[name], command.device))
        return own(command)


class _Path:
    """Stands in for the `queuecommand` of one host."""

    __slots__ = ("behind", "entry", "filters", "host", "top", "used")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.used = False
        self.behind: QueueCommand | None = None
        self.filters: tuple[Filter, ...] = ()
        self.top: QueueCommand
        self.entry: QueueCommand = _entry(self)

    def put(self, filters: tuple[Filter, ...]) -> None:
        """Have these filters in the path, and none other."""
        if filters == self.filters:
            return
        if self.behind is None:
            self.behind = self.top = self.host.queuecommand
        top = self.behind
        for one in filters:
            top = one.layer(self.host, top)
        self.top, self.filters = top, filters
        self.used = self.used or bool(filters)
        if filters and not self._is_in_front and not self._is_covered:
            self.host.queuecommand = self.entry
        elif not filters and self._is_in_front:
            self.host.queuecommand, self.behind = self.behind, None

    @property
    def _is_in_front(self) -> bool:
        return self.host.queuecommand is self.entry

    @property
    def _is_covered(self) -> bool:
        """True if somebody put himself in front of us, and passes on to us."""
        return self.behind is not self.host.queuecommand


def _entry(path: _Path) -> QueueCommand:
    def queuecommand(command: Command, done: Callable[[Command], None]) -> int:
        return path.top(command, done)

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
