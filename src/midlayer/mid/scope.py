"""How much of a host a recovery is about: what it waits for, and what it holds back meanwhile."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from midlayer.mid.host_state import HostState

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.target import Target

    Held: TypeAlias = Host | Target | LogicalUnit

_BEGINS = {HostState.RUNNING: HostState.RECOVERY, HostState.CANCEL: HostState.CANCEL_RECOVERY}
_ENDS = {
    HostState.RECOVERY: HostState.RUNNING,
    HostState.CANCEL_RECOVERY: HostState.CANCEL,
    HostState.DEL_RECOVERY: HostState.DEL,
}
_CAN_RECOVER = frozenset({*_BEGINS, *_ENDS})


def can_recover(host: Host) -> bool:
    """Return whether the host is in a state in which recovery may begin."""
    return host.state in _CAN_RECOVER


def key_of(device: LogicalUnit) -> Hashable:
    """Return what tells the scope of one device's recovery from that of another, by `eh_scope`."""
    address, scope = device.address, device.host.eh_scope
    if scope == "device":
        return address
    return (address.channel, address.target) if scope == "target" else None


class Scope:
    """A host, a target or a logical unit whose commands are being recovered.

    Attributes:
        name: The address of the device, the target or the host.
    """

    def __init__(self, device: LogicalUnit) -> None:
        self._host = device.host
        self._what = _reached(device.host.eh_scope, device)
        self._held: list[Held] = []
        self.name = name_of(device.host.eh_scope, device)

    def begin(self) -> None:
        """Hold back new commands. The caller holds the host's lock."""
        self._hold(self._what)

    def widen(self, reach: str, device: LogicalUnit) -> None:
        """Hold back everything that a step of the ladder reaches."""
        what = _reached(reach, device)
        with self._host.lock:
            if self._host not in self._held and what not in self._held:
                self._hold(what)

    def lift(self) -> None:
        """Let commands through again."""
        host = self._host
        with host.lock:
            held, self._held = self._held, []
            for what in held:
                host.hold_back(what, -1)
            if host in held:
                host.error_handler.host_wide -= 1
                if not host.error_handler.host_wide and host.state in _ENDS:
                    host.set_state(_ENDS[host.state])

    def outstanding(self, devices: Iterable[LogicalUnit]) -> int:
        """Return how many commands of the scope the driver has. The caller holds the host's lock.

        Args:
            devices: Devices of the scope that may not be there any more, or not yet.
        """
        if self._what is self._host:
            return self._host.busy
        target = next(iter(devices)).target
        mine = set(devices)
        if self._what is target:
            mine |= set(target.logical_units.values())
        return sum(device.busy for device in mine)

    def _hold(self, what: Held) -> None:
        host = self._host
        host.hold_back(what)
        self._held.append(what)
        if what is host:
            host.error_handler.host_wide += 1
            if host.state in _BEGINS:
                host.set_state(_BEGINS[host.state])


def _reached(reach: str, device: LogicalUnit) -> Held:
    """Return what has to be held; for a bus that is its host."""
    if reach == "device":
        return device
    return device.target if reach == "target" else device.host


def name_of(reach: str, device: LogicalUnit) -> str:
    """Return what a step of this reach is about, in a word."""
    host_no, channel, target, _ = device.address
    return {
        "device": str(device.address),
        "target": f"{host_no}:{channel}:{target}",
        "bus": f"{host_no}:{channel}",
    }.get(reach, str(host_no))
