"""Rescan: what a scan would add, and what is no longer there, as a plan that can be read first."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from midlayer.address import Address
from midlayer.errors import DeviceGone, NodeError, NoSuchDevice
from midlayer.mid import scan
from midlayer.mid.callbacks import demand
from midlayer.mid.command import HostByte
from midlayer.mid.dispatch import execute
from midlayer.mid.host import Host
from midlayer.mid.inquiry import INQUIRY_TIMEOUT_S
from midlayer.mid.logical_unit import Gate, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import Inquiry, PeripheralQualifier

_TRANSPORT_LOST = frozenset(
    {
        HostByte.DID_TRANSPORT_DISRUPTED,
        HostByte.DID_TRANSPORT_FAILFAST,
        HostByte.DID_TRANSPORT_MARGINAL,
    }
)


class Action(StrEnum):
    """What a step of the plan does."""

    ADD = "add"
    REMOVE = "remove"
    KEEP = "keep"
    SCAN = "scan"
    CHANGED = "changed"
    REPLACED = "replaced"


class Step(NamedTuple):
    """One step: what, with which address, and why. `address` is empty for a scan of a whole host."""

    action: Action
    host_no: int
    address: str
    reason: str


def plan(subsystem: Subsystem, host: Host, *, remove: bool = False) -> list[Step]:
    """Find out what a rescan of a host would do, without doing it.

    Args:
        subsystem: Of the host.
        host: Which one.
        remove: True to plan the removal of devices that no longer answer.
    """
    with host.scan_mutex:
        steps = [step for device in host.devices() if (step := _judge(device, remove=remove)) is not None]
        if host.template.scans_itself:
            return [
                *steps,
                *_reported_by_targets(host),
                Step(Action.SCAN, host.host_no, "", "the kernel scans"),
            ]
        return steps + _dry_scan(subsystem, host)


def carry_out(subsystem: Subsystem, host: Host, steps: list[Step]) -> list[Step]:
    """Do what a plan says; a device that has come into use since then is kept.

    Returns:
        The steps as they were done.
    """
    outcome = []
    for step in steps:
        if step.action is Action.REMOVE:
            outcome.append(_remove(subsystem, step))
        elif step.action is not Action.ADD:
            outcome.append(step)
    if not demand(host, host.template.user_scan, host, None, None, None):
        subsystem.scan_host(host)
    return outcome + [step for step in steps if step.action is Action.ADD]


def user_of(device: LogicalUnit) -> str:
    """Return who uses a device, or an empty string."""
    if device.references > 1:
        return f"open {device.references - 1} times in this process"
    return demand(device.host, device.host.template.in_use, device)


def _judge(device: LogicalUnit, *, remove: bool) -> Step | None:
    """Return a step for a device that no longer answers."""
    address, host_no = str(device.address), device.address.host
    if device.gate is not Gate.OPEN:
        return Step(Action.KEEP, host_no, address, f"can not be asked, because it is {device.state.value}")
    try:
        reason = _vanished(device)
    except (NodeError, _NotAsked) as error:
        return Step(Action.KEEP, host_no, address, f"can not be asked: {error}")
    if not reason:
        return None
    user = user_of(device)
    if user:
        return Step(Action.KEEP, host_no, address, f"{reason}, but in use: {user}")
    if not remove:
        return Step(Action.KEEP, host_no, address, f"{reason}; --remove would remove it")
    return Step(Action.REMOVE, host_no, address, reason)


def _vanished(device: LogicalUnit) -> str:
    """Ask a device who it is; return why it is not there any more, or an empty string."""
    buffer = bytearray(36)
    cdb = Inquiry(allocation_length=36).encode()
    result = execute(device, cdb, data_in=memoryview(buffer), timeout_s=INQUIRY_TIMEOUT_S, passthrough=True)
    sense = result.sense
    if result.host_byte in _TRANSPORT_LOST:  # it may well be there; nothing is known of it
        raise _NotAsked(f"INQUIRY ended with {result.outcome}")
    if result.host_byte:
        return f"INQUIRY ended with {result.outcome}"
    if sense is not None and sense.key == SenseKey.ILLEGAL_REQUEST and sense.asc == 0x25:
        return "its target has no such logical unit"
    if result.ok and len(result.data) and buffer[0] >> 5 == PeripheralQualifier.NOT_SUPPORTED:
        return "its target answers with qualifier 011b"
    return ""


class _NotAsked(Exception):
    """The way to a device is broken."""


def _reported_by_targets(host: Host) -> list[Step]:
    """Compare what targets report with what is known, for a host that only the kernel can scan."""
    steps = []
    for target in list(host.targets.values()):
        device = next(iter(target.logical_units.values()), None)
        try:
            luns = scan.ask_for_luns(device) if device is not None else None
        except NodeError:
            continue
        for lun in luns or ():
            if lun not in target.logical_units:
                address = Address(host.host_no, target.channel, target.id, lun)
                steps.append(Step(Action.ADD, host.host_no, str(address), "its target reports it"))
    return steps


def _dry_scan(subsystem: Subsystem, host: Host) -> list[Step]:
    planner = _Planner(subsystem)
    for channel in range(host.max_channel + 1):
        for target_id in range(host.max_id):
            if target_id == host.this_id:
                continue
            with subsystem.scanned_target(host, channel, target_id) as target:
                if target is not None:
                    scan.scan_target(planner, target)
    return planner.steps


class _Planner:
    """Stands in for the subsystem in a scan, and only writes down what would be added."""

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem
        self.steps: list[Step] = []

    def allocate_device(self, target: Target, lun: int) -> LogicalUnit | None:
        return self._subsystem.allocate_device(target, lun)

    def drop_device(self, device: LogicalUnit) -> None:
        self._subsystem.drop_device(device)

    def install_device(self, device: LogicalUnit, *, probed: bool = True) -> bool:
        reason = f"{device.vendor} {device.model} answers".strip()
        step = Step(Action.ADD, device.address.host, str(device.address), reason)
        if step not in self.steps:  # LUN 0 is probed again with the LUNs that its target reports
            self.steps.append(step)
        self._subsystem.drop_device(device)
        return True


def _remove(subsystem: Subsystem, step: Step) -> Step:
    """Remove a device, unless it has gone, come back or come into use since the plan was made."""
    try:
        device = subsystem.device(Address.parse(step.address))
        judged = _judge(device, remove=True)
        if judged is None:
            return step._replace(action=Action.KEEP, reason="it answers again")
        if judged.action is Action.REMOVE and not demand(
            device.host, device.host.template.user_remove, device
        ):
            subsystem.remove_device(device)
    except (NoSuchDevice, DeviceGone):
        return step
    return judged
