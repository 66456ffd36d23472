"""A host whose logical units are declared in configuration and live in this process."""

from midlayer.lower.virtual.driver import VirtualDriver
from midlayer.lower.virtual.spec import HostSpec, UnitSpec

__all__ = ["HostSpec", "UnitSpec", "VirtualDriver"]
