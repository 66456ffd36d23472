"""Events and devices in a few words, for tables and lines."""

from __future__ import annotations

import os
from typing import Any

from midlayer.frontends.cli.output import clean

_TYPES = {
    0x00: "disk",
    0x01: "tape",
    0x02: "printer",
    0x03: "processor",
    0x04: "worm",
    0x05: "cd",
    0x06: "scanner",
    0x07: "optical",
    0x08: "changer",
    0x09: "communications",
    0x0C: "raid",
    0x0D: "enclosure",
    0x0E: "rbc",
    0x0F: "card",
    0x10: "bridge",
    0x11: "osd",
    0x12: "automation",
    0x13: "security",
    0x14: "zoned",
    0x1E: "well-known",
    0x1F: "none",
}
"""Peripheral device types by the words of a configuration; the driver is not imported for them."""


def type_word(device_type: int) -> str:
    """Return a peripheral device type as a configuration names it."""
    return _TYPES.get(device_type, f"type {device_type:#x}")


def node_name(names: dict[str, str]) -> str:
    """Return the node of a device other than sg."""
    return next((names[key] for key in ("sd", "sr", "st", "ch") if key in names), "-")


def short_time(time: str) -> str:
    """Return month, day and time of an ISO 8601 time."""
    return f"{time[5:10]} {time[11:19]}"


def event_line(event: dict[str, Any]) -> str:
    """Return an event in one line, what matters most first: a narrow terminal cuts its end."""
    kind = event["event"]
    if kind == "gap":
        return f"-- events {event['first_missing']} to {event['last_missing']} are no longer kept --"
    found = "by resync: " if event["by_resync"] else ""
    what = _EVENT_TEXT[kind](event)
    return clean(
        f"{event['event_count']:>6}  {event['time'][11:23]}  {kind:<12} {what[0]:<12} {found}{what[1]}"
    )


def _attach_text(event: dict[str, Any]) -> tuple[str, str]:
    device = event["device"]
    parts = [*device["names"].values(), type_word(device["type"])]
    if device["qualifier"] != "000b":
        parts.append(f"PQ {device['qualifier']}")
    return event["address"], " ".join([*parts, device["vendor"], device["model"], device["revision"]])


def _detach_text(event: dict[str, Any]) -> tuple[str, str]:
    return event["address"], f"{event['vendor']} {event['model']}, attached by event {event['attach_count']}"


def _change_text(event: dict[str, Any]) -> tuple[str, str]:
    changes = ((key, value) for key, value in event["changes"].items() if key != "inquiry")
    return event["address"], ", ".join(f"{key} {value or 'gone'}" for key, value in changes)


def _replaced_text(event: dict[str, Any]) -> tuple[str, str]:
    what = ", ".join(f"{key} {old} is now {new}" for key, (old, new) in event["differences"].items())
    return event["address"], f"{what}; attached before by event {event['attach_count']}"


def _quarantined_text(event: dict[str, Any]) -> tuple[str, str]:
    device = event["device"]
    who = f"{device['vendor']} {device['model']} PQ {device['qualifier']}"
    return event["address"], f"{who}, by the rule {event['rule']}"


def _agents_text(event: dict[str, Any]) -> tuple[str, str]:
    details = ", ".join(
        f"{key.replace('_', ' ')} {event[key]}"
        for key in ("first_waiting", "first_missing", "last_missing", "queue")
        if key in event
    )
    return event["state"], details


def _recovery_text(event: dict[str, Any]) -> tuple[str, str]:
    return event["subject"], f"{event['action']}: {event['outcome']}"


def agent_line(run: dict[str, Any]) -> str:
    """Return what an agent did in one line, for below the line of its event."""
    status = run["status"]
    how = {
        "exited": f"exit status {status}",
        "killed": f"killed by signal {status}",
        "timed-out": f"ended after its time, by signal {status}",
        "not-started": f"could not be started: {os.strerror(status or 0)},",
    }[run["outcome"]]
    first = run["output"].splitlines()[:1]
    said = f": {first[0]}" if first else ""
    return clean(f"{'agent':>20}  {run['agent']}  {how} in {run['duration_s']:.3f} s{said}")


def _host_text(event: dict[str, Any]) -> tuple[str, str]:
    return f"host {event['host']}", event["host_data"]["name"]


_EVENT_TEXT = {
    "attach": _attach_text,
    "detach": _detach_text,
    "change": _change_text,
    "host-added": _host_text,
    "host-removed": _host_text,
    "replaced": _replaced_text,
    "quarantined": _quarantined_text,
    "released": lambda event: (event["address"], event["reason"]),
    "trigger": lambda event: (event["address"], f"{event['action']} {' '.join(event['objects'])}"),
    "agents": _agents_text,
    "recovery": _recovery_text,
}
