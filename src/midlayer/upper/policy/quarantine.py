"""Quarantine: devices that a rule keeps from upper-level drivers until the rule no longer means them.

A device is looked at before any upper-level driver hears of it (`Subsystem.admission`). One that a rule
means is held back, or removed, and asked again: on a schedule with longer and longer times between, and at
once when its target reports a unit attention that says that things have changed::

    scan ──> rule means it? ──no──> attach
                   │yes
                   v
              quarantined ──asked again──> rule means it? ──yes──> later
                   ^                            │no
                   └── hold, or remove          v
                                             attach
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from midlayer.address import Address
from midlayer.errors import MidlayerError
from midlayer.mid.admission import admit, withdraw
from midlayer.mid.callbacks import demand
from midlayer.mid.clock import Timer
from midlayer.mid.host import Host, HostState
from midlayer.mid.inquiry import read_inquiry, read_vpd_pages
from midlayer.mid.logical_unit import DeviceState, Gate, LogicalUnit
from midlayer.mid.rescan import user_of
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import PeripheralQualifier
from midlayer.upper.policy.rule import QuarantineAction, QuarantineRule
from midlayer.upper.policy.worker import Executor
from midlayer.upper.scsimon import Kind, ScsimonDriver
from midlayer.upper.scsimon.records import describe_device, format_time

_log = logging.getLogger("midlayer.quarantine")

TELLING: frozenset[tuple[int, int]] = frozenset({(0x3F, 0x03), (0x3F, 0x0E), (0x2A, 0x06)})
"""Unit attentions of a target after which its quarantined devices are asked at once."""


Judge = Callable[[LogicalUnit, bool], QuarantineRule | None]
"""Says why a device is to be kept back, if it is; True if that must not take time: a scan waits."""


_NOT_SHOWN = frozenset({"session", "names", "state", "host_data"})


@dataclass(slots=True)
class Quarantined:
    """One device in quarantine.

    Attributes:
        address: Where it is.
        host: Its host.
        device: The device while it is there; None once it is removed.
        rule: The rule that means it.
        facts: Who it is, as events have it.
        since_wall_s: Since when, in seconds since 1970-01-01 UTC.
        probes: How often it was asked again.
        delay_s: Seconds to the next time it is asked.
        reason: What keeps a device from being removed, or why it did not answer.
    """

    address: Address
    host: Host
    device: LogicalUnit | None
    rule: QuarantineRule
    facts: dict[str, Any]
    since_wall_s: float
    probes: int = 0
    delay_s: float = 0.0
    reason: str = ""
    timer: Timer | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the element as documented for ``midlayer quarantined --json``."""
        return {
            "address": str(self.address),
            "state": "held" if self.device is not None else "removed",
            "since": format_time(self.since_wall_s),
            "rule": str(self.rule),
            "probes": self.probes,
            "next_probe_s": self.delay_s,
            "reason": self.reason,
            **{key: value for key, value in self.facts.items() if key not in _NOT_SHOWN},
        }


