"""Keeps the identity of each attached device, and tells the log when another unit answers in its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from midlayer.errors import EventLogError, NodeError
from midlayer.mid.admission import rebind
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.upper.policy.capacities import Capacities
from midlayer.upper.policy.identity import (
    Answer,
    Differences,
    Identity,
    ask,
    difference,
    is_replaced,
    read_capacity,
    recorded,
)
from midlayer.upper.policy.worker import Executor
from midlayer.upper.scsimon import ScsimonDriver
from midlayer.upper.scsimon.records import describe_detached

_log = logging.getLogger("midlayer.identity")

TELLING: frozenset[tuple[int, int]] = frozenset(
    {
        (0x28, 0x00),  # not ready to ready: the medium may have changed
        (0x29, 0x00),  # power on or reset, as a unit reports that has just been put in
        (0x2A, 0x06),  # asymmetric access state changed: another port, perhaps another qualifier
        (0x2A, 0x09),  # capacity changed
        (0x3F, 0x03),  # INQUIRY data changed
        (0x3F, 0x05),  # device identifier changed
        (0x3F, 0x0E),  # reported LUNs changed
    }
)
"""Unit attentions after which a device is asked who it is."""


class Verdict(StrEnum):
    """What a comparison found."""

    SAME = "same"
    CHANGED = "changed"
    """The same unit, with another revision, qualifier or capacity."""
    REPLACED = "replaced"
    """Another unit."""
    NO_ANSWER = "no-answer"
    """Nobody says who is there, so that nobody knows."""


class Verification(NamedTuple):
    """What a comparison of a device with its record found.

    Attributes:
        address: Where.
        attach_count: The session that is there now: after a replacement, the new one.
        verdict: In one word.
        differences: Before and now, by what differs.
        reason: Why it does not answer.
        identity: Who is there now; None if it does not answer.
    """

    address: str
    attach_count: int
    verdict: Verdict
    differences: Differences
    reason: str
    identity: Identity | None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as documented for ``midlayer verify --json``."""
        return {
            "address": self.address,
            "attach_count": self.attach_count,
            "verdict": str(self.verdict),
            "differences": {key: list(pair) for key, pair in self.differences.items()},
            "reason": self.reason,
            "identity": None if self.identity is None else self.identity._asdict(),
        }


