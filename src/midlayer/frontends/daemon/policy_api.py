"""The HTTP API's part for policy: quarantine, verify, trigger, reload, and what agents did."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.models import EventCount, Items, Request
from midlayer.frontends.daemon.trigger_match import TriggerMatch
from midlayer.frontends.daemon.waiting import DeviceThreads
from midlayer.upper.scsimon import DeviceRecord, Event


class Verify(Request):
    """Compare devices with their records."""

    device: str | None = Field(None, description="One device; all by default")


class Probe(Request):
    """Ask a quarantined device at once."""

    device: str = Field(description="Its address")


class AttributeMatch(Request):
    """An attribute of a device."""

    name: str = Field(description="vendor, model, rev, type, state, scsi_level, serial, wwid …")
    pattern: str | None = Field(None, description="With *, ? and […]; any value if absent")


class Trigger(Request):
    """Have agents and rules look at devices again."""

    action: Literal["add", "change", "remove"] = "change"
    subsystem_match: list[str] = Field(default_factory=list)
    subsystem_nomatch: list[str] = Field(default_factory=list)
    attr_match: list[AttributeMatch] = Field(default_factory=list)
    attr_nomatch: list[AttributeMatch] = Field(default_factory=list)
    property_match: list[AttributeMatch] = Field(default_factory=list, description="One of them has to fit")
    sysname_match: list[str] = Field(default_factory=list, description="0:0:1:0, sg3")
    name_match: list[str] = Field(default_factory=list, description="A node or a link to it: /dev/sg3, sg3")
    tag_match: list[str] = Field(default_factory=list, description="All of these, given by rules")
    parent_match: list[str] = Field(
        default_factory=list, description="host2, target2:0:1, or its path below /sys"
    )
    device: str | None = Field(None, description="One device; all by default")
    dry_run: bool = False


class Reload(Request):
    """Read the configuration file again."""


class Reloaded(BaseModel):
    """What is in force after a reload."""

    file: str
    agents: int = Field(description="Agents that are configured")
    quarantine: int = Field(description="Quarantine rules")
    rules: int = Field(description="udev rules")
    after_restart: list[str] = Field(description="Settings that differ now and wait for a restart")


class AgentStatus(EventCount):
    """How the agents are."""

    configured: int
    waiting: int = Field(description="Runs that wait in memory")
    running: int
    position: int = Field(description="The agents of all events up to this count have run")
    agents: list[str] = Field(description="Their names")


def add_policy(app: FastAPI, daemon: Daemon) -> None:
    """Add the calls to an application."""
    policy, scsimon = daemon.policy, daemon.scsimon
    waits: DeviceThreads = app.state.device_threads

    @app.get("/v1/quarantined", response_model=Items, summary="Devices that a rule keeps back")
    def quarantined() -> Any:
        items = [entry.to_json() for entry in policy.quarantine.list()]
        return {"event_count": scsimon.event_count, "items": items}

    @app.post("/v1/quarantined", response_model=EventCount, summary="Ask a quarantined device at once")
    @waits
    def probe(wish: Probe) -> Any:
        daemon.probe(wish.device)
        return {"event_count": scsimon.event_count}

    @app.post("/v1/verify", response_model=Items, summary="Compare devices with their records")
    @waits
    def verify(wish: Verify) -> Any:
        items = [found.to_json() for found in daemon.verify(wish.device)]
        return {"event_count": scsimon.event_count, "items": items}

    @app.post("/v1/trigger", response_model=Items, summary="Have agents and rules look at devices again")
    def trigger(wish: Trigger) -> Any:
        found = policy.trigger(
            wish.action,
            TriggerMatch(
                subsystems=wish.subsystem_match,
                not_subsystems=wish.subsystem_nomatch,
                attributes=[(match.name, match.pattern) for match in wish.attr_match],
                not_attributes=[(match.name, match.pattern) for match in wish.attr_nomatch],
                properties=[(match.name, match.pattern) for match in wish.property_match],
                sysnames=wish.sysname_match,
                nodes=wish.name_match,
                tags=wish.tag_match,
                parents=wish.parent_match,
            ),
            device=None if wish.device is None else daemon.find(wish.device),
            dry_run=wish.dry_run,
        )
        items = [
            {"address": record.address, "objects": objects, "names": record.facts["names"]}
            for record, objects in found
        ]
        return {"event_count": scsimon.event_count, "items": items}

    @app.post("/v1/reload", response_model=Reloaded, summary="Read the configuration file again")
    def reload(wish: Reload) -> Any:
        return policy.reload()

    @app.get("/v1/agents", response_model=AgentStatus, summary="How the agents are")
    def agents() -> Any:
        names = [agent.name for agent in policy.runner.agents]
        return {"event_count": scsimon.event_count, **policy.runner.status(), "agents": names}


def with_links(daemon: Daemon, record: DeviceRecord) -> dict[str, Any]:
    """Return an attached device as documented, with the names that rules gave it."""
    shown: dict[str, Any] = {}
    for key, value in record.to_json().items():
        if key == "vendor":
            shown["links"] = list(daemon.policy.rules.links(record.address, record.attach_count))
        shown[key] = value
    return shown


def with_agents(daemon: Daemon, events: list[Event]) -> list[dict[str, Any]]:
    """Return events as documented, each with what its agents did, if any has run."""
    items = [event.to_json() for event in events]
    if events:
        runs = daemon.policy.runner.runs_of(events[0].event_count, events[-1].event_count)
        for item in items:
            if item["event_count"] in runs:
                item["agents"] = [run.to_json() for run in runs[item["event_count"]]]
    return items
