"""Asymmetric logical unit access: one target port group for each target port (SPC-4 5.15, 6.37, 6.45)."""

from __future__ import annotations

from midlayer.lower.virtual.answers import CheckCondition
from midlayer.standards.port_groups import AccessState
from midlayer.standards.sense import SenseKey

_NOT_READY_ASCQ = {
    AccessState.STANDBY: 0x0B,
    AccessState.UNAVAILABLE: 0x0C,
    AccessState.OFFLINE: 0x12,
    AccessState.TRANSITIONING: 0x0A,
}


NO_CAUSE, BY_COMMAND, BY_ITSELF = range(3)


class PortGroups:
    """The states of the target port groups of a logical unit.

    Group n has the one port with relative target port identifier n, so that a path is a group.

    Attributes:
        states: State of each group, in order; one active/optimized group where there is no ALUA.
        causes: Why each is in its state: `NO_CAUSE`, `BY_COMMAND` or `BY_ITSELF` (SPC-4 table 304).
        alua: The unit says that it has target port groups.
    """

    __slots__ = ("alua", "causes", "states")

    def __init__(self, states: tuple[AccessState, ...] = ()) -> None:
        self.alua = bool(states)
        self.states = list(states) or [AccessState.ACTIVE_OPTIMIZED]
        self.causes = [NO_CAUSE] * len(self.states)

    @property
    def numbers(self) -> range:
        """Relative target port identifiers, which are the numbers of the groups as well."""
        return range(1, len(self.states) + 1)

    @property
    def restrict(self) -> bool:
        """Some group does not take every command."""
        return any(state in _NOT_READY_ASCQ for state in self.states)

    def state_of(self, relative_target_port: int) -> AccessState:
        """Return the state of the group of a port; a port without a group is active/optimized."""
        if relative_target_port not in self.numbers:
            return AccessState.ACTIVE_OPTIMIZED
        return self.states[relative_target_port - 1]

    def refusal(self, relative_target_port: int) -> CheckCondition | None:
        """Return why a command that needs an active path ends through this port; None if it does not."""
        ascq = _NOT_READY_ASCQ.get(self.state_of(relative_target_port))
        return None if ascq is None else CheckCondition(SenseKey.NOT_READY, 0x04, ascq)
