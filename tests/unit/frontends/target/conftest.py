"""A target server with two disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from midlayer.frontends.target.server import TargetServer
from midlayer.frontends.target.spec import TargetSpec
from midlayer.iscsi.initiator_login import Wishes
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock

from .initiator import SOON_S, TARGET, Initiator


class Serving:
    """A server, its subsystem, and initiators that are closed at the end.

    Attributes:
        clock: Moves only when told to.
        server: Offers `TARGET` with LUN 0 and 1, unless a test adds others.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.driver = VirtualDriver(self.subsystem)
        units = tuple(UnitSpec(lun=number, size=1 << 20, thin=True) for number in (0, 1))
        self.host: Host = self.driver.add_host(HostSpec(units=units))
        self.server = TargetServer(self.find, self.clock)
        self._stack = stack

    def find(self, text: str) -> LogicalUnit:
        from midlayer.address import Address

        return self.subsystem.device(Address.parse(text))

    def add(self, iqn: str = TARGET, **given: Any) -> int:
        """Offer a target on a free port, and return the port."""
        given.setdefault("portals", ["127.0.0.1:0"])
        given.setdefault("lun", [{"lun": 0, "device": "0:0:0:0"}, {"lun": 1, "device": "0:0:0:1"}])
        self.server.add(TargetSpec.from_mapping({"iqn": iqn, **given}))
        return self.server.portals(iqn)[0].port

    def connect(self, port: int, wishes: Wishes | None = None, **more: str) -> Initiator:
        """Log in."""
        return self._stack.enter_context(closing(Initiator(port, wishes, **more)))

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait until threads of the server have come to something."""
        import threading
        from time import monotonic

        end = monotonic() + SOON_S
        while not condition():
            assert monotonic() < end, "it never came to that"
            threading.Event().wait(0.001)


@pytest.fixture
def serving() -> Iterator[Serving]:
    with ExitStack() as stack:
        running = Serving(stack)
        stack.callback(running.server.stop)
        yield running


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a secret to a file of mode 0600, and return its name."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    return write
