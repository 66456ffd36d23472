"""Shapes of the HTTP API: what requests may say, and what answers hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from midlayer.conversions import is_unicode


class Request(BaseModel):
    """Base of all requests: a key that is not known is a mistake, not a wish to be ignored."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _is_unicode(cls, value: Any) -> Any:
        """Refuse a text that would be in events and lists, and that no answer could carry."""
        if isinstance(value, str) and not is_unicode(value):
            raise ValueError(f"{value!r} has half of a surrogate pair, which is no text")
        return value


class Plug(Request):
    """Connect a unit, or have an address looked at."""

    device: str = Field(description="virtual:TYPE?key=value…, or the address of a kernel host's device")
    host: int | None = Field(None, description="Virtual host to plug into; the first one by default")


class Unplug(Request):
    """Remove a device."""

    device: str
    force: bool = Field(False, description="Remove it even if it is in use")


class NewHost(Request):
    """Bring up a virtual host."""

    name: str = "midlayer virtual HBA"
    max_cmd_len: int = 32
    eh_scope: str = Field("host", description="What recovery holds: host, target or device")
    eh_deadline: int = Field(-1, description="Seconds until recovery resets the host; -1 for never")


class SetState(Request):
    """Take a device offline or online."""

    device: str
    state: str = Field(description="running or offline")


class Change(Request):
    """Change a virtual unit while it is used."""

    device: str
    settings: dict[str, str] = Field(description="size, or alua: a state for each target port group")


class Rescan(Request):
    """Look for devices that came or went."""

    host: int | None = Field(None, description="One host; all by default")
    plan: bool = Field(False, description="Only say what would be done")
    remove: bool = Field(False, description="Remove devices that no longer answer and that nobody uses")


class Execute(Request):
    """One SCSI command."""

    device: str
    cdb: str = Field(description="Hexadecimal, 6 to 260 bytes")
    data_out: str | None = Field(None, description="Base64")
    data_in: int | None = Field(None, ge=0, description="Bytes that the device may send")
    timeout_s: float = Field(60.0, gt=0, le=86400)


class Reset(Request):
    """A device to reset."""

    device: str
    level: str = Field("device", description="device, target, bus or host")
    escalate: bool = Field(True, description="Try the wider ones if it fails")


class WasReset(BaseModel):
    """The level of the reset that succeeded."""

    address: str
    level: str


class Items(BaseModel):
    """A list, and the event count that it belongs to."""

    event_count: int
    items: list[dict[str, Any]]


class MissingEvents(BaseModel):
    """Events that are no longer kept."""

    first_missing: int
    last_missing: int


class EventItems(Items):
    """Events after a count; `gap` says which of them are no longer kept."""

    gap: MissingEvents | None = None


class EventCount(BaseModel):
    """The count of the last event."""

    event_count: int


class Plugged(BaseModel):
    """A device, and the event count after what was done."""

    address: str
    event_count: int
    quarantined: bool = Field(False, description="A quarantine rule keeps, or kept, it from being attached")


class HostNumber(EventCount):
    """A host and the event count after what was done."""

    host: int


class Executed(BaseModel):
    """What became of a command."""

    status: int
    host_byte: int
    driver_byte: int
    sense: str = Field(description="Hexadecimal")
    residual: int
    duration_s: float
    data: str = Field(description="Base64; what the device sent")
    address: str
    cdb: str


class Status(BaseModel):
    """How the daemon is."""

    version: str
    pid: int
    event_count: int
    oldest_event_count: int
    event_log: str
    event_log_failure: str = Field(description="Why events wait in memory; empty if none do")
    waiting_events: int
    hosts: int
    devices: int
    quarantined: int
    agents_waiting: int = Field(description="Runs of agents that wait in memory; more may wait in the log")
    uevents: dict[str, int] | None = Field(
        None, description="Counters of the kernel's events, with kernel hosts"
    )


class Problem(BaseModel):
    """What went wrong."""

    error: str
    exit_status: int = Field(description="Exit status for a command line, as sg3_utils(8) numbers them")
