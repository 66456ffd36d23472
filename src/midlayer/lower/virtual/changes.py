"""What of a unit can be changed from outside while it is used: its size, and the states of its paths."""

from __future__ import annotations

from collections.abc import Mapping

from midlayer.errors import SpecError
from midlayer.lower.virtual.spec import CONVERSIONS
from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.spelling import no_such_key
from midlayer.standards.port_groups import AccessState

CHANGEABLE = ("size", "alua")


def change(unit: VirtualUnit, given: Mapping[str, object]) -> None:
    """Change a unit; its initiators get unit attentions.

    Args:
        unit: A unit that is plugged in.
        given: Keys of `CHANGEABLE`, with values as a configuration has them.

    Raises:
        SpecError: For a key that is not one of them, or a value that the unit can not have.
        NodeError: The medium can not have that size.
    """
    values = {}
    for key, value in given.items():
        if key not in CHANGEABLE:
            raise SpecError(key, no_such_key(key, CHANGEABLE))
        values[key] = CONVERSIONS[key](key, value)
    states: tuple[AccessState, ...] | None = values.get("alua")
    groups = len(unit.ports.numbers) if unit.ports.alua else 0
    if states is not None and len(states) != groups:
        raise SpecError("alua", f"the unit has {groups} target port groups, not {len(states)}")
    if "size" in values:
        unit.resize(values["size"])
    for group, state in enumerate(states or (), 1):
        unit.set_access_state(group, state)
