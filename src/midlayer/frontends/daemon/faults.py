"""The HTTP API's part for faults: what is in force, more of it, less of it, and what was injected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, Field

from midlayer.frontends.daemon.core import Daemon
from midlayer.lower.filters import FaultRule, faults_of

_EXAMPLE = {"device": "0:0:0:0", "opcode": "READ", "lba": "4096+8", "sense": "3/11/00", "times": 1}


class FaultState(BaseModel):
    """A fault, and what it met since it was added."""

    name: str
    rule: dict[str, Any] = Field(description="The keys of [[fault]] that say something; see docs/faults.md")
    matches: int = Field(description="Commands that it meant")
    injections: int = Field(description="Commands that it hit")
    active: bool = Field(description="False outside of its time, and when it has hit as often as it may")


class Faults(BaseModel):
    """Faults, in the order in which a command meets them."""

    items: list[FaultState]


class Injected(BaseModel):
    """One command that a fault hit."""

    time: str
    fault: str
    address: str
    command: str


class Injections(BaseModel):
    """The latest injections, oldest first."""

    items: list[Injected]


def add_faults(app: FastAPI, daemon: Daemon) -> None:
    """Add the calls about faults to an application."""

    @app.get("/v1/faults", response_model=Faults, summary="Faults in force")
    def faults() -> Any:
        return {"items": fault_states(daemon)}

    @app.get("/v1/faults/injected", response_model=Injections, summary="What faults did, the latest 1000")
    def injected() -> Any:
        return {"items": injections(daemon)}

    @app.post("/v1/faults", response_model=FaultState, summary="Put a fault in force")
    def add_fault(
        rule: dict[str, Any] = Body(description="Keys of [[fault]]", examples=[_EXAMPLE]),  # noqa: B008
    ) -> Any:
        return put_in_force(daemon, rule)

    @app.delete("/v1/faults", response_model=Faults, summary="Take a fault, or all, out of force")
    def clear_faults(name: str | None = Query(None, description="One fault; all by default")) -> Any:
        cleared = faults_of(daemon.subsystem).clear(None if name is None else [name])
        return {"items": [state.to_json() for state in cleared]}


def put_in_force(daemon: Daemon, keys: dict[str, Any]) -> dict[str, Any]:
    """Add a fault; its ``device`` may be a node, such as sg3.

    Raises:
        RuleError: If a key is wrong.
        NoSuchDevice: If no attached device has that node.
    """
    faults = faults_of(daemon.subsystem)
    rule = faults.add(FaultRule.from_mapping(daemon.with_address(keys)))
    return faults.state(rule.name).to_json()


def fault_states(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the faults in force, in the shape of the API."""
    return [state.to_json() for state in faults_of(daemon.subsystem).states()]


def injections(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the latest injections, in the shape of the API."""
    clock = daemon.subsystem.clock
    offset_s = clock.wall() - clock.monotonic()
    return [
        {
            "time": datetime.fromtimestamp(one.at_s + offset_s, UTC).isoformat(timespec="microseconds")[:26]
            + "Z",
            "fault": one.fault,
            "address": str(one.address),
            "command": one.command,
        }
        for one in faults_of(daemon.subsystem).injections()
    ]
