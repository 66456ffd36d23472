"""A fake kernel, with the driver and the monitor on top of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from midlayer.lower.linux import LinuxDriver, UeventMonitor
from midlayer.mid.subsystem import Subsystem
from midlayer.testing.clock import FakeClock

from .fake_kernel import FakeIoctl, FakeKernel, Recorder


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


@pytest.fixture
def ioctl() -> FakeIoctl:
    return FakeIoctl()


@pytest.fixture
def rig(kernel: FakeKernel, ioctl: FakeIoctl) -> Iterator[SimpleNamespace]:
    """Everything, connected: kernel, ioctl, clock, subsystem, driver, monitor, recorder."""
    clock = FakeClock()
    subsystem = Subsystem(clock=clock)
    recorder = Recorder()
    subsystem.register_upper(recorder)
    driver = LinuxDriver(
        subsystem, sys_root=kernel.sys, proc_root=kernel.proc, dev_root=kernel.dev, ioctl=ioctl
    )
    monitor = UeventMonitor(subsystem, driver, open_socket=lambda: kernel.source)
    yield SimpleNamespace(
        kernel=kernel, ioctl=ioctl, clock=clock, subsystem=subsystem,
        driver=driver, monitor=monitor, recorder=recorder,
    )  # fmt: skip
    monitor.stop()
    for host in driver.hosts():
        driver.remove_host(host)
