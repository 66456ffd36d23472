"""The HTTP API's part for rules: a device as rules see it. Rules themselves are applied by who asks.

A rule names programs, so that applying one for a client would be running what the client wants, with the
daemon's rights. The client is given the device instead.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from midlayer.device_url import NodeForm, parse_device_url
from midlayer.errors import DeviceUrlError
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.rule_views import kernel_views
from midlayer.frontends.own_devices import OwnEnvironment, node_views, unit_view, view_of
from midlayer.lower.linux import LinuxDriver
from midlayer.mid.clock import Clock
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.rules import DeviceView, Outcome, RuleSet, SystemEnvironment
from midlayer.rules.view import chain


class SeenDevice(BaseModel):
    """One device of the chain."""

    devpath: str
    subsystem: str
    driver: str
    devnode: str
    devnum: tuple[int, int] | None
    properties: dict[str, str]
    attributes: dict[str, str] = Field(description="Base64")


class Seen(BaseModel):
    """A device as rules see it."""

    event_count: int
    address: str
    own: bool = Field(description="False: a kernel device; sysfs has the rest")
    given: dict[str, str] = Field(
        description="Properties that the daemon's rules gave it, DEVLINKS among them"
    )
    devices: list[SeenDevice] = Field(description="The device, its parent, the parent's parent …")


def add_rules(app: FastAPI, daemon: Daemon) -> None:
    """Add the call to an application."""

    @app.get("/v1/info/{device:path}", response_model=Seen, summary="A device as rules see it")
    def info(device: str) -> Any:
        unit = daemon.find(device)
        own = unit.host.template is daemon.virtual
        view = view_of(unit, _name(device), _counts(daemon, unit))
        given = daemon.policy.rules.properties(str(unit.address), view.devpath)
        return {
            "event_count": daemon.scsimon.event_count,
            "address": str(unit.address),
            "own": own,
            "devices": [_seen(step) for step in chain(view)] if own else [],
            "given": {key: value for key, value in given.items() if key != "ACTION"},
        }


def outcomes(
    rules: RuleSet,
    device: LogicalUnit,
    action: str = "add",
    *,
    counts: Mapping[str, int] | None = None,
    clock: Clock | None = None,
) -> list[Outcome]:
    """Apply rules to a logical unit and to each of its nodes, in the order in which the kernel tells of them.

    Programs of PROGRAM and IMPORT are run; what RUN names is for the caller to carry out, in order.

    Args:
        rules: Which; `RuleSet.refreshed` keeps them up to date.
        device: One of ours, or the kernel's.
        action: ``add``, ``change``, ``remove``.
        counts: Event counts of a device of ours, such as ``{"attach_count": 7}``.
        clock: What limits the time of programs.
    """
    if isinstance(device.host.template, LinuxDriver):
        system = SystemEnvironment(clock=clock)
        return [rules.apply(view, action, system) for view in kernel_views(device)]
    views = [unit_view(device, counts), *node_views(device, counts)]
    return [rules.apply(view, action, OwnEnvironment(view, clock=clock)) for view in views]


def _name(text: str) -> str:
    """Return the node that a user named; empty for an address, or a name that a rule gave."""
    with suppress(DeviceUrlError):
        form = parse_device_url(text)
        return form.name if isinstance(form, NodeForm) else ""
    return ""


def _counts(daemon: Daemon, unit: LogicalUnit) -> dict[str, int]:
    snapshot = daemon.scsimon.snapshot()
    address = str(unit.address)
    counts = {"event_count": snapshot.event_count}
    for record in snapshot.attached:
        if record.address == address:
            counts["attach_count"] = record.attach_count
    return counts


def _seen(view: DeviceView) -> dict[str, Any]:
    found = {name: view.binary(name) for name in view.attribute_names()}
    return {
        "devpath": view.devpath,
        "subsystem": view.subsystem,
        "driver": view.driver,
        "devnode": view.devnode,
        "devnum": view.devnum,
        "properties": dict(view.properties),
        "attributes": {name: base64.b64encode(data or b"").decode() for name, data in found.items()},
    }