class IdentityKeeper(UpperDriver):
    """Knows who was attached at each address. Register it after scsimon.

    The capacity is read when a device attaches, as the kernel's sd driver does: at once on hosts that the
    mid level scans, in the worker on those whose driver reports its devices, and not at all from a recording.

    Args:
        scsimon: Where differences are recorded.
        worker: Where devices are asked after a unit attention.
        capacities: Those of an earlier daemon, and for a later one; None to keep none.

    Attributes:
        on_change: Called with a device whose INQUIRY data has changed, after the log knows.
    """

    def __init__(
        self, scsimon: ScsimonDriver, worker: Executor, capacities: Capacities | None = None
    ) -> None:
        self.on_change: Callable[[LogicalUnit], None] = lambda device: None
        self._scsimon = scsimon
        self._worker = worker
        self._lock = threading.Lock()
        self._kept = capacities
        self._capacities: dict[LogicalUnit, str | None] = {}
        self._due: set[LogicalUnit] = set()

    # What the mid level calls

    def match(self, device: LogicalUnit) -> bool:
        """Keep everybody's identity."""
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self._capacities[device] = None
        template = device.host.template
        if device.accessible and not template.answers_in_order:
            if template.scans_itself:
                self._worker.submit(partial(self._read_capacity, device))
            else:
                self._read_capacity(device)

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        self._capacities.pop(device, None)

    def attention(self, device: LogicalUnit, asc: int, ascq: int) -> None:
        """Ask a device who it is, in the worker, if a unit attention is a reason to. Does not block."""
        if (asc, ascq) not in TELLING or device not in self._capacities:
            return
        with self._lock:
            if device in self._due:
                return
            self._due.add(device)
        self._worker.submit(partial(self._verify_after_attention, device))

    # What others call

    def verify(self, device: LogicalUnit) -> Verification:
        """Compare a device with its record; what differs is in the log, and on record, when this returns.

        Sends commands to the device, so that it may take long.
        """
        answer = ask(device)
        with device.host.scan_mutex:
            before = recorded(device, self._capacities.get(device))
            if answer.identity is None or device not in self._capacities:
                return self._result(
                    device, Verdict.NO_ANSWER, {}, answer.reason or "it is not attached", None
                )
            found = difference(before, answer.identity)
            if not found:
                self._take_in(device, answer)
                return self._result(device, Verdict.SAME, {}, "", answer.identity)
            verdict = Verdict.REPLACED if is_replaced(found) else Verdict.CHANGED
            said = ", ".join(f"{key} {old} is now {new}" for key, (old, new) in found.items())
            _log.warning("%s: %s: %s", device.address, verdict, said)
            self._tell(device, answer, verdict, found)
            result = self._result(device, verdict, found, "", answer.identity)
        self.on_change(device)
        return result

    # Inside

    def _tell(self, device: LogicalUnit, answer: Answer, verdict: Verdict, found: Differences) -> None:
        who = describe_detached(device)
        self._take_in(device, answer)
        if verdict is Verdict.REPLACED:
            self._scsimon.replaced(device, who, found)
        else:
            changes = {key: now for key, (_, now) in found.items()}
            device.host.subsystem.report_change(device, changes | {"inquiry": device.inquiry_data.hex()})
        rebind(device)

    def _take_in(self, device: LogicalUnit, answer: Answer) -> None:
        """Make what a device says the record."""
        assert answer.identity is not None
        if answer.inquiry != device.inquiry_data:
            device.set_inquiry(answer.inquiry)
        if answer.vpd_pages:
            device.vpd_pages.clear()
            device.vpd_pages.update(answer.vpd_pages)
        if answer.identity.capacity is not None:
            self._capacities[device] = answer.identity.capacity
            self._keep(device, answer.identity.capacity)

    def _result(
        self,
        device: LogicalUnit,
        verdict: Verdict,
        found: Differences,
        reason: str,
        identity: Identity | None,
    ) -> Verification:
        count = self._scsimon.attach_count(device.address)
        return Verification(str(device.address), count, verdict, found, reason, identity)

    def _read_capacity(self, device: LogicalUnit) -> None:
        try:
            capacity = read_capacity(device, device.type)
        except NodeError:  # no node, or no right to it: nobody can know
            return
        with device.host.scan_mutex:
            if self._capacities.get(device, "") is not None:
                return  # it is gone, or somebody was quicker
            self._capacities[device] = capacity
            if capacity is not None:
                self._keep(device, capacity, adopted=True)

    def _keep(self, device: LogicalUnit, capacity: str, *, adopted: bool = False) -> None:
        """Keep the capacity of a device that outlives the daemon, for the next one.

        If it was `adopted` from an earlier daemon, another capacity than then is a change by resync.
        """
        count = self._scsimon.attach_count(device.address)
        if self._kept is None or not device.session or not count:
            return
        try:
            before = self._kept.get(count)
            if before != capacity:
                self._kept.put(count, capacity)
        except EventLogError as error:
            _log.warning("%s: its capacity is not on record: %s", device.address, error)
            return
        if adopted and before not in (None, capacity):
            _log.warning("%s: changed: capacity %s is now %s", device.address, before, capacity)
            device.host.subsystem.report_change(device, {"capacity": capacity}, by_resync=True)

    def settle(self) -> None:
        """Forget the capacities of stays that are over."""
        if self._kept is not None:
            with suppress(EventLogError):
                self._kept.keep_only(record.attach_count for record in self._scsimon.snapshot().attached)

    def _verify_after_attention(self, device: LogicalUnit) -> None:
        try:
            if device.state is DeviceState.RUNNING:
                self.verify(device)
        finally:
            with self._lock:
                self._due.discard(device)
