"""The HTTP API's part for SCSI logging: GET and POST /v1/logging."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from midlayer.frontends.daemon.models import Request
from midlayer.mid.command_trace import CommandTrace
from midlayer.mid.logging_level import MOST_WORD


class SetLogging(Request):
    """A level to put in force: one number, or some fields of the one that is."""

    level: int | None = Field(
        None, ge=0, le=MOST_WORD, description="The whole word; the present one if absent"
    )
    fields: dict[str, int] = Field(default_factory=dict, description="Levels, 0 to 7, by name of the field")


class Logging(BaseModel):
    """The level in force."""

    level: int = Field(description="The kernel's scsi_logging_level, ten fields of three bits")
    fields: dict[str, int] = Field(description="The same, by name of the field, the lowest bits first")


def add_logging(app: FastAPI, trace: CommandTrace) -> None:
    """Add the two calls to an application."""

    @app.get("/v1/logging", response_model=Logging, summary="SCSI logging level")
    def logging() -> Any:
        return _shown(trace)

    @app.post("/v1/logging", response_model=Logging, summary="Set the SCSI logging level")
    def set_logging(wish: SetLogging) -> Any:
        trace.update(wish.fields, base=wish.level)
        return _shown(trace)


def _shown(trace: CommandTrace) -> dict[str, Any]:
    level = trace.level
    return {"level": int(level), "fields": level.fields()}
