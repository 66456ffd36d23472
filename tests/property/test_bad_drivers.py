"""Drivers that break their contract in every way at once: an error in the log, and nobody else notices."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midlayer.errors import DriverError, SubsystemError
from midlayer.mid.command import Command, Phase, Result
from midlayer.mid.dispatch import submit
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.partition import bios_geometry
from midlayer.mid.queue_depth import ask_for_queue_depth
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import reset
from midlayer.testing import FakeClock, ScriptedDriver
from midlayer.upper.sg import SgDriver, execute

Done = Callable[[Command], None]
TUR, READ = bytes(6), bytes((0x28, *bytes(7), 1, 0))
A_LONG_TIME_S = 100_000.0

NONSENSE: list[Any] = [None, "nonsense", -7, 1 << 40, [1], object(), 2.5, b"\x02", True]
ANSWERS = ("status", "host_byte", "residual", "sense_data")
CALLBACKS = (
    "slave_alloc", "slave_configure", "slave_destroy", "target_alloc", "target_destroy", "release",
    "scan_start", "user_scan", "user_remove", "user_state", "bios_param", "change_queue_depth", "nexus_lost",
    "info", "show_info", "in_use",
    "eh_timed_out", "eh_abort_handler", "eh_device_reset_handler", "eh_target_reset_handler",
    "eh_bus_reset_handler", "eh_host_reset_handler", "eh_should_retry_cmd",
)  # fmt: skip
MEMBERS = ("can_queue", "cmd_per_lun", "max_cmd_len", "queuecommand", "name", "eh_scope", "max_host_blocked")


class BadDriver(HostTemplate):
    """Does with each command what comes next in its list, and with each callback what it was told."""

    name, proc_name = "bad driver", "bad"
    can_queue, cmd_per_lun, max_id, max_lun, max_cmd_len = 4, 2, 2, 2, 16
    skip_settle_delay = True

    def __init__(self, deeds: list[tuple[str, int]], callbacks: dict[str, int]) -> None:
        self.deeds = deeds
        self.kept: list[tuple[Command, Done]] = []
        self.scanned = False
        for name, number in callbacks.items():
            setattr(self, name, _bad_callback(number))

    def queuecommand(self, command: Command, done: Done) -> int:
        if not self.scanned and command.cdb[0] in (0x12, 0xA0):
            command.status = 2 if command.cdb[0] == 0xA0 else 0
            done(command)
            return 0
        deed, number = self.deeds.pop() if self.deeds else ("good", 0)
        return getattr(self, f"_{deed}")(command, done, number)  # type: ignore[no-any-return]

    def _good(self, command: Command, done: Done, number: int) -> int:
        done(command)
        return 0

    def _twice(self, command: Command, done: Done, number: int) -> int:
        done(command)
        done(command)
        return 0

    def _never(self, command: Command, done: Done, number: int) -> int:
        return 0

    def _late(self, command: Command, done: Done, number: int) -> int:
        self.kept.append((command, done))
        return 0

    def _by_another_thread(self, command: Command, done: Done, number: int) -> int:
        thread = threading.Thread(target=done, args=(command,))
        thread.start()
        thread.join()
        return 0

    def _done_and_busy(self, command: Command, done: Done, number: int) -> int:
        done(command)
        return 0x1055 + number % 4

    def _raises(self, command: Command, done: Done, number: int) -> int:
        raise (RuntimeError, ValueError, KeyError, NotImplementedError)[number % 4]("bad")

    def _done_and_raises(self, command: Command, done: Done, number: int) -> int:
        done(command)
        raise RuntimeError("bad")

    def _returns_nonsense(self, command: Command, done: Done, number: int) -> int:
        return NONSENSE[number % len(NONSENSE)]  # type: ignore[no-any-return]

    def _answers_nonsense(self, command: Command, done: Done, number: int) -> int:
        what, value = divmod(number, len(NONSENSE))
        setattr(command, ANSWERS[what % len(ANSWERS)], NONSENSE[value])
        command.status = command.status or (number & 2)
        done(command)
        return 0

    def _completes_nonsense(self, command: Command, done: Done, number: int) -> int:
        done(NONSENSE[number % len(NONSENSE)])
        done(command)
        return 0

    def _submits(self, command: Command, done: Done, number: int) -> int:
        submit(Command(command.device, TUR, timeout_s=1.0))
        done(command)
        return 0

    def _changes_the_command(self, command: Command, done: Done, number: int) -> int:
        command.cdb, command.data_in, command.status = b"", None, number & 2
        done(command)
        return 0

    def _changes_its_template(self, command: Command, done: Done, number: int) -> int:
        what, value = divmod(number, len(NONSENSE))
        setattr(self, MEMBERS[what % len(MEMBERS)], NONSENSE[value])
        done(command)
        return 0


def _bad_callback(number: int) -> Callable[..., Any]:
    def callback(*args: object) -> object:
        if number >= len(NONSENSE):
            raise RuntimeError("bad callback")
        return NONSENSE[number]

    return callback


DEEDS = st.lists(
    st.tuples(
        st.sampled_from([name[1:] for name in vars(BadDriver) if name[0] == "_" and name[1] != "_"]),
        st.integers(0, 63),
    ),
    max_size=12,
)
BAD_CALLBACKS = st.dictionaries(st.sampled_from(CALLBACKS), st.integers(0, len(NONSENSE)), max_size=5)


class World:
    """A host whose driver is bad beside one whose driver is good."""

    def __init__(self, deeds: list[tuple[str, int]], callbacks: dict[str, int]) -> None:
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.subsystem.register_upper(SgDriver())
        good = ScriptedDriver()
        good.unit(0, 0, 0)
        self.good = good.start(self.subsystem)
        self.bad = BadDriver(deeds, callbacks)
        self.host: Host = self.subsystem.host_alloc(self.bad)
        self.sent: list[Command] = []
        self.ended: list[Command] = []

    def scan(self) -> list[LogicalUnit]:
        self.subsystem.add_host(self.host)
        self.subsystem.scan_host(self.host)
        self.bad.scanned = True
        return self.host.devices()

    def send(self, device: LogicalUnit, number: int) -> None:
        cdb, room = (READ, memoryview(bytearray(512))) if number % 2 else (TUR, None)
        command = Command(
            device, cdb, None, room, 1.0, number % 3, bool(number & 4), on_finished=self.ended.append
        )
        self.sent.append(command)
        submit(command)

    def ask(self, device: LogicalUnit) -> None:
        """Use what is not a command; nothing may wait then, for nobody moves the clock."""
        self.clock.advance(A_LONG_TIME_S)
        self.bad.deeds.clear()
        assert (self.host.busy, self.host.detour, device.busy, device.detour) == (0, 0, 0, 0)
        for call in (
            lambda: ask_for_queue_depth(device, 2),
            lambda: bios_geometry(device, 1 << 20),
            lambda: reset(device, "device", escalate=True),
            lambda: self.subsystem.set_device_state(device, DeviceState.OFFLINE),
            lambda: self.subsystem.set_device_state(device, DeviceState.RUNNING),
            lambda: self.subsystem.scan_host(self.host),
        ):
            try:
                call()
            except (SubsystemError, OSError):
                continue

    def remove(self) -> None:
        self.subsystem.remove_host(self.host)
        self.clock.advance(A_LONG_TIME_S)
        self.host.put()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS, callbacks=BAD_CALLBACKS, numbers=st.lists(st.integers(0, 11), max_size=10))
def test_the_subsystem_lives_and_other_hosts_are_untouched(
    caplog: pytest.LogCaptureFixture,
    deeds: list[tuple[str, int]],
    callbacks: dict[str, int],
    numbers: list[int],
) -> None:
    caplog.set_level(logging.CRITICAL)
    world = World(deeds, callbacks)
    for device in world.scan():
        for number in numbers:
            world.send(device, number)
        world.ask(device)
    for command, done in world.bad.kept[: len(world.bad.kept) // 2]:
        done(command)
    world.clock.advance(A_LONG_TIME_S)
    for command, done in world.bad.kept:
        done(command)  # late, and some of them a second time
    (neighbour,) = world.good.devices()
    result = execute(neighbour, READ, data_in=512)
    assert isinstance(result, Result)
    assert (result.status, result.host_byte) == (0, 0)
    world.remove()
    assert sorted(map(id, world.ended)) == sorted(map(id, world.sent))  # each of them, and once
    assert all(command.phase is Phase.FINISHED for command in world.sent)
    assert (world.host.busy, world.host.waiting, world.host.references) == (0, 0, 0)
    assert world.subsystem.hosts() == [world.good]


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        ("twice", "called done on a command that it does not have"),
        ("late", "called done on a command that it does not have"),
        ("done_and_busy", "said busy for a command that it completed"),
        ("raises", "raised in queuecommand"),
        ("done_and_raises", "raised in queuecommand"),
        ("completes_nonsense", "raised in queuecommand"),
        ("returns_nonsense", "taken for HOST_BUSY"),
        ("answers_nonsense", "taken for DID_ERROR"),
    ],
)
def test_the_log_names_the_driver(caplog: pytest.LogCaptureFixture, deed: str, text: str) -> None:
    world = World([(deed, 1)], {})
    (device, *_) = world.scan()
    caplog.clear()
    world.send(device, 1)
    world.clock.advance(A_LONG_TIME_S)
    for command, done in world.bad.kept:
        done(command)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "driver bad driver" in errors[0]
    assert text in errors[0]
    assert world.ended == world.sent
    world.remove()


@pytest.mark.parametrize("name", ["user_state", "change_queue_depth", "bios_param", "info"])
def test_a_callback_that_raises_for_somebody_who_asked(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """He gets an error that names the driver, or the default."""
    world = World([], {name: len(NONSENSE)})
    (device, *_) = world.scan()
    asks: dict[str, Callable[[], object]] = {
        "user_state": lambda: world.subsystem.set_device_state(device, DeviceState.OFFLINE),
        "change_queue_depth": lambda: ask_for_queue_depth(device, 2),
        "bios_param": lambda: bios_geometry(device, 1 << 20),
    }
    if name == "info":
        assert world.host.info == "bad driver"
        assert "bad driver raised in" in caplog.text
    else:
        with pytest.raises(DriverError, match="bad driver raised in"):
            asks[name]()
    world.remove()
