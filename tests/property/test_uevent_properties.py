"""Properties of uevents and the monitor: whatever is lost, known becomes what is there."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from midlayer.address import Address
from midlayer.lower.linux import LinuxDriver, UeventMonitor
from midlayer.lower.linux.uevent import Uevent, UeventError, parse
from midlayer.mid.subsystem import Subsystem
from midlayer.testing.clock import FakeClock


def _load(name: str) -> ModuleType:
    """Load a module of the unit tests, which are no package that could be imported from here."""
    path = Path(__file__).parents[1] / "unit/lower/linux" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"uevent_properties_{name}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    specification.loader.exec_module(module)
    return module


fake_kernel: Any = _load("fake_kernel")

ADDRESSES = [Address(host, 0, target, lun) for host in (0, 3) for target in (0, 1) for lun in (0, 4096)]


class Model:
    """A fake kernel with two hosts, and a monitor on top; devices are toggled between there and not there."""

    def __init__(self, root: Path) -> None:
        self.kernel = fake_kernel.FakeKernel(root)
        for host_no in (0, 3):
            self.kernel.add_host(host_no)
        self.clock = FakeClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.recorder = fake_kernel.Recorder()
        self.subsystem.register_upper(self.recorder)
        self.driver = LinuxDriver(self.subsystem, sys_root=self.kernel.sys, proc_root=self.kernel.proc)
        self.monitor = UeventMonitor(self.subsystem, self.driver, open_socket=lambda: self.kernel.source)
        self.happened: list[tuple[str, str]] = []

    def toggle(self, address: Address) -> None:
        there = address in self.kernel.addresses()
        if there:
            self.kernel.remove(address)
        else:
            self.kernel.add(address)
        self.happened.append(("detach" if there else "attach", str(address)))

    def toggle_host(self, host_no: int) -> None:
        if self.kernel.host_dir(host_no).exists():
            self.kernel.remove_host(host_no)
        else:
            self.kernel.add_host(host_no)

    def settle(self) -> None:
        """One more event shows what is missing before it; then the time for a resync comes."""
        self.kernel.drop = lambda datagram: False
        self.kernel.emit("add", "/devices/virtual/net/veth0", SUBSYSTEM="net")
        while self.kernel.source.waiting:
            self.monitor.handle_ready()
        self.clock.advance(1.0)
        self.monitor.handle_ready()

    def known(self) -> dict[Address, str]:
        return {device.address: device.session for device in self.subsystem.devices()}

    def known_hosts(self) -> dict[int, str]:
        return {host.host_no: host.session for host in self.subsystem.hosts()}


@contextmanager
def a_model() -> Iterator[Model]:
    with tempfile.TemporaryDirectory() as root:
        yield Model(Path(root))


toggles = st.tuples(st.just("toggle"), st.sampled_from(ADDRESSES))
steps = st.one_of(
    toggles,
    toggles,
    st.tuples(st.just("toggle host"), st.sampled_from((0, 3))),
    st.tuples(st.sampled_from(("handle", "lose", "garbage", "resync", "tick")), st.none()),
    st.tuples(st.just("drop"), st.integers(0, 7)),
    st.tuples(
        st.just("resync amid"),
        st.tuples(st.lists(toggles, max_size=4), st.lists(toggles, max_size=4)),
    ),
)


def play(model: Model, step: str, argument: Any) -> None:
    match step:
        case "toggle":
            if model.kernel.host_dir(argument.host).exists():
                model.toggle(argument)
        case "toggle host":
            model.toggle_host(argument)
        case "handle":
            model.monitor.handle_ready()
        case "lose":
            model.kernel.lose()
        case "garbage":
            model.kernel.source.waiting.append(b"garbage")
        case "resync":
            model.monitor.resync("a property")
        case "resync amid":
            resync_amid(model, *argument)
        case "tick":
            model.clock.advance(0.06)
        case "drop":
            left = [argument]

            def drop(datagram: bytes) -> bool:
                left[0] -= 1
                return left[0] >= 0

            model.kernel.drop = drop


def resync_amid(model: Model, before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> None:
    """Resync while things happen: between the first number and the listing, and after the listing."""
    sysfs = model.driver.sysfs

    def listing() -> Any:
        for step, argument in before:
            play(model, step, argument)
        found = type(sysfs).listing(sysfs)
        for step, argument in after:
            play(model, step, argument)
        return found

    sysfs.listing = listing  # type: ignore[method-assign]
    try:
        model.monitor.resync("a property")
    finally:
        del sysfs.listing  # type: ignore[method-assign]


@settings(max_examples=100, deadline=None)
@given(before=st.lists(toggles, max_size=4), then=st.lists(steps, max_size=30))
def test_whatever_is_lost_known_becomes_what_is_there(
    before: list[tuple[str, Any]], then: list[tuple[str, Any]]
) -> None:
    with a_model() as model:
        for step, argument in before:
            play(model, step, argument)
        model.monitor.open()
        for step, argument in then:
            play(model, step, argument)
        model.settle()
        listing = model.driver.sysfs.listing()
        assert model.known() == listing.devices
        assert model.known_hosts() == listing.hosts
        # Each device's attaches and detaches take turns.
        for address in ADDRESSES:
            told = [what for what, where, _, _ in model.recorder.details if where == address]
            assert told == ["attach", "detach"] * (len(told) // 2) + ["attach"] * (len(told) % 2)
        for device in model.subsystem.devices():
            assert device.names == model.driver.sysfs.names(device.address)


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(toggles, max_size=4),
    then=st.lists(st.one_of(toggles, st.just(("handle", None)), st.just(("tick", None))), max_size=30),
)
def test_with_nothing_lost_everything_is_told_once_and_in_order(
    before: list[tuple[str, Any]], then: list[tuple[str, Any]]
) -> None:
    with a_model() as model:
        for step, argument in before:
            play(model, step, argument)
        model.monitor.open()
        assert sorted(model.known()) == model.kernel.addresses()
        model.happened.clear()
        model.recorder.take()
        for step, argument in then:
            play(model, step, argument)
        model.settle()
        assert fake_kernel.pairs(model.recorder.take()) == model.happened
        assert model.monitor.counters.resyncs == 1
        # A device that was gone when its add was handled has no session; all others have the right one.
        assert model.known() == model.driver.sysfs.listing().devices


HEADER = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0"
pieces = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"\0", b"=", b"@", b"SEQNUM=", b"12", HEADER, b"libudev\0", b"/"]),
)


@given(st.one_of(st.binary(), st.lists(pieces, max_size=12).map(b"".join)))
@example(HEADER + b"SEQNUM=" + "\u00b2".encode() + b"\0")
@example(HEADER + b"SEQNUM=" + b"9" * 5000 + b"\0")
def test_arbitrary_bytes_are_an_event_or_an_error(datagram: bytes) -> None:
    try:
        event = parse(datagram)
    except UeventError:
        return
    assert isinstance(event, Uevent)
    assert isinstance((event.kind, event.address, event.host_no, event.node, event.changes), tuple)
