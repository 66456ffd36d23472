"""What RUN{builtin} of a rule may ask of the daemon: actions with the device that the event is about.

Each is called with the address of the event's device, the count of the event that attached it, the rule's
place, and the words of the rule. An action on the event's own device does nothing to another one that has
come in its place.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from midlayer.errors import DeviceInUse, InvalidRequest
from midlayer.frontends.daemon.device_rules import quarantine_rule
from midlayer.mid.callbacks import demand
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.rescan import user_of

if TYPE_CHECKING:
    from midlayer.frontends.daemon.core import Daemon

_log = logging.getLogger("midlayer.rules")

_Words = tuple[str, ...]


class RuleActions:
    """The actions of one daemon; `add` gives them to its runner."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._rules = daemon.policy.rules

    def add(self) -> None:
        """Have the daemon's runner know them."""
        for name, action in (
            ("scsi_remove_device", self.scsi_remove_device),
            ("quarantine", self.quarantine),
            ("offline", self.offline),
            ("rescan", self.rescan),
            ("log", self.log),
        ):
            self._daemon.policy.runner.add_action(name, action)

    def scsi_remove_device(self, words: _Words) -> None:
        """Remove a device as a write to its ``delete`` attribute does; a rescan finds it again."""
        device = self._device(words)
        user = user_of(device)
        if user:
            raise DeviceInUse(f"{device.address}: in use: {user}; it was not removed")
        template = device.host.template
        if not template.scans_itself or not demand(device.host, template.user_remove, device):
            self._daemon.subsystem.remove_device(device)
        _log.warning("%s: removed, by %s", device.address, words[2])

    def quarantine(self, words: _Words) -> None:
        """Keep a device from everybody until no rule means it."""
        address, count, where, *reason = words
        device = self._rules.device_of(address, count)
        self._rules.remember_names(device)
        self._daemon.policy.quarantine.hold(device, quarantine_rule(where, reason))

    def offline(self, words: _Words) -> None:
        """Refuse commands to a device."""
        device = self._device(words)
        if device.state is not DeviceState.OFFLINE:
            self._daemon.subsystem.set_device_state(device, DeviceState.OFFLINE)
            _log.warning("%s: taken offline, by %s", device.address, words[2])

    def rescan(self, words: _Words) -> None:
        """Look for devices that came or went: on the event's host, another one, or at one address."""
        place = words[3] if len(words) > 3 else words[0].partition(":")[0]
        if place.count(":") == 3:
            self._daemon.scan(place)
        elif place.isascii() and place.isdigit():
            self._daemon.rescan(int(place), plan_only=False, remove=False)
        else:
            raise InvalidRequest(f"{words[2]}: rescan {place}: write a host's number or H:C:T:L")

    def log(self, words: _Words) -> None:
        """Write a line to the log."""
        address, _, where, *text = words
        _log.warning("%s: %s (%s)", address, " ".join(text), where)

    def _device(self, words: _Words) -> LogicalUnit:
        address, count, _, *named = words
        if named:
            return self._daemon.find(named[0])
        return self._rules.device_of(address, count)
