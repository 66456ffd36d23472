"""pytest fixtures: a SCSI subsystem for the time of a test.

The plugin is there wherever midlayer is installed::

    def test_serial_number(scsi_disk):
        assert serial_number(scsi_disk) == "PYTEST-1"

    @pytest.mark.scsi_disk(size="8G", block_size=4096, thin=True)
    def test_big_blocks(scsi_disk): ...

    def test_a_program(scsi_disk, scsi_exec):
        assert "PYTEST-1" in scsi_exec("sg_inq", "/dev/sg0").stdout

============================  ==========================================================================
``scsi_subsystem``            a `midlayer.Subsystem`, taken down when the test ends
``scsi_host``                 a virtual host on it; keys of ``[[host]]`` in ``@pytest.mark.scsi_host(…)``
``scsi_disk``                 a disk on that host, as `midlayer.open_device` returns one; keys of
                              ``[[host.unit]]`` in ``@pytest.mark.scsi_disk(…)``
``scsi_exec``                 runs an unmodified program that finds the subsystem's device nodes
``scsi_clock``                a test that asks for it has time that stands still until it is told to move
============================  ==========================================================================
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.subsystem import Subsystem
    from midlayer.testing.clock import FakeClock
    from midlayer.upper.sg import BoundDevice

_MARKERS = (
    "scsi_host(**keys): the host of the fixtures; keys as in [[host]] of midlayer's configuration",
    "scsi_disk(**keys): the disk of the fixtures; keys as in [[host.unit]] of midlayer's configuration",
)
_PROGRAM_S = 60.0


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def scsi_clock() -> FakeClock:
    """Time for the subsystem of this test; it moves by `FakeClock.advance` alone."""
    from midlayer.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def scsi_subsystem(request: pytest.FixtureRequest) -> Iterator[Subsystem]:
    """A subsystem with sg names; hosts that are left at the end are removed."""
    from midlayer.mid.clock import SystemClock
    from midlayer.mid.subsystem import Subsystem
    from midlayer.upper.sg.device import SgNodes

    wants_clock = "scsi_clock" in request.fixturenames
    subsystem = Subsystem(clock=request.getfixturevalue("scsi_clock") if wants_clock else None)
    subsystem.register_upper(SgNodes())
    yield subsystem
    for host in subsystem.hosts():
        subsystem.remove_host(host)
        host.put()
    if isinstance(subsystem.clock, SystemClock):
        subsystem.clock.close()


@pytest.fixture
def scsi_host(request: pytest.FixtureRequest, scsi_subsystem: Subsystem) -> Host:
    """A virtual host, empty unless a fixture or the test plugs units into it."""
    from midlayer.lower.virtual import HostSpec, VirtualDriver

    spec = HostSpec.from_mapping(_keys(request, "scsi_host"))
    return VirtualDriver(scsi_subsystem).add_host(spec)


@pytest.fixture
def scsi_disk(request: pytest.FixtureRequest, scsi_host: Host) -> Iterator[BoundDevice]:
    """A virtual disk of 1 MiB, serial number ``PYTEST-1``, unless the marker says otherwise."""
    from midlayer.lower.virtual import UnitSpec, VirtualDriver
    from midlayer.upper.sg import BoundDevice

    driver = scsi_host.template
    assert isinstance(driver, VirtualDriver)
    keys = {"size": "1M", "serial": "PYTEST-1"} | _keys(request, "scsi_disk")
    with BoundDevice(driver.plug(scsi_host, UnitSpec.from_mapping(keys))) as device:
        yield device


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def scsi_exec(scsi_subsystem: Subsystem) -> Iterator[Run]:
    """Run a program of whatever origin: ``scsi_exec("sg_inq", "/dev/sg0", check=True).stdout``.

    It finds the subsystem's ``/dev/sgN``, ``/proc/scsi`` and SCSI part of ``/sys``, without root.
    """
    from midlayer.frontends.nodes.program import environment
    from midlayer.frontends.nodes.serving import serving

    with serving(scsi_subsystem) as directory:

        def run(
            *command: str, check: bool = False, timeout_s: float = _PROGRAM_S
        ) -> subprocess.CompletedProcess[str]:
            environ = environment(directory)
            return subprocess.run(
                command, check=check, capture_output=True, text=True, timeout=timeout_s, env=environ
            )

        yield run


def _keys(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Return the keys of a marker; the one nearest to the test wins."""
    keys: dict[str, Any] = {}
    for marker in request.node.iter_markers(name):
        if marker.args:
            raise pytest.UsageError(f'@pytest.mark.{name} takes keys: size="1G" and the like')
        keys = marker.kwargs | keys
    return keys
