"""The HTTP API's part for open descriptors: GET /v1/sg/debug, what ``/proc/scsi/sg/debug`` has, as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from midlayer.mid.subsystem import Subsystem
from midlayer.standards.opcodes import command_name
from midlayer.upper.sg.descriptor import SgFile
from midlayer.upper.sg.device import SgDevice, SgNodes


class SgRequest(BaseModel):
    """A request that has no result yet, or whose result nobody has read."""

    state: str = Field(description="prior, act, rcv (to be read) or fin (being read)")
    pack_id: int
    command: str = Field(description="By the operation code alone")
    opcode: int
    kind: str = Field(description="Whose memory: rb, mmap, dio, or empty for a buffer of its own")
    buffer_bytes: int
    sgat: int
    timeout_ms: int
    elapsed_ms: int = Field(description="How long it takes, or took")


class SgDescriptor(BaseModel):
    """An open descriptor, or one that was closed before its requests had ended."""

    timeout_ms: int
    reserved_bytes: int
    reserved_sgat: int
    cmd_q: bool
    force_pack_id: bool
    keep_orphan: bool
    closed: bool
    requests: list[SgRequest]


class SgDebug(BaseModel):
    """A device that somebody has open."""

    name: str
    address: str
    detaching: bool
    exclusive: bool
    sg_tablesize: int
    open_count: int
    descriptors: list[SgDescriptor]


class SgDebugItems(BaseModel):
    """All of them; each device as it was at one moment."""

    def_reserved_size: int
    items: list[SgDebug]


def add_sg_debug(app: FastAPI, subsystem: Subsystem) -> None:
    """Add the call to an application."""

    @app.get("/v1/sg/debug", response_model=SgDebugItems, summary="Open sg descriptors and their requests")
    def sg_debug() -> Any:
        drivers = [driver for driver in subsystem.upper_drivers() if isinstance(driver, SgNodes)]
        return {
            "def_reserved_size": drivers[0].parameters.def_reserved_size if drivers else 0,
            "items": [
                found for driver in drivers for device in driver.devices() if (found := _device(device))
            ],
        }


def _device(device: SgDevice) -> dict[str, Any] | None:
    with device.lock:
        files = device.files
        if not files:
            return None
        return {
            "name": device.name,
            "address": str(device.device.address),
            "detaching": device.detaching,
            "exclusive": device.exclusive,
            "sg_tablesize": device.sg_tablesize,
            "open_count": device.open_count,
            "descriptors": [_descriptor(file) for file in files],
        }


def _descriptor(file: SgFile) -> dict[str, Any]:
    return {
        "timeout_ms": file.timeout_ms,
        "reserved_bytes": file.reserved_bytes,
        "reserved_sgat": file.reserved_sgat,
        "cmd_q": file.cmd_q,
        "force_pack_id": file.force_pack_id,
        "keep_orphan": bool(file.keep_orphan),
        "closed": file.closed,
        "requests": [
            {
                "state": view.state,
                "pack_id": view.pack_id,
                "command": command_name(bytes([view.opcode])),
                "opcode": view.opcode,
                "kind": view.kind,
                "buffer_bytes": view.blen,
                "sgat": view.sgat,
                "timeout_ms": view.timeout_ms,
                "elapsed_ms": view.elapsed_ms if view.duration_ms is None else view.duration_ms,
            }
            for view in file.requests
        ],
    }
