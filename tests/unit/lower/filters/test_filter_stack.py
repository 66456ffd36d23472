"""Filters come and go under commands, and cover a driver's eh_ callbacks."""

from __future__ import annotations

import gc
import threading
import weakref
from types import FunctionType

import pytest

from midlayer.lower.filters import (
    Delay,
    DelayFilter,
    Filter,
    Scope,
    TraceFilter,
    add_fault,
    faults_of,
    filters_of,
)
from midlayer.lower.filters.filter import FAILED, SUCCESS, Done, EhHandler, QueueCommand
from midlayer.mid.command import Command, HostByte
from midlayer.mid.command_trace import CommandTrace
from midlayer.mid.dispatch import submit
from midlayer.mid.host_template import DEVICE_BUSY
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg import execute

TEST_UNIT_READY = bytes(6)


class Marking(Filter):
    """Writes down which commands go down and come up."""

    def __init__(self, name: str, seen: list[str], scope: Scope = Scope()) -> None:  # noqa: B008
        super().__init__(scope)
        self.name, self.seen = name, seen

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        self.seen.append(f"{self.name} down")

        def up(command: Command) -> None:
            self.seen.append(f"{self.name} up")
            done(command)

        return behind(command, up)

    def eh_handler(self, name: str, command: Command, behind: EhHandler) -> int:
        self.seen.append(f"{self.name} {name}")
        return behind(command)


class WithHandlers(ScriptedDriver):
    """A scripted driver that can abort and reset."""

    def __init__(self) -> None:
        super().__init__()
        self.eh_calls: list[str] = []

    def eh_abort_handler(self, command: Command) -> int:
        self.eh_calls.append("abort")
        return SUCCESS

    def eh_device_reset_handler(self, command: Command) -> int:
        self.eh_calls.append("device reset")
        return SUCCESS

    def eh_target_reset_handler(self, command: Command) -> int:
        self.eh_calls.append("target reset")
        return SUCCESS

    def eh_bus_reset_handler(self, command: Command) -> int:
        self.eh_calls.append("bus reset")
        return SUCCESS

    def eh_host_reset_handler(self, command: Command) -> int:
        self.eh_calls.append("host reset")
        return SUCCESS


@pytest.fixture
def device(scripted: ScriptedDriver, subsystem: Subsystem) -> LogicalUnit:
    return subsystem.devices()[0]


def later(device: LogicalUnit) -> Command:
    command = Command(device, TEST_UNIT_READY, on_finished=lambda command: None)
    submit(command)
    return command


def test_without_filters_nothing_is_in_the_path(
    scripted: ScriptedDriver, device: LogicalUnit, subsystem: Subsystem
) -> None:
    before = device.queuecommand
    filters = filters_of(subsystem)
    marking = Marking("a", [])
    filters.add(marking)
    assert device.queuecommand != before
    filters.remove(marking)
    filters.remove(marking)
    assert device.queuecommand == before == scripted.queuecommand
    assert [name for name in vars(scripted) if name.startswith("eh_")] == []


def test_the_last_one_added_is_the_first_to_see_a_command(device: LogicalUnit, subsystem: Subsystem) -> None:
    seen: list[str] = []
    for name in ("inner", "outer"):
        filters_of(subsystem).add(Marking(name, seen))
    execute(device, TEST_UNIT_READY)
    assert seen == ["outer down", "inner down", "inner up", "outer up"]


def test_a_scope_is_for_its_devices_alone(subsystem: Subsystem) -> None:
    driver = ScriptedDriver()
    for lun in range(2):
        driver.unit(0, 0, lun)
    driver.start(subsystem)
    seen: list[str] = []
    filters_of(subsystem).add(Marking("a", seen, Scope(0, 0, 0, 1)))
    for device in subsystem.devices():
        execute(device, TEST_UNIT_READY)
    assert seen == ["a down", "a up"]


def test_a_command_in_flight_comes_up_by_its_own_way(
    scripted: ScriptedDriver, device: LogicalUnit, subsystem: Subsystem
) -> None:
    scripted.units[0, 0, 0].on(0x00, Answer(later=True))
    seen: list[str] = []
    first, second = Marking("first", seen), Marking("second", seen)
    filters = filters_of(subsystem)
    filters.add(first)
    command = later(device)
    filters.remove(first)
    filters.add(second)
    scripted.pending[0].complete(Answer(status=0x18))
    assert seen == ["first down", "first up"]
    assert (command.phase.name, command.status) == ("FINISHED", 0x18)


