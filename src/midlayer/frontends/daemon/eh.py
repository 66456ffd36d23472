"""The HTTP API's part for error handling: which hosts recover, from what, and what was done."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from midlayer.frontends.daemon.core import Daemon
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.recovery_callbacks import HANDLERS, provides
from midlayer.mid.recovery_step import RecoveryStep
from midlayer.mid.scope import name_of
from midlayer.upper.scsimon.records import format_time


class EhRecovery(BaseModel):
    """A recovery that waits for commands to come back, or that runs."""

    scope: str = Field(description="The address of the device, the target or the host")
    running: bool = Field(description="False while it waits for other commands to come back")
    waiting: int = Field(description="Commands that failed and that it has not begun with")


class EhDevice(BaseModel):
    """A device that takes no commands, or was asked for."""

    address: str
    state: str
    held: bool = Field(description="New commands wait for a recovery or a reset")


class EhStep(BaseModel):
    """Something that the error handler did."""

    time: str
    action: str
    subject: str
    outcome: str


class EhHost(BaseModel):
    """The error handler of one host."""

    host: int
    name: str
    state: str = Field(description="running, recovery …")
    scope: str = Field(description="eh_scope: host, target or device")
    deadline_s: float | None = Field(description="eh_deadline; null for none")
    trouble_s: float | None = Field(description="Seconds since trouble began; null if all is well")
    handlers: list[str] = Field(description="The callbacks that the driver has")
    late_done: int = Field(description="Completions that came after the time was over")
    recoveries: list[EhRecovery]
    devices: list[EhDevice]
    recent: list[EhStep] = Field(description="The last 64 steps, oldest first")


class EhStatus(BaseModel):
    """All of them, or the one that was asked for."""

    event_count: int
    items: list[EhHost]


def add_eh(app: FastAPI, daemon: Daemon) -> None:
    """Add the call about error handling to an application."""

    @app.get("/v1/eh", response_model=EhStatus, summary="Error handling: who recovers, and what was done")
    def eh(of: str | None = Query(None, description="A host number or a device; all by default")) -> Any:
        count = daemon.scsimon.event_count
        if of is None:
            items = [_host(host) for host in daemon.subsystem.hosts()]
        elif of.isascii() and of.isdigit():
            items = [_host(daemon.subsystem.host(int(of)))]
        else:
            device = daemon.find(of)
            items = [_host(device.host, device)]
        return {"event_count": count, "items": items}


def _host(host: Host, device: LogicalUnit | None = None) -> dict[str, Any]:
    """Describe a host; with a device, only what concerns that."""
    handler = host.error_handler
    with host.lock:
        recoveries = [
            {"scope": one.scope.name, "running": one.running, "waiting": len(one.waiting)}
            for one in handler.recoveries.values()
        ]
    subjects = None if device is None else _subjects(device)
    devices = [_device(each) for each in (host.devices() if device is None else [device])]
    return {
        "host": host.host_no,
        "name": host.name,
        "state": host.state.value,
        "scope": host.eh_scope,
        "deadline_s": host.eh_deadline if host.eh_deadline >= 0 else None,
        "trouble_s": handler.trouble_s,
        "handlers": [name for name in HANDLERS if provides(host.template, name)],
        "late_done": host.late_done,
        "recoveries": [one for one in recoveries if subjects is None or one["scope"] in subjects],
        "devices": [
            one
            for one in devices
            if device is not None or one["held"] or one["state"] != DeviceState.RUNNING.value
        ],
        "recent": [
            _step(step) for step in tuple(handler.recent) if subjects is None or step.subject in subjects
        ],
    }


def _subjects(device: LogicalUnit) -> set[str]:
    """Return the names of what a device is part of, as steps of recovery have them."""
    return {name_of(reach, device) for reach in ("device", "target", "bus", "host")}


def _device(device: LogicalUnit) -> dict[str, Any]:
    with device.host.lock:
        held = device.host.holds(device)
    return {"address": str(device.address), "state": device.state.value, "held": held}


def _step(step: RecoveryStep) -> dict[str, Any]:
    return {
        "time": format_time(step.wall_s),
        "action": str(step.action),
        "subject": step.subject,
        "outcome": step.outcome,
    }
