"""The upper-level driver: turns what the mid level tells it into events, and answers for the lists."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from midlayer.address import Address
from midlayer.errors import EventLogError, UsageError
from midlayer.mid.clock import Clock, Timer
from midlayer.mid.events import UpperDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_step import RecoveryStep
from midlayer.upper.scsimon.log import EventLog
from midlayer.upper.scsimon.module_lock import ModuleLock
from midlayer.upper.scsimon.records import (
    DETACH_KEYS,
    DeviceRecord,
    Event,
    HostRecord,
    Kind,
    Lists,
    describe_detached,
    describe_device,
    describe_host,
)

_log = logging.getLogger("midlayer.scsimon")

BATCH_EVENTS = 256
"""Events of a scan that are gathered before they are written together."""

RETRY_S = 1.0
"""How long to wait before a disk that refused events is asked again."""


GATHER_S = 0.05
"""How long steps of recovery are gathered: they come from timers, which had better not wait for a disk."""

_COLONS = 3  # in the address of a device; targets and channels have fewer


class Snapshot(NamedTuple):
    """The three lists at one moment, and the event count of that moment."""

    event_count: int
    attached: tuple[DeviceRecord, ...]
    detached: tuple[DeviceRecord, ...]
    hosts: tuple[HostRecord, ...]


class Gap(NamedTuple):
    """Events that were asked for and are no longer kept: from `first_missing` to `last_missing`."""

    first_missing: int
    last_missing: int


class Page(NamedTuple):
    """Events after a count, in order; with a `Gap` if some of them are no longer kept."""

    event_count: int
    events: list[Event]
    gap: Gap | None


class ScsimonDriver(UpperDriver):
    """Records attaches, detaches, changes and hosts. Safe for any number of readers and writers.

    An event is in the lists, and visible to readers, only once it is durable.

    An event's count is given when the event is recorded; nobody sees it before it is durable, so a count
    that a crash takes away was never used.

    Args:
        log: Where events go. Its lists of an earlier run are taken over; see `settle`.
        clock: Where time comes from.

    Attributes:
        module_lock: Set by programs, through ``/dev/scsimon``.
    """

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._write_lock = threading.RLock()  # order of events; held while the disk works
        self._changed = threading.Condition()  # guards the lists; held for moments
        self._pending: list[Event] = []
        self._batches = 0
        self._failure = ""
        self._retry: Timer | None = None
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self.module_lock = ModuleLock()
        self._next_count = self._lists.event_count + 1
        self._attach_counts = {item.address: item.attach_count for item in self._lists.attached.values()}
        # What an earlier run had, and nobody has confirmed yet.
        self._unconfirmed = dict(self._lists.attached)
        self._unconfirmed_hosts = dict(self._lists.hosts)

    @property
    def _lists(self) -> Lists:
        return self._log.lists

    # Reading

    @property
    def event_count(self) -> int:
        """Count of the last event."""
        return self._lists.event_count

    @property
    def oldest_count(self) -> int:
        """Count of the oldest event that is still kept."""
        return self._log.oldest_count

    @property
    def path(self) -> str:
        """Where the log is; ``memory`` for one that is not kept."""
        return str(self._log.path or "memory")

    @property
    def failure(self) -> str:
        """Why events are waiting in memory; empty if none are."""
        return self._failure

    @property
    def waiting_events(self) -> int:
        """Events in memory that the disk has not taken yet."""
        return len(self._pending)

    def snapshot(self) -> Snapshot:
        """Return the three lists and the event count that they belong to."""
        with self._changed:
            lists = self._lists
            return Snapshot(
                lists.event_count,
                tuple(lists.attached.values()),
                tuple(lists.detached),
                tuple(lists.hosts.values()),
            )

    def events(self, since: int | None = None, limit: int = -1) -> Page:
        """Return the events after `since`.

        Args:
            since: An event count; None for all that are kept.
            limit: Most events to return, -1 for all.

        Raises:
            UsageError: If `since` is beyond the last event.
        """
        self.check_since(since)
        found = self._log.read(since or 0, limit)
        # Counts have no holes, so what is missing is what lies before the first event that was found.
        first = found[0].event_count if found else self._log.oldest_count
        with self._changed:
            current = self._lists.event_count
        # What is durable but not yet in the lists belongs to the next answer.
        found = [event for event in found if event.event_count <= current]
        gap = Gap(since + 1, first - 1) if since is not None and since + 1 < first else None
        return Page(current, found, gap)

    def check_since(self, since: int | None) -> None:
        """Refuse an event count that no event has: its owner would wait, and miss what comes meanwhile.

        Raises:
            UsageError: If `since` is beyond the last event.
        """
        last = self._lists.event_count
        if since is not None and since > last:
            raise UsageError(f"event count {since} is beyond the last one, {last}; it is another log's")

    def wait(self, since: int, timeout_s: float | None = None) -> int:
        """Wait until there is an event after `since`.

        Returns:
            The current event count; not above `since` if the time was over first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lists.event_count > since or self._closed, timeout_s)
            return self._lists.event_count

    def follow(self, since: int, timeout_s: float | None = None) -> Iterator[Event]:
        """Yield events after `since` as they come, until none comes for `timeout_s` seconds."""
        while self.wait(since, timeout_s) > since:
            for event in self.events(since).events:
                since = event.event_count
                yield event

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called, in any thread, after new events; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # What the mid level calls; see `UpperDriver`.

    def match(self, device: LogicalUnit) -> bool:
        """Record every device, whatever its qualifier."""
        return True

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        facts = describe_host(host)
        with self._write_lock:
            known = self._unconfirmed_hosts.pop(host.host_no, None)
            if known is not None and _same_session(known.facts, facts):
                return
            if known is not None:
                self._record_devices_gone(f"{host.host_no}:")
                self._record(Kind.HOST_REMOVED, host.host_no, "", {"host_data": known.facts}, True)
            self._record(Kind.HOST_ADDED, host.host_no, "", {"host_data": facts}, by_resync)

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        self._record(Kind.HOST_REMOVED, host.host_no, "", {"host_data": describe_host(host)}, by_resync)

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        address = str(device.address)
        facts = describe_device(device)
        with self._write_lock:
            known = self._unconfirmed.pop(address, None)
            if known is not None and _same_session(known.facts, facts):
                self._readopt(device, known, facts)
                return
            if known is not None:
                self._record_detach(address, known.facts, by_resync=True)
            self._attach_counts[address] = self._next_count
            self._record(Kind.ATTACH, device.address.host, address, {"device": facts}, by_resync)

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self._record_detach(str(device.address), describe_detached(device), by_resync=by_resync)

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        self._record(Kind.CHANGE, device.address.host, str(device.address), {"changes": changes}, by_resync)

    def recovery(self, host: Host, step: RecoveryStep) -> None:
        """Record a step of recovery; it is written with whatever comes in the next 50 ms."""
        address = step.subject if step.subject.count(":") == _COLONS else ""
        data = {"action": str(step.action), "subject": step.subject, "outcome": step.outcome}
        with self._write_lock:
            self._batches += 1
            self._record(Kind.RECOVERY, host.host_no, address, data, False)
            self._batches -= 1
            if self._pending and self._retry is None and not self._closed:
                self._retry = self._clock.call_later(GATHER_S, self._try_again)

    def scan_begins(self, host: Host) -> None:
        with self._write_lock:
            self._batches += 1

    def scan_ends(self, host: Host) -> None:
        with self._write_lock:
            self._batches -= 1
            self.flush()

    # What others know that belongs into the log

    def attach_count(self, address: Address) -> int:
        """Return the attach count of the session at an address, written or not yet; 0 if there is none."""
        return self._attach_counts.get(str(address), 0)

    def replaced(
        self, device: LogicalUnit, before: dict[str, Any], differences: Mapping[str, Sequence[str]]
    ) -> None:
        """Record that another unit answers at the address of a device: a session ends, and one begins.

        Args:
            device: As it is now.
            before: As it was, from `describe_detached`.
            differences: Before and now, by what differs.
        """
        address = str(device.address)
        with self._write_lock:
            data = {
                "attach_count": self._attach_counts.get(address, 0),
                "differences": {key: list(pair) for key, pair in differences.items()},
                "before": before,
                "device": describe_device(device),
            }
            self._attach_counts[address] = self._next_count
            self._record(Kind.REPLACED, device.address.host, address, data, False)

    def note(self, kind: Kind, address: Address | None, data: dict[str, Any]) -> None:
        """Record something that has no effect on the lists; without an address it is about no host, -1."""
        if address is None:
            self._record(kind, -1, "", data, False)
        else:
            self._record(kind, address.host, str(address), data, False)

    # Life

    def settle(self) -> None:
        """Record as gone what an earlier run had and nobody has confirmed. Call it after the first scans."""
        with self._write_lock:
            self._record_devices_gone("")
            for host in self._unconfirmed_hosts.values():
                self._record(Kind.HOST_REMOVED, host.host_no, "", {"host_data": host.facts}, True)
            self._unconfirmed_hosts.clear()
            self.flush()

    def _record_devices_gone(self, prefix: str) -> None:
        """Record as gone the unconfirmed devices whose address begins so; they go before their host."""
        for address in [address for address in self._unconfirmed if address.startswith(prefix)]:
            record = self._unconfirmed.pop(address)
            self._record_detach(address, record.facts, by_resync=True)

    def flush(self) -> bool:
        """Write what waits. Returns False, and tries again by itself later, if the disk refuses it."""
        with self._write_lock:
            if not self._pending:
                return True
            try:
                self._log.append(self._pending)
            except EventLogError as error:
                self._fail(str(error))
                return False
            written, self._pending = self._pending, []
            if self._failure:
                _log.warning("the event log can be written again; no event was lost")
                self._failure = ""
            with self._changed:
                self._lists.replay(written)
                self._changed.notify_all()
            self._log.applied()
        for listener in list(self._listeners):
            try:
                listener()
            except Exception:
                _log.exception("a listener raised")
        return True

    def close(self) -> None:
        """Write what waits, wake everybody who waits, and close the log."""
        with self._write_lock:
            self._batches = 0
            self.flush()
            if self._retry is not None:
                self._retry.cancel()
            if self._pending:
                first, last = self._pending[0].event_count, self._pending[-1].event_count
                _log.error("events %d to %d could not be written, and are lost", first, last)
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            self._log.close()

    # Inside

    def _record(self, kind: Kind, host_no: int, address: str, data: dict[str, Any], by_resync: bool) -> None:
        clock = self._clock
        with self._write_lock:
            if self._closed:
                return
            self._pending.append(
                Event(
                    self._next_count,
                    kind,
                    host_no,
                    address,
                    clock.wall(),
                    clock.since_boot(),
                    by_resync,
                    data,
                )
            )
            self._next_count += 1
            if not self._batches or len(self._pending) >= BATCH_EVENTS:
                self.flush()

    def _record_detach(self, address: str, who: dict[str, Any], *, by_resync: bool) -> None:
        with self._write_lock:
            data = {"attach_count": self._attach_counts.pop(address, 0)}
            data |= {key: who[key] for key in DETACH_KEYS}
            data["emulated"] = who["emulated"] if "emulated" in who else who["host_data"]["emulated"]
            data["access_count"] = who.get("access_count", 0)
            self._record(Kind.DETACH, int(address.partition(":")[0]), address, data, by_resync)

    def _readopt(self, device: LogicalUnit, known: DeviceRecord, facts: dict[str, Any]) -> None:
        """The device never went away: it keeps its attach count, and only changes are recorded."""
        changes = {key: name for key, name in facts["names"].items() if known.facts["names"].get(key) != name}
        changes |= {key: "" for key in known.facts["names"] if key not in facts["names"]}
        if facts["state"] != known.facts["state"]:
            changes["state"] = facts["state"]
        if changes:
            self.changed(device, changes, by_resync=True)

    def _fail(self, reason: str) -> None:
        if not self._failure:
            _log.error("%s", reason)
        self._failure = reason
        if self._retry is None and not self._closed:
            self._retry = self._clock.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        with self._write_lock:
            self._retry = None
            if not self._closed:
                self.flush()


def _same_session(known: dict[str, Any], found: dict[str, Any]) -> bool:
    """A session is known by the driver's word for it; without one, no device outlives a restart."""
    return bool(known["session"]) and known["session"] == found["session"]
