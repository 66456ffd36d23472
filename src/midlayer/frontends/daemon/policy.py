"""What the daemon does about devices: agents, quarantine, identity, and a configuration that is read anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from midlayer.address import Address
from midlayer.errors import InvalidRequest, NoSuchDevice
from midlayer.frontends.agents import AgentRunner
from midlayer.frontends.config import Config, load
from midlayer.frontends.daemon.device_rules import DeviceRules
from midlayer.frontends.daemon.trigger_match import TriggerMatch
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import RuleSet
from midlayer.upper.policy import IdentityKeeper, InventoryKeeper, Quarantine, Verification, Worker
from midlayer.upper.policy.capacities import Capacities
from midlayer.upper.scsimon import DeviceRecord, Kind, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns

_log = logging.getLogger("midlayer.policy")

_RELOADED = ("agents", "agent_limits", "quarantine", "rules", "file")


class Policy:
    """Agents, rules, quarantine and identity of one subsystem.

    Args:
        subsystem: Whose devices.
        scsimon: Their events.
        runs: Where the outcomes of agents are kept.
        config: What to begin with.
        rules: The rules of its rule files.
        capacities: Those of devices that outlive the daemon.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        scsimon: ScsimonDriver,
        runs: AgentRuns,
        config: Config,
        rules: RuleSet,
        *,
        capacities: Capacities | None = None,
    ) -> None:
        self.config = config
        self.worker = Worker()
        self.keeper = IdentityKeeper(scsimon, self.worker, capacities)
        self.quarantine = Quarantine(subsystem, scsimon, self.worker, config.quarantine)
        self.inventory = InventoryKeeper(subsystem, self.worker)
        self.keeper.on_change = self.quarantine.reconsider
        self.runner = AgentRunner(scsimon, runs, subsystem.clock, limits=config.agent_limits)
        self.rules = DeviceRules(subsystem, scsimon, self.runner, rules, config.rules.timeout_s)
        self.quarantine.judge = self.rules.judge
        self.on_reload: list[Callable[[Config], None]] = [self.rules.reload]
        self._subsystem = subsystem
        self._scsimon = scsimon
        subsystem.attention = self._attention

    def start(self) -> None:
        """Begin to run agents. Call it before the first scan: what comes then is for them."""
        self.runner.configure(self.config.agents, self.config.agent_limits)
        self.runner.start()

    def stop(self) -> None:
        """End agents and the worker; the log is still open."""
        self.worker.close()
        self.quarantine.close()
        self.runner.stop()

    # Identity

    def verify(self, devices: Sequence[LogicalUnit]) -> list[Verification]:
        """Compare devices with their records."""
        return [self.keeper.verify(device) for device in devices if device.admitted]

    # Trigger

    def trigger(
        self,
        action: str,
        match: TriggerMatch | None = None,
        *,
        device: LogicalUnit | None = None,
        dry_run: bool = False,
    ) -> list[tuple[DeviceRecord, list[str]]]:
        """Have agents and rules look at devices again, as if they had just come, changed or gone.

        Args:
            action: ``add``, ``change`` or ``remove``.
            match: Which; all by default.
            device: This one alone.
            dry_run: Only say which.

        Returns:
            The devices, and which of their objects fit: ``scsi``, ``scsi_generic`` …
        """
        found, wanted = [], match or TriggerMatch()
        for record in self._scsimon.snapshot().attached:
            if device is not None and record.address != str(device.address):
                continue
            address = record.address
            links = self.rules.links(address, record.attach_count) if wanted.nodes else ()
            objects = wanted.objects(record, links)
            if not objects or not wanted.fits(record, self.rules.given(address), self.rules.tags(address)):
                continue
            found.append((record, objects))
            if not dry_run:
                data = {
                    "action": action,
                    "objects": objects,
                    "attach_count": record.attach_count,
                    "device": record.facts,
                }
                self._scsimon.note(Kind.TRIGGER, Address.parse(record.address), data)
        return found

    # Reload

    def reload(self) -> dict[str, Any]:
        """Read the configuration file and rule files again, and put agents and rules in force.

        Returns:
            What is in force now, and which other tables differ and wait for a restart.

        Raises:
            ConfigError: With file, line and key of a mistake; everything stays as it was then.
            InvalidRequest: If the daemon was started without a file.
        """
        if self.config.file is None:
            raise InvalidRequest(
                "reload: the daemon was started without --config, so there is nothing to read"
            )
        new = load(self.config.file)
        for listener in self.on_reload:  # one that raises keeps everything as it was
            listener(new)
        waiting = [
            field.name
            for field in fields(Config)
            if field.name not in _RELOADED and getattr(new, field.name) != getattr(self.config, field.name)
        ]
        self.config = new
        self.runner.configure(new.agents, new.agent_limits)
        self.quarantine.set_rules(new.quarantine)
        return {
            "file": str(new.file),
            "agents": len(new.agents),
            "quarantine": len(new.quarantine),
            "rules": len(self.rules.rules),
            "after_restart": waiting,
        }

    def _attention(self, device: LogicalUnit, asc: int, ascq: int) -> None:
        self.keeper.attention(device, asc, ascq)
        self.inventory.attention(device, asc, ascq)
        self.quarantine.attention(device, asc, ascq)


def no_such_quarantined(text: str) -> NoSuchDevice:
    """Return the error for a device that is not in quarantine."""
    return NoSuchDevice(f"{text}: not in quarantine; see midlayer quarantined")