@pytest.mark.parametrize("trace_first", [True, False])
def test_beside_somebody_else_in_the_path(
    device: LogicalUnit, subsystem: Subsystem, trace_first: bool
) -> None:
    before = device.queuecommand
    lines: list[str] = []
    seen: list[str] = []
    trace, filters, marking = CommandTrace(subsystem, lines.append), filters_of(subsystem), Marking("a", seen)

    def both(on: bool) -> None:
        steps = [lambda: trace.update({"mlqueue": 2 if on else 0})]
        steps.append(lambda: filters.add(marking) if on else filters.remove(marking))  # type: ignore[arg-type, return-value, func-returns-value]
        for step in steps if trace_first else steps[::-1]:
            step()

    for _ in range(3):
        both(True)
        execute(device, TEST_UNIT_READY)
        assert (len(lines), len(seen)) == (1, 2)
        both(False)
        execute(device, TEST_UNIT_READY)
        assert (len(lines), len(seen)) == (1, 2)
        lines.clear()
        seen.clear()
    filters.add(marking)
    execute(device, TEST_UNIT_READY)
    assert (len(lines), len(seen)) == (0, 2)
    filters.remove(marking)
    assert device.queuecommand == before


@pytest.mark.parametrize("trace_first", [True, False])
def test_scsi_logging_sees_what_filters_make_of_a_command(
    device: LogicalUnit, subsystem: Subsystem, trace_first: bool
) -> None:
    lines: list[str] = []
    trace = CommandTrace(subsystem, lines.append)
    if trace_first:
        trace.update({"mlcomplete": 1})
    add_fault(device, opcode="TEST UNIT READY", sense="2/3a/00")
    trace.update({"mlcomplete": 1})
    execute(device, TEST_UNIT_READY)
    assert lines == ["0:0:0:0 TEST UNIT READY done NOT READY, medium not present (2/3a/00) 0 µs"]


@pytest.mark.parametrize(
    ("rule", "commands"),
    [
        ({"device": "0:0:0:1"}, "none"),
        ({"opcode": "READ(10)"}, "none"),
        ({"opcode": "TEST UNIT READY", "device": "*:*:*:0"}, "all"),
    ],
)
def test_a_command_that_no_fault_can_hit_goes_straight_on(
    scripted: ScriptedDriver, device: LogicalUnit, subsystem: Subsystem, rule: dict[str, str], commands: str
) -> None:
    add_fault(subsystem, status="BUSY", times=1, **rule)
    stand_in = device.queuecommand
    if isinstance(stand_in, FunctionType):
        (stand_ins,) = (cell.cell_contents for cell in stand_in.__closure__ or ())
        stand_in = stand_ins[0x00]
    assert (stand_in == scripted.queuecommand) is (commands == "none")


def test_a_device_that_comes_later_has_its_filters(subsystem: Subsystem) -> None:
    seen: list[str] = []
    filters_of(subsystem).add(Marking("a", seen, Scope(0, 0, 0, 1)))
    driver = ScriptedDriver()
    for lun in range(2):
        driver.unit(0, 0, lun)
    host = driver.start(subsystem)
    seen.clear()
    for device in host.devices():
        execute(device, TEST_UNIT_READY)
    assert seen == ["a down", "a up"]


def test_a_busy_driver_is_busy_through_filters(
    scripted: ScriptedDriver, device: LogicalUnit, subsystem: Subsystem, clock: FakeClock
) -> None:
    scripted.units[0, 0, 0].on(0x00, Answer(busy=DEVICE_BUSY), Answer())
    lines: list[str] = []
    filters_of(subsystem).add(TraceFilter(lines.append))
    command = later(device)
    clock.advance(0.01)
    assert command.phase.name == "FINISHED"
    assert lines == [
        "1 0:0:0:0 TEST UNIT READY: refused with 0x1056",
        "2 0:0:0:0 TEST UNIT READY: GOOD, 0 µs",
    ]


