"""What an agent is told of a device: the variables of scsimon's hotplug call, and some of our own.

Agents get these variables and nothing of the daemon's own environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from midlayer.address import Address
from midlayer.standards.spc import PeripheralDeviceType as Type
from midlayer.upper.scsimon import Event, Kind
from midlayer.upper.scsimon.records import WRITEABLE_TYPES

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Step(NamedTuple):
    """One thing that an event tells agents: a device comes, or goes.

    Attributes:
        number: 0, and 1 for the second step of an event.
        action: ``add``, ``remove`` or, from `midlayer trigger`, ``change``.
        facts: Who the device is or was.
        attached, detached: Event counts; `detached` is 0 for a device that is there.
    """

    number: int
    action: str
    facts: dict[str, Any]
    attached: int
    detached: int = 0


def steps_of(event: Event) -> Iterator[Step]:
    """Yield what an event means for agents; nothing for most kinds."""
    data, count = event.data, event.event_count
    if event.kind is Kind.ATTACH:
        yield Step(0, "add", data["device"], count)
    elif event.kind is Kind.DETACH:
        yield Step(0, "remove", data, data["attach_count"], count)
    elif event.kind is Kind.REPLACED:
        yield Step(0, "remove", data["before"], data["attach_count"], count)
        yield Step(1, "add", data["device"], count)
    elif event.kind is Kind.TRIGGER:
        detached = count if data["action"] == "remove" else 0
        yield Step(0, data["action"], data["device"], data["attach_count"], detached)


def environment(event: Event, step: Step, more: dict[str, str] | None = None) -> dict[bytes, bytes]:
    """Return all variables for an agent.

    Args:
        event: What it runs for.
        step: Which step of it.
        more: Further variables, which go before ours.
    """
    address, facts = Address.parse(event.address), step.facts
    emulated = facts["emulated"] if "emulated" in facts else facts["host_data"]["emulated"]
    removable = bool(facts.get("removable"))
    variables: dict[str, object] = {
        "PATH": PATH,
        "HOME": "/",
        "ACTION": step.action,
        "SCSI_HOST": address.host,
        "SCSI_BUS": address.channel,
        "SCSI_TARGET": address.target,
        "SCSI_LUN": address.lun,
        "SCSI_VENDOR": facts["vendor"],
        "SCSI_MODEL": facts["model"],
        "SCSI_REV": facts.get("revision", ""),
        "SCSI_TYPE": facts.get("type", Type.UNKNOWN_OR_NO_DEVICE.value),
        "SCSI_REMOVABLE": int(removable),
        "SCSI_EMULATED": int(bool(emulated)),
        "SCSI_ACCESS_COUNT": facts.get("access_count", 0),
        "SCSI_WRITEABLE": int(facts.get("type") in WRITEABLE_TYPES),
        "SCSI_LOCKABLE": int(removable),
        "SCSI_EVENT_ATTACHED": step.attached,
        "MIDLAYER_ADDRESS": event.address,
        "MIDLAYER_EVENT": event.event_count,
        "MIDLAYER_QUALIFIER": facts.get("qualifier", ""),
        "MIDLAYER_SERIAL": facts.get("serial", ""),
        "MIDLAYER_WWID": facts.get("wwid", ""),
        "MIDLAYER_NODES": " ".join(facts.get("names", {}).values()),
    }
    if step.detached:
        variables["SCSI_EVENT_DETACHED"] = step.detached
    variables |= more or {}
    return {name.encode(): as_value(value) for name, value in variables.items()}


def as_value(value: object) -> bytes:
    """Return a value as a variable may have it: no zero byte, and bytes that were no UTF-8 as they came."""
    return str(value).encode("utf-8", "surrogateescape").replace(b"\0", b"")
