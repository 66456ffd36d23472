"""The monitor: a thread that hears of the kernel's hosts and devices, and tells the mid level.

Every event is told once and in order, as long as none is lost. When events may have been lost, sysfs is
compared with what is known, and only the differences are told, marked as found `by_resync`::

    numbers of events   ... S0 ............ S1 ...............>
                        covered | ambiguous | new
                                 sysfs is read here

`midlayer.lower.linux.sequence` keeps the numbers, `midlayer.lower.linux.reconcile` knows what each event
and each difference means.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import NamedTuple, Protocol

from midlayer.lower.linux.driver import LinuxDriver
from midlayer.lower.linux.netlink import Lost, UeventSocket
from midlayer.lower.linux.reconcile import Reconciler
from midlayer.lower.linux.sequence import Coverage
from midlayer.lower.linux.sequence import Sequence as EventSequence
from midlayer.lower.linux.uevent import Kind, Uevent, UeventError
from midlayer.mid.subsystem import Subsystem

_log = logging.getLogger("midlayer.uevents")

MAX_BATCH = 256
MIN_RESYNC_INTERVAL_S = 0.1
SILENCE_S = 5.0
"""How long to wait for an event before asking the kernel whether there was one."""

GAP_GRACE_S = 0.5
"""How long a missing number may still come: events of different objects can swap places.

