"""Both roles on a cable in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.codes import LoginStatus
from midlayer.iscsi.connection import Connection
from midlayer.iscsi.errors import LoginError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorEvent
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.login import Identity
from midlayer.iscsi.target import TargetConnection
from midlayer.iscsi.target_events import TargetEvent
from midlayer.iscsi.target_login import Access
from midlayer.iscsi.text import Pairs

INITIATOR = "iqn.2026-11.io.example:initiator"
TARGET = "iqn.2026-11.io.example:target"
LUN_0 = bytes(8)


def counting_random(first: int = 1) -> Callable[[int], bytes]:
    """Return a source of bytes that differ from call to call, the same in each run."""
    numbers = itertools.count(first)
    return lambda count: next(numbers).to_bytes(count, "big")


class Policy:
    """Lets everybody in who knows the secret, if there is one."""

    def __init__(
        self, *accounts: Credentials, ours: Credentials | None = None, targets: tuple[str, ...] = (TARGET,)
    ) -> None:
        self.access = Access(accounts, ours, alias="test")
        self.targets = targets
        self.begun: list[Identity] = []

    def admit(self, identity: Identity) -> Access:
        if not identity.discovery and identity.target_name not in self.targets:
            raise LoginError("no such target", LoginStatus.NOT_FOUND)
        return self.access

    def begin(self, identity: Identity) -> int:
        self.begun.append(identity)
        return len(self.begun)

    def send_targets(self, identity: Identity, name: str) -> Pairs:
        names = self.targets if name == "All" else (name,)
        return [
            pair for one in names for pair in (("TargetName", one), ("TargetAddress", "192.0.2.1:3260,1"))
        ]


class Cable:
    """A target and an initiator, and what each was told.

    Args:
        step: Bytes that are delivered at once; all by default.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        wishes: Wishes | None = None,
        wanted: dict[str, Any] | None = None,
        step: int = 1 << 30,
    ) -> None:
        self.policy = policy or Policy()
        self.target = TargetConnection(self.policy, counting_random(), wanted)
        self.initiator = InitiatorConnection(wishes or Wishes(INITIATOR, TARGET), counting_random(0x80))
        self.step = step
        self.at_target: list[TargetEvent] = []
        self.at_initiator: list[InitiatorEvent] = []

    def run(self) -> Cable:
        """Carry bytes both ways until nothing moves."""
        while self.initiator.output or self.target.output:
            deliver(self.initiator, self.target, self.at_target, self.step)
            deliver(self.target, self.initiator, self.at_initiator, self.step)
        return self

    def take_initiator(self) -> list[InitiatorEvent]:
        """Return and forget what the initiator was told, after carrying what is on its way."""
        self.run()
        told, self.at_initiator = self.at_initiator, []
        return told

    def take_target(self) -> list[TargetEvent]:
        """Return and forget what the target was told."""
        self.run()
        told, self.at_target = self.at_target, []
        return told


def deliver(sender: Connection, receiver: Any, told: list[Any], step: int) -> None:
    """Carry what one side has sent to the other."""
    data = b"".join(bytes(piece) for piece in sender.take_output())
    for piece in pieces(data, step):
        feed(receiver, piece, told)


def feed(receiver: Any, data: bytes, told: list[Any]) -> None:
    """Hand bytes to one side, and note what it is told."""
    while data and not receiver.closed:
        data = data[receiver.reader.feed(data) :]
        while (event := receiver.next_event()) is not None:
            told.append(event)


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    """Cut bytes into pieces."""
    for at in range(0, len(data), step):
        yield data[at : at + step]
