"""A host of a driver under test, with a record of what the driver does with commands and callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command
from midlayer.mid.passive import exit_driver
from midlayer.mid.subsystem import Subsystem

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit

GRACE_S = 5.0
"""How long the threads of a driver may take to end after its host is gone."""

BringUp = Callable[[Subsystem], "Host"]


class Rig:
    """A host of the driver under test, and a record of what the driver did.

    Attributes:
        subsystem: Its own, on the machine's clock.
        host: What the factory brought up.
        may_write: True if media may be written to.
        accepted: Times that the driver took a command, by command.
        done: Times that it called `done`, by command.
        allocated, destroyed: Addresses that `slave_alloc` accepted and `slave_destroy` gave up.
        released: Times that `release` was called.
    """

    def __init__(self, bring_up: BringUp, *, may_write: bool) -> None:
        self.subsystem = _WatchedSubsystem(self)
        self.may_write = may_write
        self.accepted: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.allocated: list[str] = []
        self.destroyed: list[str] = []
        self.released = 0
        self.removed = False
        self._kept: list[Command] = []  # so that no two commands have the same id
        self._lock = threading.Lock()
        self.host = bring_up(self.subsystem)

    def devices(self) -> list[LogicalUnit]:
        """Return the devices that the scan found."""
        return self.host.devices()

    def remove(self) -> None:
        """Take the host down, once."""
        if not self.removed:
            self.removed = True
            if self.host.template in self.subsystem.passive_hosts:
                exit_driver(self.subsystem, self.host.template)
                return
            self.subsystem.remove_host(self.host)
            self.host.put()

    def close(self) -> None:
        """Take everything down."""
        self.remove()
        if isinstance(self.subsystem.clock, SystemClock):
            self.subsystem.clock.close()

    def watch(self, host: Host) -> None:
        """Count what the driver does with the commands of `host`, and its callbacks."""
        driver_takes, template = host.queuecommand, host.template

        def queuecommand(command: Command, done: Callable[[Command], None]) -> int:
            def counted(finished: Command) -> None:
                with self._lock:
                    self.done[id(finished)] = self.done.get(id(finished), 0) + 1
                done(finished)

            with self._lock:
                self._kept.append(command)
                self.accepted[id(command)] = self.accepted.get(id(command), 0) + 1
            busy = driver_takes(command, counted)
            if busy:
                with self._lock:
                    self.accepted[id(command)] -= 1
            return busy

        host.queuecommand = queuecommand
        vars(template).update(
            slave_alloc=self._noting(template.slave_alloc, self.allocated, only_if=0),
            slave_destroy=self._noting(template.slave_destroy, self.destroyed, only_if=None),
            release=self._releasing(template.release),
        )

    def _noting(self, callback: Callable[..., Any], into: list[str], *, only_if: int | None) -> Any:
        def noting(device: LogicalUnit) -> Any:
            result = callback(device)
            if result == only_if:
                into.append(str(device.address))
            return result

        return noting

    def _releasing(self, callback: Callable[..., Any]) -> Any:
        def releasing(host: Host) -> None:
            self.released += 1
            callback(host)

        return releasing


class _WatchedSubsystem(Subsystem):
    """Tells the rig of each host before anything is sent through it."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self._rig = rig

    def add_host(self, host: Host, **options: Any) -> None:
        self._rig.watch(host)
        super().add_host(host, **options)


@contextmanager
def rigged(bring_up: BringUp, *, may_write: bool) -> Iterator[Rig]:
    threads = set(threading.enumerate())
    rig = Rig(bring_up, may_write=may_write)
    try:
        yield rig
    finally:
        rig.close()
    started = set(threading.enumerate()) - threads
    for thread in started:
        thread.join(GRACE_S)  # the other end of a cable may need a moment
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left running after the host was removed: {left}"
