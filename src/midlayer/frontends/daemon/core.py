"""The daemon without its network: a subsystem as configured, with sg and scsimon on top."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from midlayer.address import Address
from midlayer.device_url import AddressForm, NodeForm, VirtualForm, is_name, is_node, parse_device_url
from midlayer.errors import (
    DeviceInUse,
    DeviceUrlError,
    EventLogBehind,
    InvalidRequest,
    NoSuchDevice,
    UsageError,
)
from midlayer.frontends.config import Config
from midlayer.frontends.daemon.device_rules import read_rules
from midlayer.frontends.daemon.policy import Policy, no_such_quarantined
from midlayer.frontends.daemon.rule_actions import RuleActions
from midlayer.frontends.filter_tables import open_filters
from midlayer.frontends.target.server import TargetServer
from midlayer.lower.filters import ReplayDriver, faults_of
from midlayer.lower.iscsi import IscsiDriver
from midlayer.lower.linux import LinuxDriver, UeventMonitor
from midlayer.lower.linux.nodes import node_behind
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.changes import change
from midlayer.mid import rescan
from midlayer.mid.callbacks import demand
from midlayer.mid.command_trace import CommandTrace
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.policy import Verdict, Verification
from midlayer.upper.policy.capacities import Capacities
from midlayer.upper.scsimon import EventLog, ScsimonDriver
from midlayer.upper.scsimon.agent_runs import AgentRuns
from midlayer.upper.sg.device import SgNodes
from midlayer.upper.sg.parameters import SgParameters
from midlayer.upper.sg.reset import reset_or_fail
from midlayer.upper.sg.trace import SgTrace

_log = logging.getLogger("midlayer.daemon")

STATES = {"running": DeviceState.RUNNING, "offline": DeviceState.OFFLINE}


class Daemon:
    """A subsystem that runs: hosts as configured, the kernel's too, and the event log.

    Args:
        config: What to bring up.
        state: State directory of the event log; None for a log in memory.

    Raises:
        EventLogError: If the state directory can not be used; nothing is started then.
        ConfigError: If there is a mistake in a rule file.
    """

    def __init__(self, config: Config, state: Path | None) -> None:
        self.config = config
        self.subsystem = Subsystem(first_host_no=config.first_host_no)
        for entry in config.quirks:
            self.subsystem.quirks.add(entry)
        rules = read_rules(config)
        log = EventLog(state, keep_events=config.keep_events, keep_detached=config.keep_detached)
        try:
            runs, capacities = AgentRuns(log), Capacities(log)
        except BaseException:
            log.close()
            raise
        self.scsimon = ScsimonDriver(log, self.subsystem.clock)
        self.policy = Policy(self.subsystem, self.scsimon, runs, config, rules, capacities=capacities)
        RuleActions(self).add()
        self.trace = CommandTrace(self.subsystem)
        self.virtual = VirtualDriver(self.subsystem)
        self.iscsi = IscsiDriver(self.subsystem)
        self.linux = LinuxDriver(self.subsystem)
        self.replay = ReplayDriver(self.subsystem)
        self._filters = ExitStack()
        self.monitor = UeventMonitor(self.subsystem, self.linux) if config.kernel else None
        self.targets = TargetServer(self.find, self.subsystem.clock)

    def start(self) -> None:
        """Bring up the hosts, scan them, and settle what an earlier run left in the lists."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Do what `start` does, step by step: who is told to end meanwhile need not take them all."""
        # sg comes first, so that a device has its name when scsimon records it.
        sg_trace = SgTrace(lambda: self.trace.level)
        self.subsystem.register_upper(
            SgNodes(first_minor=self.config.first_host_no, parameters=SgParameters(trace=sg_trace))
        )
        self.subsystem.register_upper(self.scsimon)
        self.subsystem.register_upper(self.policy.keeper)
        self.policy.start()
        yield
        if self.monitor is not None:
            self.monitor.start()
            yield
        for spec in self.config.virtual_hosts:
            self.virtual.add_host(spec)
            yield
        for session in self.config.sessions:
            self.iscsi.add_host(session, patient=True)
            yield
        for recording in self.config.replays:
            hosts, _ = self.replay.add_hosts(recording)
            self._filters.callback(self.replay.remove_hosts, hosts)
            yield
        self.scsimon.settle()
        self.policy.worker.submit(self.policy.rules.learn)
        self.policy.worker.submit(self.policy.keeper.settle)
        for target in self.config.targets:
            self.targets.add(target)
        for rule in self.config.faults:
            faults_of(self.subsystem).add(rule)
        self._filters.enter_context(open_filters(self.subsystem, self.config.filters))

    def with_address(self, keys: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a rule with an address for its ``device``, where that is a node such as sg3.

        Raises:
            NoSuchDevice: If no attached device has that node.
        """
        device = keys.get("device")
        if isinstance(device, str) and device.startswith(("sg", "/dev/")):
            return keys | {"device": str(self.find(device).address)}
        return keys

    def at_stop(self, call: Callable[[], object]) -> None:
        """Have something called when the daemon stops, while its hosts are there."""
        self._filters.callback(call)

    def stop(self) -> None:
        """Take everything down. Devices of ours are gone with the daemon, and are recorded so."""
        self.targets.stop()
        self.policy.stop()
        if self.monitor is not None:
            self.monitor.stop()
        self._filters.close()
        for host in self.subsystem.hosts():
            if host.template in (self.virtual, self.iscsi):
                self.subsystem.remove_host(host)
                host.put()
        self.scsimon.close()
        clock = self.subsystem.clock
        close = getattr(clock, "close", None)
        if close is not None:
            close()

    def own_hosts(self) -> list[Host]:
        """Return the virtual hosts."""
        return [host for host in self.subsystem.hosts() if host.template is self.virtual]

    def find(self, text: str) -> LogicalUnit:
        """Return the device that a user named: by address, by node, or by a name that a rule gave it.

        Raises:
            NoSuchDevice: If nothing of that name is attached.
            DeviceUrlError: If the text does not name a device of a subsystem.
        """
        try:
            form = parse_device_url(text)
        except DeviceUrlError:
            device = self._by_link(text) if is_name(text) else None
            if device is None:
                raise
            return device
        if isinstance(form, AddressForm):
            return self.subsystem.device(form.address)
        if isinstance(form, NodeForm):
            device = (self._by_node(form.name) if is_node(text) else None) or self._by_link(text)
            if device is None:
                raise NoSuchDevice(f"{text}: no attached device has this node; see midlayer attached")
            return device
        raise DeviceUrlError(f"{text!r} does not name a device of the daemon; write 2:0:1:0, or sg3")

    def _by_node(self, name: str) -> LogicalUnit | None:
        return next((each for each in self.subsystem.devices() if name in each.names.values()), None)

    def _by_link(self, text: str) -> LogicalUnit | None:
        """Return the device that a rule gave a name, or to whose node a link of udev's leads."""
        address = self.policy.rules.find(text)
        if address is not None:
            return self.subsystem.device(address)
        name = node_behind(text if text.startswith("/") else f"/dev/{text}")
        return self._by_node(name) if name else None

    def plug(self, text: str, host_no: int | None) -> LogicalUnit:
        """Connect a unit to a virtual host, or have the kernel look at an address.

        Args:
            text: ``virtual:TYPE?key=value…``, or an address of one of the kernel's hosts.
            host_no: Which virtual host; without it, the first one.

        Raises:
            EventLogBehind: If the event log can not be written; nothing is plugged then.
        """
        form = parse_device_url(text)
        self._check_log()
        if isinstance(form, VirtualForm):
            return self._plug_unit(self._own_host(host_no), form.options)
        if isinstance(form, AddressForm):
            return self._plug_address(form.address)
        raise DeviceUrlError(
            f"{text!r} can not be plugged; write virtual:disk?size=1G, or an address to look at"
        )

    def _plug_unit(self, host: Host, options: Mapping[str, Any]) -> LogicalUnit:
        with host.scan_mutex:
            spec = UnitSpec.from_mapping(options)
            if "lun" not in options:
                spec = _at_free_lun(host, spec)
            device = self.virtual.plug(host, spec)
            if self.scsimon.failure:
                # Its attach could not be made durable: take it back, so that nothing is half done.
                self.virtual.unplug(device)
                raise EventLogBehind(f"{self.scsimon.failure}; the unit was not plugged in")
            return device

    def _plug_address(self, address: Address) -> LogicalUnit:
        host = self.subsystem.host(address.host)
        if not demand(host, host.template.user_scan, host, address.channel, address.target, address.lun):
            return self.subsystem.add_device(host, address.channel, address.target, address.lun)
        if self.monitor is not None:
            self.monitor.catch_up()
        return self.subsystem.device(address)

    def scan(self, text: str) -> None:
        """Have a host look at one address, whether or not a device is there."""
        host_no, channel, target, lun = Address.parse(text)
        host = self.subsystem.host(host_no)
        if not demand(host, host.template.user_scan, host, channel, target, lun):
            self.subsystem.scan_host(host, channel, target, lun)

    def unplug(self, text: str, *, force: bool = False) -> tuple[Address, bool]:
        """Remove a device; a virtual one is pulled out, the kernel is asked to delete one of its own.

        Returns:
            Its address, and whether it was in quarantine, so that nobody is told of a detach.

        Raises:
            DeviceInUse: If somebody uses it, unless `force` is True.
        """
        device = self.find(text)
        user = rescan.user_of(device)
        if user and not force:
            raise DeviceInUse(
                f"{device.address}: in use: {user}; nothing was done (--force removes it anyway)"
            )
        held = not device.admitted
        if not demand(device.host, device.host.template.user_remove, device):
            self.subsystem.remove_device(device)
        elif self.monitor is not None:
            self.monitor.catch_up()
        if held:
            self.policy.quarantine.forget_gone()
        return device.address, held

    def add_host(self, options: Mapping[str, Any]) -> Host:
        """Bring up one more virtual host."""
        self._check_log()
        return self.virtual.add_host(HostSpec.from_mapping(options))

    def remove_host(self, host_no: int, *, force: bool = False) -> None:
        """Take down a virtual host.

        Raises:
            InvalidRequest: If the host is the kernel's.
            DeviceInUse: If a device of it is in use, unless `force` is True.
        """
        host = self.subsystem.host(host_no)
        if host.template is not self.virtual:
            raise InvalidRequest(
                f"host {host_no}: only virtual hosts can be unplugged, this one is {host.proc_name}"
            )
        for device in host.devices():
            user = rescan.user_of(device)
            if user and not force:
                raise DeviceInUse(
                    f"{device.address}: in use: {user}; nothing was done (--force removes it anyway)"
                )
        self.virtual.remove_host(host)

    def set_state(self, text: str, state: str) -> LogicalUnit:
        """Take a device offline, or online again.

        Raises:
            StateError: If its present state does not allow it.
        """
        if state not in STATES:
            raise UsageError(f"state {state!r}: write {' or '.join(STATES)}")
        device = self.find(text)
        self.subsystem.set_device_state(device, STATES[state])
        return device

    def change(self, text: str, settings: Mapping[str, object]) -> LogicalUnit:
        """Change what can be changed of a virtual unit while it is used.

        Raises:
            InvalidRequest: If the device is not a virtual unit.
            SpecError, NodeError: If it can not have a value.
        """
        device = self.find(text)
        unit = device.hostdata
        if device.host.template is not self.virtual or unit is None:
            raise InvalidRequest(f"{device.address}: only virtual units can be changed")
        change(unit, settings)
        return device

    def reset(self, text: str, level: str, *, escalate: bool) -> tuple[LogicalUnit, str]:
        """Reset a device, or what it hangs on, and say at which level that succeeded.

        Raises:
            NodeError: If no reset succeeded.
        """
        device = self.find(text)
        return device, reset_or_fail(device, level, escalate=escalate)

    def verify(self, text: str | None) -> list[Verification]:
        """Compare one device, or all, with the record.

        Raises:
            NoSuchDevice: If it is not attached, or in quarantine.
        """
        if self.monitor is not None:  # what the kernel has done by now counts
            self.monitor.catch_up()
        if text is None:
            return self.policy.verify(self.subsystem.devices())
        device = self.find(text)
        if not device.admitted:
            raise NoSuchDevice(f"{text}: in quarantine, so it has no record to compare with")
        return self.policy.verify([device])

    def probe(self, text: str) -> None:
        """Ask a quarantined device at once whether it may be attached.

        Raises:
            NoSuchDevice: If it is not in quarantine.
        """
        form = parse_device_url(text)
        if not isinstance(form, AddressForm) or not self.policy.quarantine.probe(form.address):
            raise no_such_quarantined(text)

    def rescan(self, host_no: int | None, *, plan_only: bool, remove: bool) -> list[rescan.Step]:
        """Rescan one host, or all; with `plan_only`, say what would happen."""
        hosts = self.subsystem.hosts() if host_no is None else [self.subsystem.host(host_no)]
        steps: list[rescan.Step] = []
        for host in hosts:
            kept_back = {str(entry.address) for entry in self.policy.quarantine.list()}
            found = [
                step
                for step in rescan.plan(self.subsystem, host, remove=remove)
                if step.action is not rescan.Action.ADD or step.address not in kept_back
            ]
            steps += found if plan_only else rescan.carry_out(self.subsystem, host, found)
            if not plan_only:
                steps += filter(None, map(_step_of, self.policy.verify(host.devices())))
        if not plan_only and self.monitor is not None:
            self.monitor.catch_up()
        return steps

    def _own_host(self, host_no: int | None) -> Host:
        if host_no is not None:
            host = self.subsystem.host(host_no)
            if host.template is not self.virtual:
                raise InvalidRequest(f"host {host_no}: units can be plugged into virtual hosts only")
            return host
        hosts = self.own_hosts()
        if not hosts:
            raise InvalidRequest(
                "there is no virtual host to plug into; add one with: midlayer plug --new-host"
            )
        return hosts[0]

    def _check_log(self) -> None:
        if self.scsimon.failure and not self.scsimon.flush():
            raise EventLogBehind(f"{self.scsimon.failure}; nothing was done")


def _step_of(found: Verification) -> rescan.Step | None:
    """Return a step for a device that is not who it was, or not as it was."""
    if found.verdict not in (Verdict.CHANGED, Verdict.REPLACED):
        return None
    reason = ", ".join(f"{key} {old} is now {new}" for key, (old, new) in found.differences.items())
    action = rescan.Action(str(found.verdict))
    return rescan.Step(action, Address.parse(found.address).host, found.address, reason)


def _at_free_lun(host: Host, spec: UnitSpec) -> UnitSpec:
    """Give a unit the lowest LUN that nothing is plugged into."""
    taken = set(host.hostdata.luns(spec.channel, spec.target))
    lun = next(number for number in range(host.max_lun) if number not in taken)
    return replace(spec, lun=lun)
