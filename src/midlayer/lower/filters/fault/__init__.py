"""Devices that misbehave on command: rules, and the filter that carries them out."""

from midlayer.lower.filters.fault.fault import Fault, FaultState
from midlayer.lower.filters.fault.filter import FaultFilter, Injection, faults_of
from midlayer.lower.filters.fault.rule import FaultRule

__all__ = ["Fault", "FaultFilter", "FaultRule", "FaultState", "Injection", "faults_of"]
