"""What becomes of commands that a fault rule hits, on a virtual disk and on a scripted one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midlayer.lower.filters import add_fault, faults_of
from midlayer.lower.virtual import UnitSpec, VirtualDriver
from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.dispatch import run, submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.nexus import LOCAL
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read10, Write10
from midlayer.standards.spc import Inquiry, ReportLuns, decode_lun_list
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg import execute

TEST_UNIT_READY = bytes(6)
Disks = Callable[[int], list[LogicalUnit]]


def read(device: LogicalUnit, lba: int = 0, blocks: int = 8) -> Result:
    cdb = Read10(logical_block_address=lba, transfer_length=blocks).encode()
    return execute(device, cdb, data_in=blocks * 512)


def write(device: LogicalUnit, data: bytes, lba: int = 0) -> Result:
    cdb = Write10(logical_block_address=lba, transfer_length=len(data) // 512).encode()
    return execute(device, cdb, data_out=data)


def later(device: LogicalUnit, cdb: bytes = TEST_UNIT_READY, **options: Any) -> Command:
    """Send a command that need not be over when this returns."""
    command = Command(device, cdb, on_finished=lambda command: None, **options)
    submit(command)
    return command


def counts(device: LogicalUnit, name: str) -> tuple[int, int]:
    state = faults_of(device.host.subsystem).state(name)
    return state.matches, state.injections


def test_a_medium_error_in_a_range(disk: LogicalUnit) -> None:
    rule = add_fault(disk, opcode="READ", lba="20-23", sense="3/11/00")
    assert read(disk, 0, 20).ok
    assert read(disk, 24, 8).ok
    result = read(disk, 16, 8)
    assert str(result) == "0:0:0:0 READ(10) lba=16 blocks=8: MEDIUM ERROR, unrecovered read error (3/11/00)"
    assert result.sense is not None
    assert result.sense.information == 20
    assert result.residual == 8 * 512
    assert write(disk, bytes(512), 20).ok
    assert counts(disk, rule.name) == (1, 1)


def test_descriptor_sense_has_the_block_too(disk: LogicalUnit) -> None:
    add_fault(disk, lba=3, sense="3/11/00", descriptor_sense=True)
    sense = read(disk, 0, 8).sense
    assert sense is not None
    assert (sense.descriptor_format, sense.information) == (True, 3)


@pytest.mark.parametrize(
    ("keys", "hit"),
    [
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"times": 2}, [1, 2]),
        ({"once": True}, [1]),
        ({"every": 2, "times": 2}, [2, 4]),
        ({}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_which_of_the_commands(disk: LogicalUnit, keys: dict[str, Any], hit: list[int]) -> None:
    rule = add_fault(disk, opcode="TEST UNIT READY", status="RESERVATION CONFLICT", **keys)
    found = [number for number in range(1, 7) if execute(disk, TEST_UNIT_READY).status == 0x18]
    assert found == hit
    assert counts(disk, rule.name) == (6, len(hit))


def test_chance_is_repeatable_by_its_seed(disk: LogicalUnit) -> None:
    def series(seed: int) -> list[bool]:
        rule = add_fault(disk, status="BUSY", host_byte="DID_ERROR", probability=0.3, seed=seed)
        found = [execute(disk, TEST_UNIT_READY).ok for _ in range(200)]
        faults_of(disk.host.subsystem).clear([rule.name])
        return found

    first = series(7)
    assert first == series(7)
    assert first != series(8)
    assert 90 < first.count(True) < 190


def test_a_window_of_time(disk: LogicalUnit, clock: FakeClock) -> None:
    rule = add_fault(disk, after="2s", lasts="3s", state="path-down")
    outcomes = []
    for _ in range(6):
        outcomes.append(execute(disk, TEST_UNIT_READY).host_byte)
        clock.advance(1.0)
    assert outcomes == [0, 0, 1, 1, 1, 0]
    assert counts(disk, rule.name) == (3, 3)
    assert not faults_of(disk.host.subsystem).state(rule.name).active


@pytest.mark.parametrize(
    ("device", "hit"), [("*", [0, 1]), ("0", [0, 1]), ("0:0:0:1", [1]), ("*:*:*:0", [0]), ("1", [])]
)
def test_where(disks: Disks, device: str, hit: list[int]) -> None:
    units = disks(2)
    add_fault(units[0].host.subsystem, device=device, sense="hardware error")
    assert [unit.address.lun for unit in units if not execute(unit, TEST_UNIT_READY).ok] == hit


def test_direction_service_action_and_initiator(disk: LogicalUnit) -> None:
    add_fault(disk, name="out", direction="out", sense="7/27/00")
    add_fault(disk, name="action", opcode="0x9e", service_action=0x10, sense="5/20/00")
    add_fault(
        disk, name="who", opcode="TEST UNIT READY", initiator="iqn.*node-b*", status="RESERVATION CONFLICT"
    )
    assert read(disk).ok
    assert write(disk, bytes(512)).sense.key == 7  # type: ignore[union-attr]
    assert execute(disk, bytes.fromhex("9e10" + "00" * 11 + "200000"), data_in=32).status == 2
    assert execute(disk, TEST_UNIT_READY).ok
    other = Command(disk, TEST_UNIT_READY)
    other.nexus = replace_nexus("iqn.2026-11.example:node-b,i,0x1")
    assert run(other).status == 0x18


def replace_nexus(name: str) -> Any:
    return LOCAL._replace(initiator_port=name)


def test_the_first_rule_that_hits_decides(disk: LogicalUnit) -> None:
    first = add_fault(disk, times=1, host_byte="DID_BAD_TARGET")
    second = add_fault(disk, status="RESERVATION CONFLICT")
    assert execute(disk, TEST_UNIT_READY).host_byte == HostByte.DID_BAD_TARGET
    assert execute(disk, TEST_UNIT_READY).status == 0x18
    assert counts(disk, first.name) == (2, 1)
    assert counts(disk, second.name) == (1, 1)


def test_good_without_data(disk: LogicalUnit) -> None:
    write(disk, b"\xaa" * 512)
    add_fault(disk, opcode="READ(10)", status="GOOD", residual=0)
    result = read(disk, 0, 1)
    assert (result.status, result.residual, bytes(result.data)) == (0, 0, bytes(512))


def test_a_recovered_error_has_its_data(disk: LogicalUnit) -> None:
    write(disk, b"\xaa" * 512)
    add_fault(disk, opcode="READ(10)", sense="1/17/00")
    result = read(disk, 0, 1)
    assert result.ok
    assert (result.status, bytes(result.data)) == (2, b"\xaa" * 512)


def test_sense_data_with_another_status(disk: LogicalUnit) -> None:
    add_fault(disk, host_byte="DID_ERROR", status="GOOD", sense="0/00/00", execute=False, residual=0)
    result = execute(disk, TEST_UNIT_READY)
    assert (result.host_byte, result.status, result.sense_data[:1]) == (HostByte.DID_ERROR, 0, b"\x70")


def test_executed_though_it_fails(disk: LogicalUnit) -> None:
    add_fault(disk, opcode="WRITE(10)", host_byte="DID_ERROR", execute=True)
    assert not write(disk, b"\xbb" * 512).ok
    assert bytes(read(disk, 0, 1).data) == b"\xbb" * 512


def test_short_data_leaves_the_rest_of_the_buffer(disk: LogicalUnit) -> None:
    write(disk, b"\xaa" * 512)
    add_fault(disk, opcode="READ(10)", short=100)
    buffer = bytearray(b"\x55" * 512)
    result = execute(disk, Read10(logical_block_address=0, transfer_length=1).encode(), data_in=buffer)
    assert result.residual == 100
    assert buffer == b"\xaa" * 412 + b"\x55" * 100
    assert result.data_in is not None
    assert memoryview(result.data_in).obj is buffer


def test_corrupt_data(disk: LogicalUnit) -> None:
    write(disk, bytes(512))
    add_fault(disk, opcode="READ(10)", corrupt=3, seed=1, times=1)
    first = bytes(read(disk, 0, 1).data)
    assert sum(byte != 0 for byte in first) == 3
    assert bytes(read(disk, 0, 1).data) == bytes(512)


def test_corrupt_data_on_its_way_out_reaches_the_medium_only(disk: LogicalUnit) -> None:
    add_fault(disk, opcode="WRITE(10)", corrupt=2)
    data = bytes(512)
    assert write(disk, data).ok
    assert data == bytes(512)
    assert sum(byte != 0 for byte in read(disk, 0, 1).data) == 2


def test_a_view_of_the_devices_memory_is_not_changed(scripted: ScriptedDriver, subsystem: Subsystem) -> None:
    memory = bytearray(8)

    def lend(command: Command) -> Answer:
        command.data_in = memoryview(memory)
        return Answer(residual=0)

    scripted.units[0, 0, 0].on(0x28, lend)
    add_fault(subsystem, opcode=0x28, corrupt=8)
    device = subsystem.devices()[0]
    command = Command(device, bytes.fromhex("28000000000000000100"), data_in=memoryview(bytearray(8)))
    command.borrows = True
    assert bytes(run(command).data) != bytes(8)
    assert memory == bytes(8)


def test_a_late_command(disk: LogicalUnit, clock: FakeClock) -> None:
    add_fault(disk, opcode="TEST UNIT READY", delay="50ms")
    command = later(disk)
    assert command.phase.name == "ISSUED"
    clock.advance(0.049)
    assert command.phase.name == "ISSUED"
    clock.advance(0.001)
    assert (command.phase.name, command.status, command.duration_s) == ("FINISHED", 0, pytest.approx(0.05))


def test_late_by_percentiles(disk: LogicalUnit, clock: FakeClock) -> None:
    disk.queue_depth = 1000
    add_fault(disk, delay="p50=1ms p90=10ms p100=100ms")
    commands = [later(disk) for _ in range(1000)]
    clock.advance(0.2)
    lasted = sorted(command.duration_s for command in commands)
    assert lasted[400] == pytest.approx(0.001)
    assert 0.005 < lasted[850] < 0.011
    assert 0.02 < lasted[950] <= 0.1


def test_a_late_error(disk: LogicalUnit, clock: FakeClock) -> None:
    add_fault(disk, sense="3/11/00", delay="1s")
    command = later(disk)
    clock.advance(1.0)
    assert (command.status, command.sense_data[2]) == (2, 3)


def test_a_lost_command_ends_by_its_time_out(disk: LogicalUnit, clock: FakeClock) -> None:
    rule = add_fault(disk, opcode="READ(10)", lost=True, times=1)
    command = later(
        disk, Read10(transfer_length=1).encode(), data_in=memoryview(bytearray(512)), timeout_s=5.0
    )
    clock.advance(4.9)
    assert command.phase.name == "ISSUED"
    for _ in range(100):  # an error handler, where there is one, takes its own time
        clock.advance(1.0)
    assert (command.phase.name, command.host_byte) == ("FINISHED", HostByte.DID_TIME_OUT)
    assert counts(disk, rule.name) == (1, 1)
    assert disk.host.unexpected_done == 0


def test_a_late_answer_after_the_time_out_is_for_nobody(disk: LogicalUnit, clock: FakeClock) -> None:
    add_fault(disk, delay="10s", times=1, opcode="READ(10)")
    command = later(
        disk, Read10(transfer_length=1).encode(), data_in=memoryview(bytearray(512)), timeout_s=5.0
    )
    for _ in range(100):
        clock.advance(1.0)
    assert (command.phase.name, command.host_byte) == ("FINISHED", HostByte.DID_TIME_OUT)
    assert disk.host.unexpected_done == 0
    assert disk.busy == disk.host.busy == 0


@pytest.mark.parametrize("level", ["device", "target", "host"])
def test_busy_is_tried_again(disk: LogicalUnit, clock: FakeClock, level: str) -> None:
    rule = add_fault(disk, opcode="TEST UNIT READY", busy=level, times=3)
    command = later(disk)
    assert command.phase.name == "QUEUED"
    clock.advance(1.0)
    assert (command.phase.name, command.status) == ("FINISHED", 0)
    assert counts(disk, rule.name) == (4, 3)


def test_task_set_full_is_requeued(disk: LogicalUnit, clock: FakeClock) -> None:
    rule = add_fault(disk, opcode="TEST UNIT READY", status="QUEUE FULL", times=2)
    command = later(disk)
    clock.advance(1.0)
    assert (command.phase.name, command.status) == ("FINISHED", 0)
    assert counts(disk, rule.name) == (3, 2)


def test_a_unit_attention_comes_once_for_each_initiator(disk: LogicalUnit) -> None:
    add_fault(disk, unit_attention="29/00")
    assert execute(disk, Inquiry(allocation_length=36).encode(), data_in=36).ok
    other = Command(disk, TEST_UNIT_READY)
    other.nexus = replace_nexus("iqn.other")
    assert str(execute(disk, TEST_UNIT_READY).sense).endswith("(6/29/00)")
    assert execute(disk, TEST_UNIT_READY).ok
    assert run(other).sense_data[2] == 6
    again = Command(disk, TEST_UNIT_READY)
    again.nexus = other.nexus
    assert run(again).ok


def test_another_qualifier(disk: LogicalUnit) -> None:
    add_fault(disk, qualifier="001b")
    data = execute(disk, Inquiry(allocation_length=36).encode(), data_in=36).data
    assert data[0] == 0x20
    assert bytes(data[8:16]) == b"MIDLAYER"


def test_another_unit_behind_the_address(disk: LogicalUnit) -> None:
    def page(code: int) -> bytes:
        cdb = Inquiry(evpd=True, page_code=code, allocation_length=255).encode()
        return bytes(execute(disk, cdb, data_in=255).raise_for_status().data)

    limits, identification = page(0xB0), page(0x83)
    add_fault(disk, identity="SERIAL-2")
    assert page(0x80) == b"\x00\x80\x00\x08SERIAL-2"
    assert page(0x83)[:6] == bytes.fromhex("0083000c0103")
    assert page(0x83) != identification
    assert page(0xB0) == limits


def test_a_lun_that_vanishes(disks: Disks) -> None:
    units = disks(3)

    def luns() -> list[int]:
        data = execute(units[0], ReportLuns(allocation_length=256).encode(), data_in=256).data
        return list(decode_lun_list(bytes(data)))

    add_fault(units[2], state="lun-gone")
    assert luns() == [0, 1]
    assert execute(units[2], Inquiry(allocation_length=36).encode(), data_in=36).data[0] == 0x7F
    assert str(execute(units[2], TEST_UNIT_READY).sense).endswith("(5/25/00)")
    assert execute(units[1], TEST_UNIT_READY).ok
    sense = execute(units[2], bytes.fromhex("030000001200"), data_in=18)
    assert (sense.data[2], sense.data[12]) == (5, 0x25)
    faults_of(units[0].host.subsystem).clear()
    assert luns() == [0, 1, 2]
    assert execute(units[2], TEST_UNIT_READY).ok


def test_a_rescan_finds_what_vanished_and_what_came_back(subsystem: Subsystem, disks: Disks) -> None:
    units = disks(2)
    rule = add_fault(subsystem, device="0:0:0:1", state="lun-gone")
    subsystem.remove_device(units[1])
    subsystem.scan_host(units[0].host)
    assert [device.address.lun for device in subsystem.devices()] == [0]
    faults_of(subsystem).clear([rule.name])


def test_faults_meet_the_scan_of_a_host_that_comes_later(subsystem: Subsystem) -> None:
    add_fault(subsystem, device="0:0:1", opcode="INQUIRY", qualifier="011b")
    driver = VirtualDriver(subsystem)
    host = driver.add_host()
    driver.plug(host, UnitSpec(size=65536))
    with pytest.raises(Exception, match="no device is attached"):
        driver.plug(host, UnitSpec(size=65536, target=1))
    driver.remove_host(host)


def test_what_was_injected_and_when(disk: LogicalUnit, clock: FakeClock) -> None:
    rule = add_fault(disk, opcode="READ(10)", sense="3/11/00", name="bad block")
    begin_s = clock.monotonic()
    clock.advance(2.0)
    read(disk, 7, 1)
    (injection,) = faults_of(disk.host.subsystem).injections()
    assert injection.at_s - begin_s == 2.0
    assert (injection.fault, str(injection.address)) == (rule.name, "0:0:0:0")
    assert injection.command == "READ(10) lba=7 blocks=1"


def test_names_are_made_up_and_stay_free_of_each_other(disk: LogicalUnit) -> None:
    faults = faults_of(disk.host.subsystem)
    names = [add_fault(disk, lost=True).name for _ in range(2)] + [
        add_fault(disk, lost=True, name="mine").name
    ]
    assert names == ["fault1", "fault2", "mine"]
    with pytest.raises(ValueError, match="'mine' is in force already"):
        add_fault(disk, lost=True, name="mine")
    with pytest.raises(
        ValueError, match="no fault of this name is in force; there are: fault1, fault2, mine"
    ):
        faults.clear(["mine", "other"])
    assert [state.rule.name for state in faults.clear(["mine"])] == ["mine"]
    assert [state.rule.name for state in faults.clear()] == ["fault1", "fault2"]
    assert faults.states() == []
    assert execute(disk, TEST_UNIT_READY).ok


def test_the_state_as_json(disk: LogicalUnit) -> None:
    add_fault(disk, name="x", opcode="READ(10)", lba="8-15", sense="3/11/00", times=1)
    read(disk, 8, 1)
    (state,) = faults_of(disk.host.subsystem).states()
    assert state.to_json() == {
        "name": "x",
        "rule": {"device": "0:0:0:0", "opcode": ["READ(10)"], "lba": "8-15", "times": 1, "sense": "3/11/00"},
        "matches": 1,
        "injections": 1,
        "active": False,
    }
