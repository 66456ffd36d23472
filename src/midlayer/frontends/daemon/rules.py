"""The HTTP API's part for rules: a device as rules see it. Rules themselves are applied by who asks.

A rule names programs, so that applying one for a client would be running what the client wants, with the
daemon's rights. The client is given the device instead.
"""

from __future__ import annotations

import base64
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from midlayer.device_url import NodeForm, parse_device_url
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.own_devices import view_of
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.rules import DeviceView
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
    devices: list[SeenDevice] = Field(description="The device, its parent, the parent's parent …")


def add_rules(app: FastAPI, daemon: Daemon) -> None:
    """Add the call to an application."""

    @app.get("/v1/info/{device}", response_model=Seen, summary="A device as rules see it")
    def info(device: str) -> Any:
        unit = daemon.find(device)
        form = parse_device_url(device)
        own = unit.host.template is daemon.virtual
        name = form.name if isinstance(form, NodeForm) else ""
        view = view_of(unit, name, _counts(daemon, unit)) if own else None
        return {
            "event_count": daemon.scsimon.event_count,
            "address": str(unit.address),
            "own": own,
            "devices": [_seen(step) for step in chain(view)] if view is not None else [],
        }


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