def test_the_trace_names_data_and_outcome(disk: LogicalUnit, subsystem: Subsystem) -> None:
    lines: list[str] = []
    add_fault(disk, opcode="READ(10)", sense="3/11/00", nth=2)
    filters_of(subsystem).add(TraceFilter(lines.append))
    for _ in range(2):
        execute(disk, bytes.fromhex("28000000000000000100"), data_in=512)
    assert lines == [
        "1 0:0:0:0 READ(10) lba=0 blocks=1: GOOD, 512 bytes, 0 µs",
        "2 0:0:0:0 READ(10) lba=0 blocks=1: MEDIUM ERROR, unrecovered read error (3/11/00), 0 bytes, 0 µs",
    ]


def test_the_delay_filter(device: LogicalUnit, subsystem: Subsystem, clock: FakeClock) -> None:
    delay = DelayFilter(Delay.fixed(0.25))
    filters_of(subsystem).add(delay)
    command = later(device)
    filters_of(subsystem).remove(delay)  # what it holds is not lost
    assert later(device).phase.name == "FINISHED"
    clock.advance(0.25)
    assert (command.phase.name, command.duration_s) == ("FINISHED", 0.25)


def test_filters_come_and_go_under_a_storm(disk: LogicalUnit, subsystem: Subsystem) -> None:
    stop = threading.Event()
    wrong: list[object] = []
    counted = [0]

    def storm() -> None:
        while not stop.is_set():
            result = execute(disk, TEST_UNIT_READY)
            counted[0] += 1
            if not result.ok and result.status != 0x18:
                wrong.append(result)

    threads = [threading.Thread(target=storm) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        add_fault(disk, status="RESERVATION CONFLICT", every=2)
        faults_of(subsystem).clear()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert counted[0] > 0
    assert (disk.busy, disk.host.busy, disk.host.unexpected_done) == (0, 0, 0)


def test_a_subsystem_is_not_kept_alive() -> None:
    subsystem = Subsystem(clock=FakeClock())
    faults_of(subsystem)
    alive = weakref.ref(subsystem)
    del subsystem
    gc.collect()
    assert alive() is None


# eh_ callbacks


@pytest.fixture
def handlers(subsystem: Subsystem) -> WithHandlers:
    driver = WithHandlers()
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    return driver


def eh(driver: ScriptedDriver, name: str, command: Command) -> int:
    return int(getattr(driver, name)(command))


def test_filters_see_eh_callbacks_and_pass_them_on(handlers: WithHandlers, subsystem: Subsystem) -> None:
    seen: list[str] = []
    marking = Marking("a", seen)
    filters_of(subsystem).add(marking)
    command = Command(subsystem.devices()[0], TEST_UNIT_READY)
    assert eh(handlers, "eh_abort_handler", command) == SUCCESS
    filters_of(subsystem).remove(marking)
    assert eh(handlers, "eh_abort_handler", command) == SUCCESS
    assert seen == ["a eh_abort_handler"]
    assert handlers.eh_calls == ["abort", "abort"]


@pytest.mark.parametrize("level", ["abort", "device_reset", "target_reset", "bus_reset", "host_reset"])
def test_each_level_can_fail(handlers: WithHandlers, subsystem: Subsystem, level: str) -> None:
    device = subsystem.devices()[0]
    add_fault(device, fail=level, times=1, opcode="TEST UNIT READY")
    command = Command(device, TEST_UNIT_READY)
    assert eh(handlers, f"eh_{level}_handler", command) == FAILED
    assert handlers.eh_calls == []
    assert eh(handlers, f"eh_{level}_handler", command) == SUCCESS
    assert handlers.eh_calls == [level.replace("_", " ")]
    (injection,) = faults_of(subsystem).injections()
    assert injection.command == f"eh_{level}_handler for TEST UNIT READY"
    assert execute(device, TEST_UNIT_READY).ok


@pytest.mark.parametrize("level", ["abort", "device_reset", "target_reset", "bus_reset", "host_reset"])
def test_a_level_that_is_carried_out_and_fails_all_the_same(
    handlers: WithHandlers, subsystem: Subsystem, level: str
) -> None:
    device = subsystem.devices()[0]
    add_fault(device, fail=level, execute=True)
    assert eh(handlers, f"eh_{level}_handler", Command(device, TEST_UNIT_READY)) == FAILED
    assert handlers.eh_calls == [level.replace("_", " ")]


def test_an_abort_takes_a_lost_command_from_the_filter(handlers: WithHandlers, subsystem: Subsystem) -> None:
    device = subsystem.devices()[0]
    add_fault(device, lost=True, times=1)
    command = later(device)
    assert len(filters_of(subsystem).holding) == 1
    assert eh(handlers, "eh_abort_handler", command) == SUCCESS
    assert handlers.eh_calls == [], "the driver never had it"
    assert len(filters_of(subsystem).holding) == 0


def test_a_lost_command_can_be_aborted_after_its_fault_was_cleared(
    handlers: WithHandlers, subsystem: Subsystem
) -> None:
    device = subsystem.devices()[0]
    add_fault(device, lost=True)
    command = later(device)
    faults_of(subsystem).clear()
    assert eh(handlers, "eh_abort_handler", command) == SUCCESS
    assert handlers.eh_calls == [], "the driver never had it"
    subsystem.remove_host(device.host)
    assert [name for name in vars(handlers) if name.startswith("eh_") and name != "eh_calls"] == []


def test_an_aborted_late_command_does_not_end_twice(
    handlers: WithHandlers, subsystem: Subsystem, clock: FakeClock
) -> None:
    device = subsystem.devices()[0]
    add_fault(device, delay="1s")
    command = later(device)
    assert eh(handlers, "eh_abort_handler", command) == SUCCESS
    clock.advance(2.0)
    assert command.phase.name == "ISSUED", "it is the error handler's now"


def test_a_reset_ends_what_a_filter_keeps(handlers: WithHandlers, subsystem: Subsystem) -> None:
    device = subsystem.devices()[0]
    add_fault(device, lost=True)
    commands = [later(device) for _ in range(3)]
    assert eh(handlers, "eh_device_reset_handler", commands[0]) == SUCCESS
    assert [command.host_byte for command in commands] == [HostByte.DID_RESET] * 3
    assert handlers.eh_calls == ["device reset"]


def test_a_driver_without_handlers_gets_none(scripted: ScriptedDriver, subsystem: Subsystem) -> None:
    add_fault(subsystem, lost=True, opcode="TEST UNIT READY")
    add_fault(subsystem, fail="abort")
    assert [name for name in vars(scripted) if name.startswith("eh_")] == []


def test_two_subsystems_share_a_driver(handlers: WithHandlers, subsystem: Subsystem) -> None:
    seen: list[str] = []
    second = Subsystem(clock=FakeClock())
    handlers.start(second)
    first_filter, second_filter = Marking("first", seen), Marking("second", seen)
    filters_of(subsystem).add(first_filter)
    filters_of(second).add(second_filter)
    filters_of(subsystem).remove(first_filter)
    assert eh(handlers, "eh_abort_handler", Command(second.devices()[0], TEST_UNIT_READY)) == SUCCESS
    assert seen == ["second eh_abort_handler"]
    filters_of(second).remove(second_filter)
    assert eh(handlers, "eh_abort_handler", Command(second.devices()[0], TEST_UNIT_READY)) == SUCCESS
    assert len(seen) == 1


@pytest.mark.parametrize("failing", [0, 1, 2, 4, 5])
def test_a_lost_command_ends_once_however_much_of_recovery_fails(
    handlers: WithHandlers, subsystem: Subsystem, clock: FakeClock, failing: int
) -> None:
    device = subsystem.devices()[0]
    levels = ["abort", "device_reset", "target_reset", "bus_reset", "host_reset"][:failing]
    add_fault(device, lost=True, times=1)
    if levels:
        add_fault(device, fail=levels)
    ended: list[Command] = []
    command = Command(device, TEST_UNIT_READY, timeout_s=5.0, passthrough=True, on_finished=ended.append)
    submit(command)
    for _ in range(200):
        clock.advance(1.0)
    assert ended == [command]
    assert command.host_byte == HostByte.DID_TIME_OUT
    assert (device.busy, device.host.busy) == (0, 0)