A sender that has its number may have to wait for a processor, on a busy machine for a tenth of a second. What
was lost is said by the socket; numbers alone are missing where events are of another network namespace.
"""

MAX_RESYNC_DELAY_S = 1.0
"""A resync waits until the socket is empty, but in a storm without end no longer than this."""


class EventSource(Protocol):
    """Where events come from; `UeventSocket` unless a test says otherwise."""

    def receive(self, timeout_s: float | None = None) -> Uevent | Lost | None:
        """Return the next event, or that some were lost, or None after the time or `wake`.

        Raises:
            UeventError: For one that can not be read.
        """

    def wake(self) -> None:
        """Make a `receive` that waits return."""

    def close(self) -> None:
        """Close it."""


class Counters(NamedTuple):
    """What the monitor has done since it was made.

    Attributes:
        received: Events that came, of whatever kind.
        skipped: Events about hosts and devices that a resync had covered.
        garbage: Datagrams that could not be read.
        lost: Times that the kernel dropped events.
        gaps: Times that event numbers were missing.
        resyncs: Comparisons with sysfs, the first one included.
        attaches: Devices added.
        detaches: Devices removed.
    """

    received: int
    skipped: int
    garbage: int
    lost: int
    gaps: int
    resyncs: int
    attaches: int
    detaches: int


class UeventMonitor:
    """Reports the kernel's hosts and devices to a subsystem.

    Args:
        subsystem: Whom to tell; its clock limits how often sysfs is compared.
        driver: The driver of the kernel's hosts.
        open_socket: Opens the source of events.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        driver: LinuxDriver,
        *,
        open_socket: Callable[[], EventSource] = UeventSocket,
    ) -> None:
        self._subsystem = subsystem
        self._driver = driver
        self._open_socket = open_socket
        self._reconciler = Reconciler(subsystem, driver)
        self._sequence = EventSequence()
        self._lock = threading.RLock()  # taken before any scan mutex
        self._handled = threading.Condition(self._lock)
        self._socket: EventSource | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._reason = ""  # why a resync is due, if not for missing numbers
        self._due_since_s: float | None = None
        self._resynced_s: float | None = None
        self._garbage_kinds: set[str] = set()
        self._silent = False
        self._received = self._skipped = self._garbage = self._lost = self._gaps = self._resyncs = 0

    @property
    def counters(self) -> Counters:
        """What was done up to now; may be read at any time, from any thread."""
        return Counters(
            received=self._received,
            skipped=self._skipped,
            garbage=self._garbage,
            lost=self._lost,
            gaps=self._gaps,
            resyncs=self._resyncs,
            attaches=self._reconciler.attaches,
            detaches=self._reconciler.detaches,
        )

    def start(self) -> None:
        """Add what is there, and from then on what comes. Returns when the subsystem agrees with sysfs.

        Raises:
            NodeError: If the kernel's events can not be heard here.
        """
        self.open()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="midlayer-uevents", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Do what `start` does, without the thread: whoever calls this calls `handle_ready` as well."""
        # The socket comes first: what happens while sysfs is read waits in it.
        self._socket = self._open_socket()
        self._driver.watched = True
        self.resync("start")

    def stop(self) -> None:
        """End the thread and close the socket. Hosts and devices stay. A second call does nothing."""
        self._stopping.set()
        source, self._socket = self._socket, None
        if source is None:
            return
        source.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        source.close()
        self._driver.watched = False

    def resync(self, reason: str) -> None:
        """Compare with sysfs now, from any thread that holds no scan mutex.

        Args:
            reason: For the log.
        """
        with self._lock:
            before = self._driver.sysfs.uevent_seqnum()
            listing = self._driver.sysfs.listing()
            self._sequence.looked(before, self._driver.sysfs.uevent_seqnum())
            first = self._resynced_s is None
            self._reason, self._due_since_s = "", None
            self._resynced_s = self._subsystem.clock.monotonic()
            self._resyncs += 1
            found = f"{len(listing.hosts)} hosts, {len(listing.devices)} devices"
            _log.log(logging.INFO if first else logging.DEBUG, "resync (%s): sysfs has %s", reason, found)
            self._reconciler.compare(listing, by_resync=not first)

    def handle_ready(self, timeout_s: float | None = 0.0) -> None:
        """Wait for events, handle those that are there, and compare with sysfs if that is due.

        Args:
            timeout_s: How long to wait for the first one; None for ever.
        """
        source = self._socket
        if source is None:
            return
        received = self._receive_all(source, timeout_s)
        with self._lock:
            self._handle([item for item in received if isinstance(item, Uevent)])
            if self._resync_is_due(drained=len(received) < MAX_BATCH):
                self.resync(self._reason or "missing event numbers")
            self._handled.notify_all()

    def catch_up(self, timeout_s: float = 1.0) -> None:
        """Return when what has happened by now is told. The thread must run, and no scan mutex be held.

        Args:
            timeout_s: How long to wait for events; sysfs is compared if they do not come.
        """
        last = self._driver.sysfs.uevent_seqnum()
        with self._handled:
            if not self._handled.wait_for(lambda: self._sequence.last >= last, timeout_s):
                self.resync("events that did not come")

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait_s = self._time_to_resync_s()
                if wait_s is not None:
                    self.handle_ready(wait_s)
                else:
                    self._listen()
            except Exception:
                _log.exception("uevents: handling failed; sysfs will be compared")
                self._reason = "an error"
                self._stopping.wait(MIN_RESYNC_INTERVAL_S)

    def _listen(self) -> None:
        """Wait for events. Nothing may come because nothing happens, or because it can not come here.

        It can not in a container with a user namespace of its own, and the socket says nothing of it.
        """
        promised, received = self._driver.sysfs.uevent_seqnum(), self._received
        self.handle_ready(SILENCE_S)
        if self._received == received and self._sequence.last < promised:
            self._reason = "events that did not come"
            if not self._silent:
                self._silent = True
                _log.warning(
                    "uevents: the kernel counts events that do not come here; sysfs is compared every %g s",
                    SILENCE_S,
                )

    def _time_to_resync_s(self) -> float | None:
        """How long the thread may wait for events before a resync is due; None for ever."""
        if self._due_since_s is None and not self._reason:
            return None
        now_s = self._subsystem.clock.monotonic()
        wait_s = MIN_RESYNC_INTERVAL_S - (now_s - (self._resynced_s or 0.0))
        if not self._reason and self._due_since_s is not None:
            wait_s = max(wait_s, GAP_GRACE_S - (now_s - self._due_since_s))
        return max(0.0, wait_s)

    def _resync_is_due(self, *, drained: bool) -> bool:
        if not self._reason and not self._sequence.incomplete:
            self._due_since_s = None
            return False
        now_s = self._subsystem.clock.monotonic()
        if self._due_since_s is None:
            self._due_since_s = now_s
        waited_s = now_s - self._due_since_s
        if self._resynced_s is not None and now_s - self._resynced_s < MIN_RESYNC_INTERVAL_S:
            return False
        if not self._reason and waited_s < GAP_GRACE_S:
            return False
        return drained or waited_s >= MAX_RESYNC_DELAY_S

    # Receiving

    def _receive_all(self, source: EventSource, timeout_s: float | None) -> list[Uevent | Lost]:
        received: list[Uevent | Lost] = []
        while len(received) < MAX_BATCH:
            try:
                item = source.receive(0.0 if received else timeout_s)
            except UeventError as error:
                self._count_garbage(error)
                timeout_s = 0.0
                continue
            if item is None:
                break
            if isinstance(item, Lost):
                self._lost += 1
                self._reason = "the kernel dropped events"
            else:
                self._received += 1
            received.append(item)
        return received

    def _count_garbage(self, error: UeventError) -> None:
        self._garbage += 1
        self._reason = f"garbage ({error.kind})"
        if error.kind not in self._garbage_kinds:
            self._garbage_kinds.add(error.kind)
            _log.warning("uevents: %s; more of this kind (%s) is only counted", error, error.kind)

    # Handling

    def _handle(self, events: Sequence[Uevent]) -> None:
        for event in events:
            self._gaps += self._sequence.note(event.seqnum)
        for about_hosts, run in groupby(self._relevant(events), key=_is_about_host):
            if about_hosts:
                for event in run:
                    self._reconciler.host_event(event, **self._standing(event))
            else:
                self._handle_batch(list(run))

    def _relevant(self, events: Sequence[Uevent]) -> Iterator[Uevent]:
        for event in events:
            kind = event.kind
            if kind is Kind.OTHER or event.synthetic:
                continue
            if event.action == "change":
                # Not to be seen in sysfs, so that no look at sysfs covers it.
                if kind is Kind.DEVICE:
                    yield event
            elif event.action in ("add", "remove"):
                if self._sequence.coverage(event.seqnum) is Coverage.COVERED:
                    self._skipped += 1
                else:
                    yield event

    def _handle_batch(self, events: list[Uevent]) -> None:
        """Handle events of devices; upper-level drivers may write what comes of them at once."""
        self._reconciler.ensure_hosts(event for event in events if _adds_device(event))
        numbers = sorted({event.host_no for event in events if event.host_no is not None})
        with ExitStack() as stack:
            for host in filter(None, map(self._driver.host, numbers)):
                stack.enter_context(host.scan_mutex)
                stack.enter_context(self._subsystem.batch(host))
            for event in events:
                self._handle_one(event)

    def _handle_one(self, event: Uevent) -> None:
        if event.action == "change":
            self._reconciler.change_event(event)
        elif event.kind is Kind.NODE:
            self._reconciler.node_event(event)
        else:
            self._reconciler.device_event(event, **self._standing(event))

    def _standing(self, event: Uevent) -> dict[str, bool]:
        return {
            "ambiguous": self._sequence.coverage(event.seqnum) is Coverage.AMBIGUOUS,
            "complete": not self._sequence.incomplete and not self._reason,
        }


def _is_about_host(event: Uevent) -> bool:
    return event.kind is Kind.HOST and event.action != "change"


def _adds_device(event: Uevent) -> bool:
    return event.kind is Kind.DEVICE and event.action == "add"
