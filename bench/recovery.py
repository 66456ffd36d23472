"""One dead logical unit among a hundred busy ones: what its recovery costs the others.

The dead unit loses each command. Its aborts fail, and so does its reset, after 20 ms in which the driver has
waited for an answer; wider resets fail at once, or in the last line after 20 ms as well. Whoever asks it
takes the unit online again and again, so that it is recovered all the time.

How a lost command is recovered, step by step on a fake clock, is a property:
``tests/property/test_recovery_properties.py::test_the_steps_are_those_of_the_ladder``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from midlayer.lower.filters import add_fault, faults_of
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.recovery_callbacks import FAILED
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read10
from midlayer.upper.sg import execute

RATE_GOAL = 0.95

_UNITS = 100
_ROUNDS = 9
_ROUND_S = 0.2
_TIMEOUT_S = 0.02
_EH_TIMEOUT_S = 0.02
_READ = Read10(logical_block_address=8, transfer_length=1).encode()
_NO_ANSWER_S = 0.02


class _Driver(VirtualDriver):
    """Waits for answers to its resets, in vain; `wider_s` for those of more than the unit."""

    wider_s = 0.0

    def eh_device_reset_handler(self, command: Command) -> int:
        time.sleep(_NO_ANSWER_S)
        return FAILED

    def eh_target_reset_handler(self, command: Command) -> int:
        time.sleep(self.wider_s)
        return FAILED

    eh_bus_reset_handler = eh_host_reset_handler = eh_target_reset_handler


class _Array:
    """A hundred units at a host of its own; the first one can die."""

    def __init__(self, scope: str, wider_s: float) -> None:
        self.subsystem = Subsystem()
        driver = _Driver(self.subsystem)
        driver.wider_s = wider_s
        units = (UnitSpec(size=1 << 20, count=_UNITS),)
        self.host = driver.add_host(HostSpec(units=units, eh_scope=scope))
        self.dead, *self.busy = self.host.devices()
        self.dead.eh_timeout_s = _EH_TIMEOUT_S
        self.recoveries = 0

    def rate(self, *, with_dead: bool) -> float:
        """Return the commands a second of the other 99, while somebody goes on asking the dead one."""
        stop = threading.Event()
        asking = threading.Thread(target=self._ask, args=(stop, with_dead))
        asking.start()
        rate = _commands_in(self.busy, _ROUND_S)
        stop.set()
        asking.join()
        return rate

    def _ask(self, stop: threading.Event, with_dead: bool) -> None:
        """Lose a command, have every reset fail, take the unit online again, and so on."""
        if not with_dead:
            stop.wait()
            return
        add_fault(self.dead, lost=True)
        add_fault(self.dead, fail="abort")
        while not stop.is_set():
            execute(self.dead, _READ, data_in=512, timeout_s=_TIMEOUT_S)
            self.recoveries += self.dead.state is DeviceState.OFFLINE
            self.subsystem.set_device_state(self.dead, DeviceState.RUNNING)
        faults_of(self.subsystem).clear()

    def close(self) -> None:
        self.subsystem.remove_host(self.host)
        self.host.put()
        assert isinstance(self.subsystem.clock, SystemClock)
        self.subsystem.clock.close()


def _commands_in(devices: list[LogicalUnit], seconds: float) -> float:
    buffer, sent = bytearray(512), 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for device in devices:
            execute(device, _READ, data_in=buffer)
        sent += len(devices)
    return sent / (time.perf_counter() - begin)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    logging.getLogger("midlayer.recovery").disabled = True  # each time the unit goes offline it says so
    for scope, wider_s, goal in (
        ("device", 0.0, RATE_GOAL),
        ("host", 0.0, None),
        ("device", _NO_ANSWER_S, None),
    ):
        array = _Array(scope, wider_s)
        rounds = [(array.rate(with_dead=True), array.rate(with_dead=False)) for _ in range(_ROUNDS)]
        rate, base = sorted(rounds, key=lambda pair: pair[0] / pair[1])[_ROUNDS // 2]
        array.close()
        name = scope + (", wider resets wait too" if wider_s else "")
        yield _line(name, rate, base, array.recoveries, goal)


def _line(scope: str, rate: float, base: float, recoveries: int, goal: float | None) -> str:
    share = rate / base
    mark = "    " if goal is None else "ok  " if share >= goal else "MISS"
    wanted = "no goal" if goal is None else f"goal at least {goal:g}"
    return (
        f"{mark} 99 units beside a dead one, eh_scope {scope:<30} {rate:>9.0f}/s  base {base:>9.0f}/s"
        f"  ratio {share:6.3f}  {wanted}; {recoveries} recoveries"
    )
