"""A target of ours on the loopback address, for an initiator to log in to."""

from __future__ import annotations

from typing import Any

from midlayer.address import Address
from midlayer.frontends.target.server import TargetServer
from midlayer.frontends.target.spec import TargetSpec
from midlayer.lower.iscsi import SessionSpec
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver

IQN = "iqn.2026-11.io.midlayer:demo"


class Array:
    """A target: its own subsystem, with three virtual disks and a scripted unit, as LUN 0 to 3.

    Attributes:
        scripted: Answers for LUN 3.
        virtual: Driver of the disks, and their host.
        server: What serves them.
    """

    def __init__(self) -> None:
        self.subsystem = Subsystem()
        self.virtual = VirtualDriver(self.subsystem)
        self.host = self.virtual.add_host(HostSpec(units=(UnitSpec(size=1 << 20, count=3),)))
        self.scripted = ScriptedDriver()
        self.scripted.unit(0, 0, 0)
        self.scripted.start(self.subsystem)
        self.subsystem.clock.call_later(0, lambda: None)  # so that its thread is none that a test began
        self.server = TargetServer(self._find, self.subsystem.clock)
        self.port = 0

    def _find(self, text: str) -> LogicalUnit:
        return self.subsystem.device(Address.parse(text))

    def export(self, **keys: Any) -> None:
        """Offer the target; `keys` as in ``[[target]]``."""
        luns = [{"lun": lun, "device": f"0:0:0:{lun}"} for lun in range(3)]
        given = {
            "iqn": IQN,
            "portals": [f"127.0.0.1:{self.port}"],
            "lun": [*luns, {"lun": 3, "device": "1:0:0:0"}],
        } | keys
        self.server.add(TargetSpec.from_mapping(given))
        self.port = self.server.portals(IQN)[0].port

    def spec(self, **keys: Any) -> SessionSpec:
        """Return what an initiator needs to know."""
        return SessionSpec(**{"portal": f"127.0.0.1:{self.port}", "target": IQN} | keys)

    def close(self) -> None:
        self.server.stop()
        for host in self.subsystem.hosts():
            self.subsystem.remove_host(host)
            host.put()
        self.subsystem.clock.close()  # type: ignore[attr-defined]
