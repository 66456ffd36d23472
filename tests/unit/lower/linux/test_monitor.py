"""The monitor: events told once and in order, and what happens when they are lost."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace as Rig

import pytest

from midlayer.address import Address
from midlayer.lower.linux.monitor import MAX_BATCH, Counters
from midlayer.lower.linux.netlink import LOST
from midlayer.lower.virtual import HostSpec, VirtualDriver
from midlayer.standards.spc import PeripheralDeviceType

from .fake_kernel import FakeSource, pairs

A, B = Address(0, 0, 0, 0), Address(0, 0, 0, 1)


def drain(rig: Rig) -> None:
    while rig.kernel.source.waiting:
        rig.monitor.handle_ready()


def settle(rig: Rig) -> None:
    """Handle what waits, and let the time for a resync come."""
    drain(rig)
    rig.clock.advance(1.0)
    rig.monitor.handle_ready()


def agrees(rig: Rig) -> bool:
    known = {device.address: device.session for device in rig.subsystem.devices()}
    return bool(known == rig.driver.sysfs.listing().devices)


def test_start_finds_what_is_there(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    assert rig.recorder.take() == [("host_added", 0), ("attach", "0:0:0:0")]
    assert rig.recorder.details[0][3] is False
    assert rig.driver.watched
    device = rig.subsystem.device(A)
    assert (device.vendor, device.model, device.names) == ("Linux", "scsi_debug", {"sg": "sg0"})


def test_events_from_before_the_start_are_skipped(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.kernel.remove(A)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.recorder.take()
    drain(rig)
    assert rig.recorder.take() == []
    assert rig.monitor.counters.skipped == 7  # a host, two devices, a removal, and the nodes


def test_coming_and_going(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    drain(rig)
    rig.kernel.remove(A)
    rig.kernel.remove_host(0)
    drain(rig)
    heard = [("host_added", 0), ("attach", "0:0:0:0"), ("detach", "0:0:0:0"), ("host_removed", 0)]
    assert rig.recorder.take() == heard
    counters = rig.monitor.counters
    assert (counters.attaches, counters.detaches, counters.resyncs, counters.gaps) == (1, 1, 1, 0)
    assert rig.subsystem.hosts() == []


def test_events_that_are_handled_late_are_all_told(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.add_host(0)
    for _ in range(3):
        rig.kernel.add(A)
        rig.kernel.remove(A)
    drain(rig)
    heard = rig.recorder.take()
    assert pairs(heard) == [("attach", "0:0:0:0"), ("detach", "0:0:0:0")] * 3
    assert all(not by_resync for _, _, _, by_resync in rig.recorder.details)


def test_a_device_that_is_gone_when_its_add_is_handled(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.add_host(0)
    rig.kernel.add(A, nodes=False)
    rig.kernel.vanish(A)
    drain(rig)
    device = rig.subsystem.device(A)
    assert (device.inquiry_data, device.session) == (b"", "")
    assert device.type == PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE
    rig.kernel.announce("remove", A)
    drain(rig)
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0"), ("detach", "0:0:0:0")]


def test_nodes_that_come_later_and_go(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.add_host(0)
    rig.kernel.add(A, nodes=False)
    drain(rig)
    rig.recorder.take()
    rig.kernel.add_node(A, "scsi_generic", "sg3")
    rig.kernel.add_node(A, "block", "sda")
    drain(rig)
    address = "0:0:0:0"
    assert rig.recorder.take() == [("changed", address, {"sg": "sg3"}), ("changed", address, {"sd": "sda"})]
    rig.kernel.remove_node(A, "block", "sda")
    drain(rig)
    assert rig.recorder.take() == [("changed", address, {"sd": ""})]
    assert rig.subsystem.device(A).names == {"sg": "sg3"}


def test_a_device_that_goes_away_keeps_its_names(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    drain(rig)
    device = rig.subsystem.device(A)
    rig.recorder.take()
    rig.kernel.remove(A)
    drain(rig)
    assert rig.recorder.take() == [("detach", "0:0:0:0")]
    assert device.names == {"sg": "sg0"}


def test_unit_attention(rig: Rig) -> None:
    told: list[tuple[str, int, int]] = []
    rig.subsystem.attention = lambda device, asc, ascq: told.append((str(device.address), asc, ascq))
    rig.monitor.open()
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.kernel.announce("change", A, SDEV_UA="INQUIRY_DATA_HAS_CHANGED")
    rig.kernel.announce("change", A)
    rig.kernel.announce("change", B, SDEV_UA="CAPACITY_DATA_HAS_CHANGED")
    drain(rig)
    changes = [item for item in rig.recorder.take() if item[0] == "changed"]
    assert changes == [("changed", "0:0:0:0", {"unit_attention": "INQUIRY_DATA_HAS_CHANGED"})]
    assert told == [("0:0:0:0", 0x3F, 0x03)]


def test_a_unit_attention_is_not_covered_by_a_resync(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.kernel.announce("change", A, SDEV_UA="CAPACITY_DATA_HAS_CHANGED")
    rig.recorder.take()
    rig.monitor.resync("test")
    drain(rig)
    assert rig.recorder.take() == [("changed", "0:0:0:0", {"unit_attention": "CAPACITY_DATA_HAS_CHANGED"})]


def test_udevadm_trigger_changes_nothing(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.recorder.take()
    rig.kernel.announce("add", A, SYNTH_UUID="0")
    rig.kernel.announce("remove", A, SYNTH_UUID="0")
    drain(rig)
    assert rig.recorder.take() == []


def test_lost_events(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.recorder.take()
    rig.kernel.remove(A)
    rig.kernel.add(A)  # the same address, another device
    rig.kernel.add(B)
    rig.kernel.lose()
    settle(rig)
    assert pairs(rig.recorder.take()) == [("detach", "0:0:0:0"), ("attach", "0:0:0:0"), ("attach", "0:0:0:1")]
    assert all(by_resync for _, _, _, by_resync in rig.recorder.details[1:])
    assert agrees(rig)
    assert (rig.monitor.counters.lost, rig.monitor.counters.resyncs) == (1, 2)


def test_a_lost_removal_of_a_host_and_another_host_with_its_number(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    held = rig.subsystem.device(A).get()  # somebody still uses the old device
    rig.recorder.take()
    rig.kernel.remove_host(0)
    rig.kernel.add_host(0, proc_name="iscsi_tcp")
    rig.kernel.lose()
    settle(rig)
    assert rig.recorder.take() == [("detach", "0:0:0:0"), ("host_removed", 0), ("host_added", 0)]
    assert rig.subsystem.host(0).name == "iscsi_tcp"
    old = held.host
    held.put()
    assert rig.subsystem.host(0) is not old


def test_a_gap_costs_a_resync(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.monitor.open()
    rig.kernel.drop = lambda datagram: b"0:0:0:0\0" in datagram
    rig.kernel.add(A, nodes=False)
    rig.kernel.drop = lambda datagram: False
    rig.kernel.emit("add", "/devices/virtual/net/veth0", SUBSYSTEM="net")
    settle(rig)
    assert rig.monitor.counters.gaps == 1
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0")]


def test_resyncs_are_not_more_frequent_than_ten_a_second(rig: Rig) -> None:
    rig.monitor.open()
    for _ in range(5):
        rig.kernel.source.waiting.append(LOST)
        rig.monitor.handle_ready()
    assert rig.monitor.counters.resyncs == 1
    rig.clock.advance(0.1)
    rig.monitor.handle_ready()
    rig.monitor.handle_ready()
    assert rig.monitor.counters.resyncs == 2


def test_a_resync_waits_for_an_empty_socket_but_not_for_ever(rig: Rig) -> None:
    rig.monitor.open()
    rig.clock.advance(10.0)

    def storm() -> None:
        for _ in range(MAX_BATCH + 1):
            rig.kernel.emit("add", "/devices/virtual/net/veth0", SUBSYSTEM="net")
        rig.monitor.handle_ready()

    rig.kernel.source.waiting.append(LOST)
    storm()
    assert rig.monitor.counters.resyncs == 1
    rig.clock.advance(1.0)
    storm()
    assert rig.monitor.counters.resyncs == 2


def test_garbage_is_counted_said_once_a_kind_and_costs_a_resync(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.monitor.open()
    for datagram in (b"libudev\0", b"junk", b"more junk", b"libudev\0"):
        rig.kernel.source.waiting.append(datagram)
    with caplog.at_level(logging.WARNING):
        settle(rig)
    assert len(caplog.records) == 2
    assert rig.monitor.counters.garbage == 4
    assert rig.monitor.counters.resyncs == 2


def test_an_event_that_comes_late_is_no_loss(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.monitor.open()
    drain(rig)
    rig.kernel.add(A, nodes=False)
    rig.kernel.add(B, nodes=False)
    rig.kernel.source.waiting.rotate()  # as Linux 6.10 and later may send them
    settle(rig)
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:1"), ("attach", "0:0:0:0")]
    assert rig.monitor.counters.resyncs == 1


def test_an_event_is_late_by_as_long_as_its_sender_may_have_to_wait_for_a_processor(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.monitor.open()
    drain(rig)
    rig.kernel.add(A, nodes=False)
    late = rig.kernel.source.waiting.pop()
    rig.kernel.emit("add", "/devices/virtual/net/veth0", SUBSYSTEM="net")
    rig.monitor.handle_ready()
    rig.clock.advance(0.4)
    rig.monitor.handle_ready()
    assert rig.recorder.details == []
    rig.kernel.source.waiting.append(late)
    settle(rig)
    assert [(what, by_resync) for what, _, _, by_resync in rig.recorder.details] == [("attach", False)]
    assert rig.monitor.counters.resyncs == 1


def test_a_device_in_sysfs_a_moment_before_its_event(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.appear(A)
    rig.monitor.open()
    rig.kernel.announce("add", A)  # its number is above that of the resync
    drain(rig)
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0")]


def test_the_same_while_event_numbers_are_missing(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.appear(A)
    rig.monitor.open()
    rig.kernel.drop = lambda datagram: b"veth" in datagram  # another network namespace's
    rig.kernel.emit("add", "/devices/virtual/net/veth0", SUBSYSTEM="net")
    rig.kernel.announce("add", A)
    settle(rig)
    assert rig.monitor.counters.gaps == 1
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0")]


def test_a_lost_removal_is_told_before_the_next_add(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.kernel.drop = lambda datagram: datagram.startswith(b"remove@")
    rig.kernel.remove(A)
    rig.kernel.add(A)
    drain(rig)
    assert rig.monitor.counters.resyncs == 1
    told = [(what, by_resync) for what, _, _, by_resync in rig.recorder.details]
    assert told == [("attach", False), ("detach", True), ("attach", False)]
    assert agrees(rig)


def test_a_device_whose_hosts_event_was_lost(rig: Rig) -> None:
    rig.monitor.open()
    rig.kernel.drop = lambda datagram: b"0:0:0:0" not in datagram
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    drain(rig)
    assert rig.monitor.counters.resyncs == 1
    assert rig.recorder.take() == [("host_added", 0), ("attach", "0:0:0:0")]


def during_listing(rig: Rig, monkeypatch: pytest.MonkeyPatch, *, before: object, after: object) -> None:
    """Let things happen while sysfs is read: before the directories are listed, and after."""
    listing = rig.driver.sysfs.listing

    def disturbed() -> object:
        monkeypatch.setattr(rig.driver.sysfs, "listing", listing)
        before()
        found = listing()
        after()
        return found

    monkeypatch.setattr(rig.driver.sysfs, "listing", disturbed)


def test_events_during_the_resync(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)

    def before() -> None:  # seen by the listing
        rig.kernel.remove(A)
        rig.kernel.add(A)
        rig.kernel.add(B)

    during_listing(rig, monkeypatch, before=before, after=lambda: rig.kernel.remove(B))
    rig.monitor.open()
    settle(rig)
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0"), ("attach", "0:0:0:1"), ("detach", "0:0:0:1")]
    assert agrees(rig)


def test_start_during_a_storm(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.kernel.add_host(0)
    some = [Address(0, 0, target, 0) for target in range(20)]

    def storm(addresses: list[Address]) -> None:
        for address in addresses:
            rig.kernel.add(address)
        for address in addresses[::2]:
            rig.kernel.remove(address)

    during_listing(rig, monkeypatch, before=lambda: storm(some[:10]), after=lambda: storm(some[10:]))
    rig.monitor.open()
    settle(rig)
    assert agrees(rig)
    assert rig.monitor.counters.resyncs == 1


def test_storms_are_handled_in_batches(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.monitor.open()
    rig.recorder.batches.clear()
    for target in range(100):
        rig.kernel.add(Address(0, 0, target, 0), nodes=False)
    drain(rig)
    assert rig.monitor.counters.attaches == 100
    assert rig.recorder.batches == ["begin 0", "end 0"]


def test_two_hosts_in_one_batch_keep_the_order(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add_host(1)
    rig.monitor.open()
    rig.recorder.take()
    rig.recorder.batches.clear()
    order = [Address(host, 0, target, 0) for target in range(3) for host in (1, 0)]
    for address in order:
        rig.kernel.add(address, nodes=False)
    drain(rig)
    assert rig.recorder.take() == [("attach", str(address)) for address in order]
    assert rig.recorder.batches == ["begin 0", "begin 1", "end 1", "end 0"]


def test_a_number_that_a_virtual_host_has(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    VirtualDriver(rig.subsystem).add_host(HostSpec(host_no=0))
    rig.monitor.open()
    with caplog.at_level(logging.ERROR):
        rig.kernel.add_host(0)
        rig.kernel.add(A)
        rig.kernel.add(B)
        drain(rig)
    assert len(caplog.records) == 1
    assert "first_host_no" in caplog.text
    assert rig.subsystem.devices() == []


def test_a_removal_at_the_users_wish_is_told_once(rig: Rig) -> None:
    rig.kernel.add_host(0)
    rig.kernel.add(A)
    rig.monitor.open()
    rig.recorder.take()
    rig.subsystem.remove_device(rig.subsystem.device(A))
    rig.kernel.remove(A)
    drain(rig)
    assert rig.recorder.take() == [("detach", "0:0:0:0")]


def test_the_thread(rig: Rig) -> None:
    class WaitingSource(FakeSource):
        def __init__(self) -> None:
            super().__init__()
            self.ready = threading.Semaphore(0)
            self.handled = threading.Semaphore(0)

        def receive(self, timeout_s: float | None = None) -> object:
            if not self.waiting and timeout_s != 0:
                self.handled.release()
                self.ready.acquire()
            return super().receive(timeout_s)

        def wake(self) -> None:
            self.ready.release()

    source = rig.kernel.source = WaitingSource()
    rig.kernel.add_host(0)
    rig.monitor.start()
    assert any(thread.name == "midlayer-uevents" for thread in threading.enumerate())
    source.handled.acquire()
    rig.kernel.add(A)
    source.ready.release()
    source.handled.acquire()
    assert pairs(rig.recorder.take()) == [("attach", "0:0:0:0")]
    rig.monitor.stop()
    rig.monitor.stop()
    assert source.closed
    assert not rig.driver.watched
    assert not any(thread.name == "midlayer-uevents" for thread in threading.enumerate())
    assert rig.subsystem.device(A)  # stays


def test_the_thread_outlives_an_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()
    again = threading.Event()

    class BrokenSource(FakeSource):
        def receive(self, timeout_s: float | None = None) -> object:
            if not failed.is_set():
                failed.set()
                raise OSError("broken")
            again.set()
            return None

    rig.kernel.source = BrokenSource()
    rig.monitor.start()
    assert again.wait(60)
    rig.monitor.stop()
    assert "broken" in caplog.text


def test_counters_before_the_start(rig: Rig) -> None:
    assert rig.monitor.counters == Counters(*[0] * 8)
