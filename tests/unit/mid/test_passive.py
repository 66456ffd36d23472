"""The passive initialization model: the ladders of document 002, and what may go wrong on them."""

from __future__ import annotations

import pytest

from midlayer.errors import DriverError, InvalidRequest, NoSuchHost
from midlayer.mid.host import Host, HostState
from midlayer.mid.passive import exit_driver, init_driver, register, unregister
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, ScriptedDriver


class Old(ScriptedDriver):
    """A driver that detects two hosts."""

    max_id = 2
    max_lun = 1

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[Host] = []
        self.claims = 2
        self.registers = 2
        self.unregisters = True

    def detect(self, subsystem: Subsystem) -> int:
        self.calls.append("detect")
        for _ in range(self.registers):
            self.calls.append("register")
            self.hosts.append(register(subsystem, self))
        if "detect" in self.raising:
            raise RuntimeError("no such port")
        return self.claims

    def release(self, host: Host) -> None:
        super().release(host)
        if self.unregisters:
            self.calls.append("unregister")
            unregister(host)


@pytest.fixture
def old() -> Old:
    driver = Old()
    driver.unit(0, 0, 0)
    return driver


def test_ladder_of_initialization(subsystem: Subsystem, old: Old) -> None:
    hosts = init_driver(subsystem, old)
    each = [
        "target_alloc {0}:0:0",
        "slave_alloc {0}:0:0:0",
        "slave_configure {0}:0:0:0",
        "target_alloc {0}:0:1",
        "slave_alloc {0}:0:1:0",
        "slave_destroy {0}:0:1:0",
        "target_destroy {0}:0:1",
    ]
    assert old.calls == [
        "detect", "register", "register", *(line.format(n) for n in (0, 1) for line in each)
    ]  # fmt: skip
    assert hosts == old.hosts == subsystem.hosts()


def test_tagged_queueing_is_off_and_the_depth_is_cmd_per_lun(subsystem: Subsystem, old: Old) -> None:
    init_driver(subsystem, old)
    assert [(device.tagged, device.queue_depth) for device in subsystem.devices()] == [(False, 4)] * 2


@pytest.mark.parametrize("unregisters", [True, False])
def test_ladder_of_the_end(subsystem: Subsystem, old: Old, unregisters: bool) -> None:
    old.unregisters = unregisters
    init_driver(subsystem, old)
    old.calls.clear()
    exit_driver(subsystem, old)
    mine = ["unregister"] if unregisters else []
    assert old.calls == [
        "slave_destroy 0:0:0:0", "target_destroy 0:0:0",
        "slave_destroy 1:0:0:0", "target_destroy 1:0:0",
        "release 0", *mine, "release 1", *mine,
    ]  # fmt: skip
    assert [host.references for host in old.hosts] == [0, 0]
    assert [host.state for host in old.hosts] == [HostState.DEL] * 2
    assert (subsystem.hosts(), subsystem.passive_hosts) == ([], {})
    assert init_driver(subsystem, old)[0].host_no == 0


def test_no_host_was_detected(subsystem: Subsystem, old: Old) -> None:
    old.claims = old.registers = 0
    with pytest.raises(NoSuchHost, match="scripted host: no host was detected"):
        init_driver(subsystem, old)
    assert subsystem.passive_hosts == {}


def test_detect_that_counts_wrong(subsystem: Subsystem, old: Old, caplog: pytest.LogCaptureFixture) -> None:
    old.claims = 5
    assert len(init_driver(subsystem, old)) == 2
    assert "detect returned 5, and registered 2 hosts" in caplog.text


def test_detect_that_raises(subsystem: Subsystem, old: Old) -> None:
    old.raising.add("detect")
    with pytest.raises(DriverError, match="detect raised RuntimeError: no such port"):
        init_driver(subsystem, old)
    assert (subsystem.hosts(), [host.references for host in old.hosts]) == ([], [0, 0])


def test_a_host_that_can_not_be_added_takes_the_others_with_it(subsystem: Subsystem, old: Old) -> None:
    plain = old.detect

    def detect(subsystem: Subsystem) -> int:
        count = plain(subsystem)
        old.hosts[1].can_queue = 0
        return count

    old.detect = detect  # type: ignore[method-assign]
    with pytest.raises(InvalidRequest, match="can_queue is 0"):
        init_driver(subsystem, old)
    assert (subsystem.hosts(), [host.references for host in old.hosts]) == ([], [0, 0])


def test_release_that_raises(subsystem: Subsystem, old: Old) -> None:
    init_driver(subsystem, old)
    old.raising.add("release")
    exit_driver(subsystem, old)
    assert [host.references for host in old.hosts] == [0, 0]


def test_unregister_twice(subsystem: Subsystem, old: Old) -> None:
    host = register(subsystem, old)
    unregister(host)
    with pytest.raises(NoSuchHost, match="it is not registered"):
        unregister(host)


def test_a_driver_for_both_models(subsystem: Subsystem, old: Old) -> None:
    init_driver(subsystem, old)
    hotplugged = old.start(subsystem)
    exit_driver(subsystem, old)
    assert subsystem.hosts() == [hotplugged]
    subsystem.remove_host(hotplugged)
    old.unregisters = False
    hotplugged.put()
    assert hotplugged.references == 0


def test_a_device_that_fails_inquiry_in_a_passive_scan(subsystem: Subsystem, old: Old) -> None:
    old.units[0, 0, 0].on(0x12, Answer(host_byte=1))
    init_driver(subsystem, old)
    assert subsystem.devices() == []
