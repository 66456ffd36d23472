"""A driver that can not use a node: whoever submitted gets the error, and every count is right."""

from __future__ import annotations

import threading

import pytest

from midlayer.errors import NodePermission
from midlayer.mid.command import Command, HostByte
from midlayer.mid.dispatch import execute, submit
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing.clock import FakeClock
from midlayer.testing.scripted import Answer, ScriptedDriver

READ = bytes.fromhex("28 00 00000000 00 0001 00")
FORBIDDEN = NodePermission("/dev/sg3: no")


@pytest.fixture
def driver() -> ScriptedDriver:
    return ScriptedDriver()


@pytest.fixture
def device(driver: ScriptedDriver) -> LogicalUnit:
    subsystem = Subsystem(clock=FakeClock())
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    return subsystem.devices()[0]


def counts(device: LogicalUnit) -> tuple[int, int, int, int]:
    return device.busy, device.host.busy, device.host.waiting, device.host.unexpected_done


@pytest.mark.parametrize("allowed", [0, 5])
def test_the_submitter_gets_it_and_nothing_is_tried_again(
    driver: ScriptedDriver, device: LogicalUnit, allowed: int, caplog: pytest.LogCaptureFixture
) -> None:
    driver.units[0, 0, 0].on(None, Answer(raises=FORBIDDEN))
    before = len(driver.commands)
    with pytest.raises(NodePermission, match="/dev/sg3"):
        execute(device, READ, allowed=allowed)
    assert len(driver.commands) == before + 1
    assert counts(device) == (0, 0, 0, 0)
    assert caplog.text == ""  # it is told to whom it concerns, not to the log


def test_a_submitter_who_does_not_wait_finds_it_in_the_command(
    driver: ScriptedDriver, device: LogicalUnit
) -> None:
    driver.units[0, 0, 0].on(None, Answer(raises=FORBIDDEN))
    finished: list[Command] = []
    submit(Command(device, READ, data_in=memoryview(bytearray(512)), on_finished=finished.append))
    assert [(command.error, command.host_byte, command.residual) for command in finished] == [
        (FORBIDDEN, HostByte.DID_ERROR, 512)
    ]
    assert counts(device) == (0, 0, 0, 0)


def test_a_command_from_the_queue_raises_in_its_submitters_thread(
    driver: ScriptedDriver, device: LogicalUnit
) -> None:
    device.host.subsystem.adjust_queue_depth(device, 1)
    driver.units[0, 0, 0].on(None, Answer(later=True), Answer(raises=FORBIDDEN))
    submit(Command(device, READ))
    caught: list[BaseException] = []

    def run() -> None:
        try:
            execute(device, READ)
        except NodePermission as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not device.host.waiting:
        pass
    driver.pending[0].complete()  # this thread issues the queued command, and must not see its error
    thread.join(60)
    assert caught == [FORBIDDEN]
    assert counts(device) == (0, 0, 0, 0)