class Quarantine:
    """The rules, and the devices that they keep back.

    Args:
        subsystem: Whose devices; its `admission` is this object's.
        scsimon: Where it is recorded that a device is quarantined or released.
        worker: Where devices are asked and removed.
        rules: The first rule that means a device counts.

    Attributes:
        judge: Asked about devices that no rule means; None if nobody else has a say.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        scsimon: ScsimonDriver,
        worker: Executor,
        rules: Sequence[QuarantineRule] = (),
    ) -> None:
        self.rules = tuple(rules)
        self.judge: Judge | None = None
        self._subsystem = subsystem
        self._scsimon = scsimon
        self._worker = worker
        self._lock = threading.Lock()
        self._entries: dict[Address, Quarantined] = {}
        subsystem.admission = self.admits

    def list(self) -> list[Quarantined]:
        """Return what is in quarantine, in order of address."""
        self.forget_gone()
        with self._lock:
            return [self._entries[address] for address in sorted(self._entries)]

    def rule_for(self, device: LogicalUnit, *, at_once: bool = True) -> QuarantineRule | None:
        """Return the first rule that means a device; with `at_once` nobody is asked who takes time."""
        rule = next((rule for rule in self.rules if rule.matches(device)), None)
        if rule is None and self.judge is not None:
            return self.judge(device, at_once)
        return rule

    # What the mid level calls

    def admits(self, device: LogicalUnit) -> bool:
        """Decide whether upper-level drivers may see a device; called with the scan mutex held."""
        rule = self.rule_for(device)
        if rule is None:
            self._leave(device.address, device.host)
            return True
        self._enter(device, rule)
        return False

    def attention(self, device: LogicalUnit, asc: int, ascq: int) -> None:
        """Ask the quarantined devices of a target at once, if a unit attention is a reason to."""
        if (asc, ascq) not in TELLING:
            return
        with self._lock:
            found = [
                entry
                for entry in self._entries.values()
                if entry.host is device.host and entry.address[:3] == device.address[:3]
            ]
        for entry in found:
            entry.delay_s = 0.0
            self._ask_later(entry)

    # What others call

    def reconsider(self, device: LogicalUnit) -> None:
        """Look at an attached device anew, because its INQUIRY data or the rules have changed."""
        rule = self.rule_for(device)
        if rule is not None and device.admitted and withdraw(device):
            self._enter(device, rule)

    def hold(self, device: LogicalUnit, rule: QuarantineRule) -> bool:
        """Take an attached device from the upper-level drivers; False if it is on its way out, or held."""
        if not device.admitted or not withdraw(device):
            return False
        self._enter(device, rule)
        return True

    def set_rules(self, rules: Sequence[QuarantineRule]) -> None:
        """Put other rules in force: for devices that come, those in quarantine, and those attached already.

        An attached device that is in use stays.
        """
        self.rules = tuple(rules)
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            self._worker.submit(partial(self._apply_rules, entry))
        for device in self._subsystem.devices():
            if device.admitted and self.rule_for(device) is not None and not user_of(device):
                self.reconsider(device)

    def forget_gone(self) -> None:
        """Forget devices that somebody else has removed, and those of hosts that are gone."""
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            gone = entry.device is not None and _is_going(entry.device)
            if gone or entry.host.state is not HostState.RUNNING:
                self._leave(entry.address, entry.host, "removed")

    def probe(self, address: Address) -> bool:
        """Ask one device at once; False if it is not in quarantine."""
        with self._lock:
            entry = self._entries.get(address)
        if entry is not None:
            self._ask_later(entry)
        return entry is not None

    def close(self) -> None:
        """Ask nobody any more."""
        with self._lock:
            for entry in self._entries.values():
                if entry.timer is not None:
                    entry.timer.cancel()
            self._entries.clear()

    # Coming and going

    def _enter(self, device: LogicalUnit, rule: QuarantineRule) -> None:
        facts, clock = describe_device(device), self._subsystem.clock
        self.forget_gone()  # whoever was held at this address before
        with self._lock:
            entry = self._entries.get(device.address)
            known = entry is not None and entry.host is device.host
            if entry is None or not known:
                entry = Quarantined(device.address, device.host, device, rule, facts, clock.wall())
                entry.delay_s = rule.probe_s
                self._entries[device.address] = entry
            entry.device, entry.rule, entry.facts, entry.reason = device, rule, facts, ""
        if not known:
            _log.warning("%s: quarantined by the rule %s", device.address, rule)
            data = {"rule": str(rule), "device": facts}
            self._scsimon.note(Kind.QUARANTINED, device.address, data)
        if rule.action is QuarantineAction.REMOVE:
            self._worker.submit(partial(self._remove, entry, device))
        self._schedule(entry)

    def _leave(self, address: Address, host: Host, reason: str = "attached") -> None:
        with self._lock:
            entry = self._entries.get(address)
            if entry is None or entry.host is not host:
                return
            del self._entries[address]
            if entry.timer is not None:
                entry.timer.cancel()
        _log.warning("%s: out of quarantine: %s", address, reason)
        self._scsimon.note(Kind.RELEASED, address, {"reason": reason, "probes": entry.probes})

    def _remove(self, entry: Quarantined, device: LogicalUnit) -> None:
        user = user_of(device)
        if user:
            entry.reason = f"not removed, because it is in use: {user}"
            return
        entry.device = None  # so that its going is ours, and no reason to forget it
        try:
            if not device.host.template.scans_itself or not demand(
                device.host, device.host.template.user_remove, device
            ):
                self._subsystem.remove_device(device)
        except MidlayerError as error:
            entry.device, entry.reason = device, f"not removed: {error}"

    # Asking again

    def _schedule(self, entry: Quarantined) -> None:
        with self._lock:
            if self._entries.get(entry.address) is not entry:
                return
            if entry.timer is not None:
                entry.timer.cancel()
            entry.timer = self._subsystem.clock.call_later(entry.delay_s, partial(self._ask_later, entry))

    def _ask_later(self, entry: Quarantined) -> None:
        self._worker.submit(partial(self._ask, entry))

    def _ask(self, entry: Quarantined) -> None:
        self.forget_gone()
        with self._lock:
            if self._entries.get(entry.address) is not entry:
                return
        entry.probes += 1
        entry.delay_s = min(max(entry.rule.probe_s, entry.delay_s * 2), entry.rule.max_probe_s)
        try:
            self._ask_removed(entry) if entry.device is None else self._ask_held(entry, entry.device)
        except MidlayerError as error:
            entry.reason = str(error)
        self._schedule(entry)

    def _ask_held(self, entry: Quarantined, device: LogicalUnit) -> None:
        if device.gate is not Gate.OPEN:
            entry.reason = f"it can not be asked, because it is {device.state.value}"
            return
        inquiry = read_inquiry(device)
        if inquiry is None:
            entry.reason = "it does not answer INQUIRY"
            return
        entry.reason = ""
        with device.host.scan_mutex:
            if _is_going(device):
                return
            device.set_inquiry(inquiry)
            entry.facts = describe_device(device)
        if device.peripheral_qualifier == PeripheralQualifier.NOT_SUPPORTED:
            self._leave(entry.address, entry.host, "no unit there any more: qualifier 011b")
            self._subsystem.remove_device(device)
            return
        self._apply_rules(entry)

    def _ask_removed(self, entry: Quarantined) -> None:
        """Have the address scanned; the device that is found there is looked at as any other."""
        _, channel, target, lun = entry.address
        entry.reason = "" if self._scan(entry.host, channel, target, lun) else "nothing answers there"

    def _scan(self, host: Host, channel: int, target: int, lun: int) -> bool:
        if demand(host, host.template.user_scan, host, channel, target, lun):
            return True  # whoever reports the host's devices will report it
        self._subsystem.scan_host(host, channel, target, lun)
        with self._lock:
            entry = self._entries.get(Address(host.host_no, channel, target, lun))
        return entry is None or entry.device is not None

    def _apply_rules(self, entry: Quarantined) -> None:
        device = entry.device
        if device is None:  # whoever finds it there again asks the rules
            self._ask(entry)
            return
        rule = self.rule_for(device, at_once=False)
        if rule is None:
            self._release(entry, device)
        elif rule != entry.rule:
            self._enter(device, rule)
        elif rule.action is QuarantineAction.REMOVE:
            self._remove(entry, device)

    def _release(self, entry: Quarantined, device: LogicalUnit) -> None:
        if device.host.template.scans_itself:
            # The kernel bound no driver to a device that was not accessible; it does if it finds it anew.
            entry.device = None
            demand(device.host, device.host.template.user_remove, device)
            demand(device.host, device.host.template.user_scan, device.host, *entry.address[1:])
            return
        with device.host.scan_mutex:
            device.vpd_pages.update(read_vpd_pages(device))
            self._leave(entry.address, entry.host)
            admit(device)


def _is_going(device: LogicalUnit) -> bool:
    return device.state in (DeviceState.CANCEL, DeviceState.DELETED)
