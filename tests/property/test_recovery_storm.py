"""Recovery on the machine's clock; threads complete commands at the very moment of their time-out."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command
from midlayer.mid.dispatch import submit
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.recovery_callbacks import FAILED, SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import StandardInquiry

COMMANDS, SUBMITTERS = 150, 3
TIMEOUT_S = 0.004
READ, INQUIRY, TUR = 0x28, 0x12, 0x00
IDENTITY = StandardInquiry(
    peripheral_qualifier=0, peripheral_device_type=0, version=3, additional_length=31
).encode_sized()


class Erratic(HostTemplate):
    """Completes a READ about when its time is over, from a timer thread; sometimes twice, sometimes never."""

    name = proc_name = "erratic"
    can_queue = 16
    cmd_per_lun = 8
    max_id = 2
    max_lun = 1
    skip_settle_delay = True

    def __init__(self, clock: SystemClock, seed: int) -> None:
        self.clock = clock
        self.random = random.Random(seed)

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        if command.cdb[0] == READ:
            fate = self.random.random()
            for _ in range(0 if fate < 0.1 else 2 if fate < 0.3 else 1):
                delay_s = TIMEOUT_S * self.random.uniform(0.5, 1.4)
                self.clock.call_later(delay_s, lambda: done(command))
            return 0
        if command.cdb[0] == INQUIRY and command.data_in is not None:
            command.data_in[: len(IDENTITY)] = IDENTITY[: len(command.data_in)]
        done(command)
        return 0

    def eh_abort_handler(self, command: Command) -> int:
        return SUCCESS if self.random.random() < 0.5 else FAILED

    def eh_device_reset_handler(self, command: Command) -> int:
        return SUCCESS if self.random.random() < 0.5 else FAILED

    def eh_host_reset_handler(self, command: Command) -> int:
        return SUCCESS


@pytest.mark.parametrize("scope", ["host", "device"])
def test_every_command_ends_once_whoever_is_faster(scope: str) -> None:
    clock = SystemClock()
    subsystem = Subsystem(clock=clock)
    driver = Erratic(clock, seed=4711)
    driver.eh_scope = scope
    host = subsystem.host_alloc(driver)
    subsystem.add_host(host)
    subsystem.scan_host(host)
    devices = host.devices()
    assert len(devices) == 2
    ends: dict[int, int] = {}
    counted = threading.Lock()
    all_ended = threading.Semaphore(0)

    def ended(command: Command) -> None:
        with counted:
            ends[id(command)] = ends.get(id(command), 0) + 1
        all_ended.release()

    kept: list[Command] = []

    def work(number: int) -> None:
        for n in range(COMMANDS):
            command = Command(devices[(n + number) % 2], bytes((READ, *bytes(9))), timeout_s=TIMEOUT_S)
            command.on_finished = ended
            kept.append(command)
            submit(command)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(SUBMITTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(COMMANDS * SUBMITTERS):
        assert all_ended.acquire(timeout=120)
    clock.close()
    assert set(ends.values()) == {1}
    assert len(ends) == len(kept)
    assert (host.busy, host.waiting) == (0, 0)
    assert [device.busy for device in devices] == [0, 0]
    assert host.error_handler.recent
