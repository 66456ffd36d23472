"""The HTTP API, described at /openapi.json and readable at /docs.

Calls run in the server's worker threads, which is fine for an API of this kind; commands in numbers go
through `midlayer.upper.sg` in the process that has the device, or through an iSCSI export.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from midlayer import errors
from midlayer.device_url import VirtualForm, parse_device_url
from midlayer.frontends.daemon import models
from midlayer.frontends.daemon.body_limit import BodyLimit
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.eh import add_eh
from midlayer.frontends.daemon.faults import add_faults
from midlayer.frontends.daemon.filters import add_filters
from midlayer.frontends.daemon.logging_level import add_logging
from midlayer.frontends.daemon.policy_api import add_policy, with_agents, with_links
from midlayer.frontends.daemon.rules import add_rules
from midlayer.frontends.daemon.sg_debug import add_sg_debug
from midlayer.frontends.daemon.stream import Followers, server_sent_events
from midlayer.frontends.daemon.targets import add_targets
from midlayer.frontends.daemon.token import TokenRequired
from midlayer.frontends.daemon.waiting import DeviceThreads
from midlayer.frontends.exit_status import SYNTAX_ERROR, of_error
from midlayer.upper.sg import execute
from midlayer.version import VERSION

_HTTP_STATUS: tuple[tuple[type[errors.MidlayerError], int], ...] = (
    (errors.UsageError, 400),
    (errors.InvalidRequest, 400),
    (errors.ConfigError, 400),
    (errors.NoSuchDevice, 404),
    (errors.NoSuchHost, 404),
    (errors.NodePermission, 403),
    (errors.NodeError, 502),
    (errors.EventLogBehind, 507),
    (errors.SubsystemError, 409),
    (errors.MidlayerError, 500),
)
"""HTTP status by error, most specific first."""

_EVENT_STREAM = "text/event-stream"
_EVENT_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_COUNT: dict[str, Any] = {"ge": 0, "le": (1 << 63) - 1}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": models.Problem} for code in (400, 401, 403, 404, 409, 413, 422, 500, 502, 507)
}


def make_app(daemon: Daemon, token: bytes | None = None) -> FastAPI:
    """Return the application for a daemon; ``app.state.followers`` are those who wait for events.

    Args:
        daemon: Whose.
        token: What who comes by TCP has to know; None if everybody may come.
    """
    app = FastAPI(
        title="midlayer",
        version=VERSION,
        description="The Linux SCSI subsystem in user space. Lists carry the event count they belong to.",
        responses=_PROBLEMS,
    )
    app.state.followers = Followers(daemon.scsimon)
    app.state.device_threads = DeviceThreads()
    app.add_middleware(BodyLimit)
    app.add_middleware(TokenRequired, token=token)  # outermost: nothing is looked at before it
    app.add_exception_handler(errors.MidlayerError, _problem)
    app.add_exception_handler(RequestValidationError, _wrong_shape)
    app.add_exception_handler(HTTPException, _no_such_place)
    _add_lists(app, daemon)
    _add_events(app, daemon)
    _add_actions(app, daemon)
    add_logging(app, daemon.trace)
    add_targets(app, daemon.targets)
    add_faults(app, daemon)
    add_filters(app, daemon)
    add_rules(app, daemon)
    add_sg_debug(app, daemon.subsystem)
    add_policy(app, daemon)
    add_eh(app, daemon)
    return app


def _add_lists(app: FastAPI, daemon: Daemon) -> None:
    scsimon = daemon.scsimon
    offset = Query(0, ge=0, description="First element")
    limit = Query(None, ge=0, description="Most elements")

    def items(records: Any, first: int, most: int | None, count: int) -> dict[str, Any]:
        chosen = records[first:] if most is None else records[first : first + most]
        return {"event_count": count, "items": [record.to_json() for record in chosen]}

    @app.get("/v1/attached", response_model=models.Items, summary="Devices that are there")
    def attached(offset: int = offset, limit: int | None = limit) -> Any:
        snapshot = scsimon.snapshot()
        chosen = snapshot.attached[offset:][:limit]
        shown = [with_links(daemon, record) for record in chosen]
        return {"event_count": snapshot.event_count, "items": shown}

    @app.get("/v1/detached", response_model=models.Items, summary="Devices that went, latest first")
    def detached(offset: int = offset, limit: int | None = limit) -> Any:
        snapshot = scsimon.snapshot()
        return items(snapshot.detached[::-1], offset, limit, snapshot.event_count)

    @app.get("/v1/hosts", response_model=models.Items, summary="Hosts, those without devices included")
    def hosts(offset: int = offset, limit: int | None = limit) -> Any:
        snapshot = scsimon.snapshot()
        return items(snapshot.hosts, offset, limit, snapshot.event_count)

    @app.get("/v1/attached/{device:path}", response_model=models.Items, summary="One device that is there")
    def attached_device(device: str) -> Any:
        address = str(daemon.find(device).address)
        snapshot = scsimon.snapshot()
        for record in snapshot.attached:
            if record.address == address:
                return {"event_count": snapshot.event_count, "items": [with_links(daemon, record)]}
        raise errors.NoSuchDevice(f"{device}: not attached any more")

    @app.get("/v1/status", response_model=models.Status, summary="How the daemon is")
    def status() -> Any:
        counters = daemon.monitor.counters._asdict() if daemon.monitor is not None else None
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "event_count": scsimon.event_count,
            "oldest_event_count": scsimon.oldest_count,
            "event_log": scsimon.path,
            "event_log_failure": scsimon.failure,
            "waiting_events": scsimon.waiting_events,
            "hosts": len(daemon.subsystem.hosts()),
            "devices": len(daemon.subsystem.devices()),
            "quarantined": len(daemon.policy.quarantine.list()),
            "agents_waiting": daemon.policy.runner.status()["waiting"],
            "uevents": counters,
        }


def _add_events(app: FastAPI, daemon: Daemon) -> None:
    scsimon = daemon.scsimon

    followers: Followers = app.state.followers

    @app.get("/v1/events", response_model=models.EventItems, summary="Events after a count")
    def events(
        since: Annotated[
            int | None, Query(description="Event count; all that are kept by default", **_COUNT)
        ] = None,
        limit: Annotated[int, Query(ge=-1, le=_COUNT["le"], description="Most events; -1 for all")] = -1,
    ) -> Any:
        page = scsimon.events(since, limit)
        gap = page.gap._asdict() if page.gap is not None else None
        return {"event_count": page.event_count, "items": with_agents(daemon, page.events), "gap": gap}

    @app.get("/v1/wait", response_model=models.EventCount, summary="Wait for an event after a count")
    async def wait(
        since: Annotated[int, Query(**_COUNT)], timeout_s: Annotated[float, Query(ge=0, le=3600)] = 60.0
    ) -> Any:
        scsimon.check_since(since)
        async with followers.follow() as changes:
            await changes.after(since, timeout_s)
        return {"event_count": scsimon.event_count}

    @app.get(
        "/v1/events/stream",
        summary="Events as they come (server-sent events)",
        response_class=StreamingResponse,
        responses={200: {"content": {_EVENT_STREAM: {"schema": {"type": "string"}}}}},
    )
    async def stream(
        since: Annotated[
            int | None, Query(description="Event count; the last one by default", **_COUNT)
        ] = None,
        last_event_id: Annotated[str | None, Header(description="Event count of the last event seen")] = None,
    ) -> Any:
        if last_event_id is not None:
            if not _EVENT_COUNT.fullmatch(last_event_id):
                raise errors.UsageError(f"Last-Event-ID {last_event_id!r} is not an event count")
            since = int(last_event_id)
        scsimon.check_since(since)
        start = scsimon.event_count if since is None else since
        return StreamingResponse(
            server_sent_events(followers, start),
            media_type=_EVENT_STREAM,
            headers={"Cache-Control": "no-store"},
        )


def _add_actions(app: FastAPI, daemon: Daemon) -> None:
    count = daemon.scsimon
    waits: DeviceThreads = app.state.device_threads

    @app.post("/v1/plug", response_model=models.Plugged, summary="Connect a unit")
    @waits
    def plug(wish: models.Plug, request: Request) -> Any:
        if not _is_local(request):
            _check_no_path(wish.device)
        device = daemon.plug(wish.device, wish.host)
        return {
            "address": str(device.address),
            "event_count": count.event_count,
            "quarantined": not device.admitted,
        }

    @app.post("/v1/unplug", response_model=models.Plugged, summary="Remove a device")
    def unplug(wish: models.Unplug) -> Any:
        address, held = daemon.unplug(wish.device, force=wish.force)
        return {"address": str(address), "event_count": count.event_count, "quarantined": held}

    @app.post("/v1/hosts", response_model=models.HostNumber, summary="Bring up a virtual host")
    @waits
    def add_host(wish: models.NewHost) -> Any:
        host = daemon.add_host(wish.model_dump())
        return {"host": host.host_no, "event_count": count.event_count}

    @app.delete("/v1/hosts/{host}", response_model=models.HostNumber, summary="Take down a virtual host")
    def remove_host(host: int, force: bool = False) -> Any:
        daemon.remove_host(host, force=force)
        return {"host": host, "event_count": count.event_count}

    @app.post("/v1/state", response_model=models.Plugged, summary="Take a device offline or online")
    def state(wish: models.SetState) -> Any:
        device = daemon.set_state(wish.device, wish.state)
        return {"address": str(device.address), "event_count": count.event_count}

    @app.post("/v1/change", response_model=models.Plugged, summary="Change a virtual unit")
    @waits
    def change(wish: models.Change) -> Any:
        device = daemon.change(wish.device, wish.settings)
        return {"address": str(device.address), "event_count": count.event_count}

    @app.post("/v1/rescan", response_model=models.Items, summary="Look for devices that came or went")
    @waits
    def rescan(wish: models.Rescan) -> Any:
        steps = daemon.rescan(wish.host, plan_only=wish.plan, remove=wish.remove)
        return {"event_count": count.event_count, "items": [_step(step) for step in steps]}

    @app.post("/v1/reset", response_model=models.WasReset, summary="Reset a device, or what it hangs on")
    @waits
    def reset(wish: models.Reset) -> Any:
        device, level = daemon.reset(wish.device, wish.level, escalate=wish.escalate)
        return {"address": str(device.address), "level": level}

    @app.post("/v1/execute", response_model=models.Executed, summary="Send one SCSI command")
    @waits
    def execute_command(wish: models.Execute) -> Any:
        try:
            cdb = bytes.fromhex(wish.cdb)
            data_out = base64.b64decode(wish.data_out, validate=True) if wish.data_out is not None else None
        except (ValueError, binascii.Error) as error:
            raise errors.UsageError(f"cdb must be hexadecimal and data_out base64: {error}") from None
        device = daemon.find(wish.device)
        result = execute(device, cdb, data_out=data_out, data_in=wish.data_in, timeout_s=wish.timeout_s)
        return {
            "status": result.status,
            "host_byte": result.host_byte,
            "driver_byte": result.driver_byte,
            "sense": result.sense_data.hex(),
            "residual": result.residual,
            "duration_s": result.duration_s,
            "data": base64.b64encode(result.data).decode(),
            "address": str(result.address),
            "cdb": result.cdb.hex(),
        }


def _is_local(request: Request) -> bool:
    """True for the Unix socket, whose callers could open a file themselves."""
    server = request.scope.get("server")
    return server is None or server[1] is None


def _check_no_path(text: str) -> None:
    """Refuse a unit that has us open a file for somebody who may be anybody.

    Raises:
        UsageError: With the key that names a file.
    """
    form = parse_device_url(text)
    for key in ("file", "twin"):
        if isinstance(form, VirtualForm) and key in form.options:
            raise errors.UsageError(f"{key}: units on a file can be plugged through the Unix socket only")


def _step(step: Any) -> dict[str, Any]:
    return {"action": str(step.action), "host": step.host_no, "address": step.address, "reason": step.reason}


async def _problem(request: Request, error: Exception) -> JSONResponse:
    http_status = next(status for kind, status in _HTTP_STATUS if isinstance(error, kind))
    assert isinstance(error, errors.MidlayerError)
    return _answer(str(error), of_error(error), http_status)


async def _wrong_shape(request: Request, error: Exception) -> JSONResponse:
    """Say in one line what of a request does not fit its model."""
    assert isinstance(error, RequestValidationError)
    wrong = (
        f"{'.'.join(str(part) for part in one['loc'][1:]) or 'body'}: {one['msg']}" for one in error.errors()
    )
    return _answer("; ".join(wrong), SYNTAX_ERROR, 422)


async def _no_such_place(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _answer(f"{request.method} {request.url.path}: {error.detail}", SYNTAX_ERROR, error.status_code)


def _answer(text: str, exit_status: int, http_status: int) -> JSONResponse:
    return JSONResponse({"error": text, "exit_status": exit_status}, status_code=http_status)
