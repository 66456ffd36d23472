"""Fixtures for the tests that run inside the guest, and the wire that takes their reports to the host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .eventually import eventually
from .scsi_debug import SCSI_DEVICES, ScsiDebug

# The directory shared with the host; set in a guest and nowhere else.
EXCHANGE = os.environ.get("MIDLAYER_GUEST")


@pytest.fixture(scope="session", autouse=True)
def _inside_the_guest() -> None:
    """These tests load modules and delete devices: never on anybody's own machine."""
    if EXCHANGE is None or "virtme" not in Path("/proc/cmdline").read_text():
        pytest.fail("this test changes the running kernel; it runs in a guest only", pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append each report to the file that the host is reading, a line each."""
    if EXCHANGE is None:
        return
    data = _config.hook.pytest_report_to_serializable(config=_config, report=report)
    with (Path(EXCHANGE) / "reports").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(data, default=repr) + "\n")


_config: pytest.Config


def pytest_configure(config: pytest.Config) -> None:
    """Keep the configuration: the hook that gets a report is not given it."""
    global _config  # noqa: PLW0603
    _config = config


@pytest.fixture
def scsi_debug() -> Iterator[Callable[..., ScsiDebug]]:
    """Load scsi_debug: ``scsi_debug(num_tgts=2, max_luns=3)``. Unloaded when the test ends."""
    with ExitStack() as stack:
        yield lambda **parameters: stack.enter_context(ScsiDebug(**parameters))


@pytest.fixture
def qemu_disk() -> Path:
    """The sysfs directory of QEMU's disk, behind a virtio HBA."""
    return _qemu_device("QEMU HARDDISK")


@pytest.fixture
def qemu_cd() -> Path:
    """The sysfs directory of QEMU's CD drive, which has no medium."""
    return _qemu_device("QEMU CD-ROM")


def _qemu_device(model: str) -> Path:
    def find() -> list[Path]:
        return [path.parent for path in SCSI_DEVICES.glob("*:*/model") if path.read_text().strip() == model]

    (device,) = eventually(find, reason=f"a device with the model {model!r}")
    return device
