"""The HTTP API, described at /openapi.json and readable at /docs.

Calls run in the server's worker threads, which is fine for an API of this kind; commands in numbers go
through `midlayer.upper.sg` in the process that has the device, or through an iSCSI export.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from midlayer import errors
from midlayer.frontends.daemon import models
from midlayer.frontends.daemon.core import Daemon
from midlayer.upper.sg import execute
from midlayer.version import VERSION

_HTTP_STATUS: tuple[tuple[type[errors.MidlayerError], int, int], ...] = (
    (errors.UsageError, 400, 1),
    (errors.NoSuchDevice, 404, 15),
    (errors.NoSuchHost, 404, 15),
    (errors.InvalidRequest, 400, 1),
    (errors.NodePermission, 403, 50 + 13),
    (errors.NodeError, 502, 15),
    (errors.EventLogBehind, 507, 50 + 28),
    (errors.SubsystemError, 409, 15),
    (errors.MidlayerError, 500, 99),
)
"""HTTP status and exit status by error, most specific first."""

KEEP_ALIVE_S = 15.0


def make_app(daemon: Daemon) -> FastAPI:
    """Return the application for a daemon."""
    app = FastAPI(
        title="midlayer",
        version=VERSION,
        description="The Linux SCSI subsystem in user space. Lists carry the event count that they belong to.",
        responses={code: {"model": models.Problem} for code in (400, 403, 404, 409, 507)},
    )
    app.add_exception_handler(errors.MidlayerError, _problem)
    _add_lists(app, daemon)
    _add_events(app, daemon)
    _add_actions(app, daemon)
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
        return items(snapshot.attached, offset, limit, snapshot.event_count)

    @app.get("/v1/detached", response_model=models.Items, summary="Devices that went, latest first")
    def detached(offset: int = offset, limit: int | None = limit) -> Any:
        snapshot = scsimon.snapshot()
        return items(snapshot.detached[::-1], offset, limit, snapshot.event_count)

    @app.get("/v1/hosts", response_model=models.Items, summary="Hosts, those without devices included")
    def hosts(offset: int = offset, limit: int | None = limit) -> Any:
        snapshot = scsimon.snapshot()
        return items(snapshot.hosts, offset, limit, snapshot.event_count)

    @app.get("/v1/attached/{device}", summary="One device that is there")
    def attached_device(device: str) -> dict[str, Any]:
        address = str(daemon.find(device).address)
        snapshot = scsimon.snapshot()
        for record in snapshot.attached:
            if record.address == address:
                return {"event_count": snapshot.event_count, "items": [record.to_json()]}
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
            "uevents": counters,
        }


def _add_events(app: FastAPI, daemon: Daemon) -> None:
    scsimon = daemon.scsimon

    @app.get("/v1/events", response_model=models.EventItems, summary="Events after a count")
    def events(
        since: Annotated[int | None, Query(ge=0, description="Event count; all that are kept by default")] = None,
        limit: Annotated[int, Query(description="Most events; -1 for all")] = -1,
    ) -> Any:
        page = scsimon.events(since, limit)
        gap = page.gap._asdict() if page.gap is not None else None
        return {"event_count": page.event_count, "items": [event.to_json() for event in page.events], "gap": gap}

    @app.get("/v1/wait", response_model=models.EventCount, summary="Wait for an event after a count")
    async def wait(since: int, timeout_s: Annotated[float, Query(ge=0, le=3600)] = 60.0) -> Any:
        async with _Changes(daemon) as changes:
            await changes.after(since, timeout_s)
        return {"event_count": scsimon.event_count}

    @app.get("/v1/events/stream", summary="Events as they come (server-sent events)")
    async def stream(
        request: Request,
        since: Annotated[int | None, Query(ge=0)] = None,
        last_event_id: Annotated[str | None, Header(description="Event count of the last event seen")] = None,
    ) -> StreamingResponse:
        if last_event_id is not None:
            if not last_event_id.isdigit():
                raise errors.UsageError(f"Last-Event-ID {last_event_id!r} is not an event count")
            since = int(last_event_id)
        start = scsimon.event_count if since is None else since
        return StreamingResponse(
            _server_sent_events(daemon, start), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


def _add_actions(app: FastAPI, daemon: Daemon) -> None:
    count = daemon.scsimon

    @app.post("/v1/plug", response_model=models.Plugged, summary="Connect a unit")
    def plug(wish: models.Plug) -> Any:
        device = daemon.plug(wish.device, wish.host)
        return {"address": str(device.address), "event_count": count.event_count}

    @app.post("/v1/unplug", response_model=models.Plugged, summary="Remove a device")
    def unplug(wish: models.Unplug) -> Any:
        address = daemon.unplug(wish.device, force=wish.force)
        return {"address": str(address), "event_count": count.event_count}

    @app.post("/v1/hosts", summary="Bring up a virtual host")
    def add_host(wish: models.NewHost) -> dict[str, int]:
        host = daemon.add_host(wish.model_dump())
        return {"host": host.host_no, "event_count": count.event_count}

    @app.delete("/v1/hosts/{host}", summary="Take down a virtual host")
    def remove_host(host: int, force: bool = False) -> dict[str, int]:
        daemon.remove_host(host, force=force)
        return {"host": host, "event_count": count.event_count}

    @app.post("/v1/state", response_model=models.Plugged, summary="Take a device offline or online")
    def state(wish: models.SetState) -> Any:
        device = daemon.set_state(wish.device, wish.state)
        return {"address": str(device.address), "event_count": count.event_count}

    @app.post("/v1/rescan", response_model=models.Items, summary="Look for devices that came or went")
    def rescan(wish: models.Rescan) -> Any:
        steps = daemon.rescan(wish.host, plan_only=wish.plan, remove=wish.remove)
        return {"event_count": count.event_count, "items": [_step(step) for step in steps]}

    @app.post("/v1/execute", response_model=models.Executed, summary="Send one SCSI command")
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


def _step(step: Any) -> dict[str, Any]:
    return {"action": str(step.action), "host": step.host_no, "address": step.address, "reason": step.reason}


class _Changes:
    """Carries the news of an event from whatever thread wrote it to a coroutine that waits."""

    def __init__(self, daemon: Daemon) -> None:
        self._scsimon = daemon.scsimon
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> _Changes:
        self._end = self._scsimon.add_listener(self._notify)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    async def after(self, since: int, timeout_s: float) -> bool:
        """Wait for an event after `since`; False if the time is over."""
        end = self._loop.time() + timeout_s
        while self._scsimon.event_count <= since:
            self._event.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._event.wait()
            except TimeoutError:
                return False
        return True

    def _notify(self) -> None:
        # The loop may close while another thread writes the last events.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)


async def _server_sent_events(daemon: Daemon, since: int) -> AsyncIterator[str]:
    """Yield events after `since` for ever; `id:` is the event count, to be sent back as Last-Event-ID."""
    async with _Changes(daemon) as changes:
        yield ": midlayer events\n\n"
        while True:
            page = await asyncio.to_thread(daemon.scsimon.events, since, 500)
            if page.gap is not None:
                yield f"event: gap\ndata: {json.dumps(page.gap._asdict())}\n\n"
            for event in page.events:
                since = event.event_count
                yield f"id: {since}\nevent: {event.kind}\ndata: {json.dumps(event.to_json())}\n\n"
            if page.gap is not None and not page.events:
                since = max(since, page.gap.last_missing)
            if not page.events and not await changes.after(since, KEEP_ALIVE_S):
                yield ": still here\n\n"


async def _problem(request: Request, error: Exception) -> JSONResponse:
    for kind, http_status, exit_status in _HTTP_STATUS:
        if isinstance(error, kind):
            break
    return JSONResponse({"error": str(error), "exit_status": exit_status}, status_code=http_status)
