"""What a configuration says, once it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from midlayer.frontends.agents.job import Agent, AgentLimits
from midlayer.frontends.config.rules import RulesSpec
from midlayer.frontends.filter_tables import FilterSpec
from midlayer.frontends.target.spec import TargetSpec
from midlayer.lower.filters import FaultRule, Recording
from midlayer.lower.iscsi.spec import SessionSpec
from midlayer.lower.virtual.spec import HostSpec
from midlayer.upper.policy.rule import QuarantineRule

OWN_HOSTS_FROM = 1000
"""Lowest number of a virtual host beside the kernel's hosts, which have the numbers below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a configuration says.

    Attributes:
        kernel: True if the kernel's own hosts are to be members of the subsystem.
        virtual_hosts: Hosts that live in the daemon.
        sessions: Sessions with iSCSI targets, each of which is a host.
        socket: Path of the Unix socket, or None for the default one.
        listen: Host and port to serve on as well, or None.
        token_file: What is in it has to be known by who comes there; None if everybody may come.
        state: State directory, or None for the default one.
        keep_events, keep_detached: How much of the past stays readable.
        first_host_no: Lowest number of a host of ours.
        quirks: Entries ``vendor:model:flags``.
        targets: iSCSI targets.
        faults: Faults that are in force once the hosts are scanned.
        filters: Filters that are there from then on, above the faults.
        replays: Recordings whose hosts answer as they were recorded.
        agents: Programs that run for devices that come or go.
        agent_limits: What they may use together.
        quarantine: Rules for devices that are kept back.
        rules: Where rule files are.
        file: Where it was read from; None if it was not.
    """

    kernel: bool = False
    virtual_hosts: tuple[HostSpec, ...] = ()
    sessions: tuple[SessionSpec, ...] = ()
    socket: Path | None = None
    listen: tuple[str, int] | None = None
    token_file: Path | None = None
    state: Path | None = None
    keep_events: int = 100_000
    keep_detached: int = 1000
    first_host_no: int = 0
    quirks: tuple[str, ...] = ()
    targets: tuple[TargetSpec, ...] = ()
    faults: tuple[FaultRule, ...] = ()
    filters: tuple[FilterSpec, ...] = ()
    replays: tuple[Recording, ...] = ()
    agents: tuple[Agent, ...] = ()
    agent_limits: AgentLimits = field(default_factory=AgentLimits)
    quarantine: tuple[QuarantineRule, ...] = ()
    rules: RulesSpec = field(default_factory=RulesSpec)
    file: Path | None = None
