"""Filters: they stand between the mid level and any driver, and change what commands meet.

::

    fault = add_fault(device, opcode="READ(10)", lba="4096+8", sense="3/11/00", times=1)
    ...
    faults_of(subsystem).clear()

    filters = filters_of(subsystem)
    filters.add(DelayFilter(values.delay("delay", "p50=1ms p99=20ms"), Scope.parse("2:0:1")))
"""

from __future__ import annotations

from typing import Any

from midlayer.lower.filters import values
from midlayer.lower.filters.delay import DelayFilter
from midlayer.lower.filters.delays import Delay
from midlayer.lower.filters.fault import FaultFilter, FaultRule, FaultState, Injection, faults_of
from midlayer.lower.filters.filter import EVERYTHING, Filter, Scope
from midlayer.lower.filters.record import RecordFilter
from midlayer.lower.filters.recording import Recording, RecordingError
from midlayer.lower.filters.replay import Player, ReplayDriver, ReplayFilter
from midlayer.lower.filters.stack import Filters, filters_of
from midlayer.lower.filters.trace import TraceFilter
from midlayer.lower.filters.values import RuleError
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem

__all__ = [
    "EVERYTHING",
    "Delay",
    "DelayFilter",
    "FaultFilter",
    "FaultRule",
    "FaultState",
    "Filter",
    "Filters",
    "Injection",
    "Player",
    "RecordFilter",
    "Recording",
    "RecordingError",
    "ReplayDriver",
    "ReplayFilter",
    "RuleError",
    "Scope",
    "TraceFilter",
    "add_fault",
    "faults_of",
    "filters_of",
    "values",
]


def add_fault(where: Subsystem | LogicalUnit, **keys: Any) -> FaultRule:
    """Put a fault in force.

    Args:
        where: A device, for a fault of its own; or a subsystem, where the key ``device`` says the rest.
        keys: As in ``[[fault]]`` of a configuration: see docs/faults.md.

    Returns:
        The rule, with its name.

    Raises:
        RuleError: For a key that is unknown or has an impossible value.
    """
    if isinstance(where, LogicalUnit):
        keys.setdefault("device", str(where.address))
        where = where.host.subsystem
    return faults_of(where).add(FaultRule.from_mapping(keys))
